"""A run whose every second follows a law, for tests of what is computed from it. No server, no files."""

from __future__ import annotations

from hidream_studio.bench.folder import Sample
from hidream_studio.bench.plan import Fixed, Plan, ReferenceChoice, Resolved, Setting, Variant, Wishes
from hidream_studio.bench.suites import Prompt
from hidream_studio.job.workload import SHAPE_8B, Workload

SERVER = {
    "device": "NVIDIA H200", "precision": "bf16", "numeric_path": "fused", "fingerprint": "8b",
    "profile": "hidream-o1-image", "model": "random",
}  # fmt: skip
PROMPTS = (Prompt("a portrait", "faces", hard=True), Prompt("a lake", "lakes"))
SECONDS_PER_FLOP, BASE_S = 1 / 600e12, 0.2


def setting(
    side: int, steps: int, guidance: float, *, reference: str | None = None, is_reference: bool = False
) -> Setting:
    resolved = Resolved(side, side, steps, guidance, cfg=guidance > 1)
    variant = Variant(f"s{steps}_g{guidance:g}", steps, guidance)
    name = f"{variant.name} at {side}x{side}"
    setting_id = f"{side}_s{steps}_g{guidance:g}"
    return Setting(setting_id, variant, (side, side), resolved, False, (name,), is_reference, reference)


def plan(*settings: Setting, prompts: tuple[Prompt, ...] = PROMPTS[:1]) -> Plan:
    wishes = Wishes(prompts, (42,), (), (), Fixed(snap_resolution=False), ReferenceChoice())
    return Plan(wishes, settings, SERVER)


def seconds(one: Setting) -> float:
    work = Workload(one.image_tokens, one.resolved.steps, 14, 12 if one.resolved.cfg else None)
    return BASE_S + work.steps_flop(SHAPE_8B) * SECONDS_PER_FLOP


def sample(one: Setting, *, prompt: int = 0, repeat: int = 0, factor: float = 1.0, pixels: str = "p") -> Sample:
    total, half_base_s = seconds(one) * factor, BASE_S * factor / 2
    steps_s = total - 2 * half_base_s
    return Sample(
        key=f"{one.id}/{prompt}/{repeat}", setting_id=one.id, prompt_index=prompt, seed=42, repeat=repeat,
        started_at="2026-01-01T00:00:00+00:00", order=0, client_s=total + 0.1, elapsed_s=total, queued_s=0.0,
        timings={"text_s": 0.0, "steps_s": steps_s, "decode_s": half_base_s, "png_s": half_base_s},
        width=one.size[0], height=one.size[1], picture=f"{one.id}_p{prompt}.png", pixels_sha256=pixels, png_bytes=1,
    )  # fmt: skip
