"""The measuring itself: warm up, ask for one picture after the other, keep each at once. Judges nothing."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from PIL import Image, UnidentifiedImageError

from hidream_studio.bench.client import Answer, ImageServer, Request
from hidream_studio.bench.folder import RunFolder, Sample
from hidream_studio.bench.metrics import Pixels
from hidream_studio.bench.plan import Asked, Plan, Shot, shots
from hidream_studio.errors import RemoteError

WARM_UP_STEPS = 2  # enough to compile, to choose kernels and to fill caches


@dataclass(frozen=True)
class Progress:
    """Told before each request; `weight_s` is what the request is expected to take."""

    what: str
    weight_s: float


def measure(
    plan: Plan, repeats: int, server: ImageServer, folder: RunFolder, expected_s: dict[str, float], *,
    on_start: Callable[[float], None], on_next: Callable[[Progress], None], on_done: Callable[[Progress], None],
) -> None:  # fmt: skip
    """Every shot of the plan that the folder does not hold yet.

    `expected_s` says by setting what is expected; `on_start` is told the sum.

    Raises
    ------
    RemoteError, RequestError
        when the server does not answer with a picture; what was measured so far is in the folder.
    """
    todo = [shot for shot in shots(plan, repeats) if shot.key not in folder.done]
    sizes = list(dict.fromkeys(shot.setting.size for shot in todo))
    warm_ups = {size: _warm_up(plan, size) for size in sizes}
    on_start(
        sum(expected_s[shot.setting.id] for shot in todo) + sum(_warm_weight(w, expected_s) for w in warm_ups.values())
    )
    for order, shot in enumerate(todo):
        warm_up = warm_ups.pop(shot.setting.size, None)
        if warm_up is not None:
            step = Progress(
                f"warming up {shot.setting.size[0]}x{shot.setting.size[1]}", _warm_weight(warm_up, expected_s)
            )
            on_next(step)
            server.draw(_request(plan, warm_up))
            on_done(step)
        step = Progress(_name(plan, shot), expected_s[shot.setting.id])
        on_next(step)
        started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        answer = server.draw(_request(plan, shot))
        folder.add(_sample(shot, answer, started_at, order), answer.png)
        on_done(step)


def estimates_s(plan: Plan, server: ImageServer) -> dict[str, float]:
    """The server's own predictions by setting, before anything is measured. Empty where it makes none."""
    told = {
        setting.id: server.estimate_s(_request(plan, Shot(setting, 0, plan.wishes.seeds[0], 0)))
        for setting in plan.settings
    }
    return {setting_id: seconds for setting_id, seconds in told.items() if seconds is not None}


def expectations_s(plan: Plan, estimates: dict[str, float]) -> dict[str, float]:
    """Seconds by setting for a progress bar: the estimate, else in proportion to steps, branches and area."""
    guesses = {
        setting.id: setting.resolved.steps * (2 if setting.resolved.cfg else 1) * setting.area / 2048**2 * 0.3
        for setting in plan.settings
    }
    return guesses | estimates


def decode(png: bytes) -> Pixels:
    """(H, W, 3). Raises RemoteError when it is no picture."""
    try:
        with Image.open(io.BytesIO(png)) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise RemoteError(f"the server answered with something that is no picture: {error}") from error


def _request(plan: Plan, shot: Shot) -> Request:
    setting = shot.setting
    prompt = plan.wishes.prompts[shot.prompt_index].text
    return Request(prompt, shot.seed, setting.variant, setting.asked, setting.snap_resolution)


def _warm_up(plan: Plan, size: Asked) -> Shot:
    """A short picture of that size that touches what the longer ones will: with guidance where any has it."""
    settings = [setting for setting in plan.settings if setting.size == size]
    strongest = max(settings, key=lambda setting: setting.resolved.guidance_scale)
    steps = min(WARM_UP_STEPS, strongest.variant.steps)
    variant = replace(strongest.variant, name="warm-up", steps=steps)
    return Shot(replace(strongest, variant=variant), 0, plan.wishes.seeds[0], 0)


def _warm_weight(warm_up: Shot, expected_s: dict[str, float]) -> float:
    setting = warm_up.setting
    return expected_s[setting.id] * setting.variant.steps / setting.resolved.steps


def _name(plan: Plan, shot: Shot) -> str:
    width, height = shot.setting.size
    parts = [f"{shot.setting.variant.name} {width}x{height}"]
    if len(plan.wishes.prompts) > 1:
        parts.append(f"prompt {shot.prompt_index + 1}")
    if len(plan.wishes.seeds) > 1:
        parts.append(f"seed {shot.seed}")
    return ", ".join(parts)


def _sample(shot: Shot, answer: Answer, started_at: str, order: int) -> Sample:
    pixels = decode(answer.png)
    height, width = pixels.shape[:2]
    return Sample(
        key=shot.key,
        setting_id=shot.setting.id,
        prompt_index=shot.prompt_index,
        seed=shot.seed,
        repeat=shot.repeat,
        started_at=started_at,
        order=order,
        client_s=answer.client_s,
        elapsed_s=answer.elapsed_s,
        queued_s=answer.queued_s,
        timings=answer.timings,
        width=width,
        height=height,
        picture=f"{shot.picture_key}.png",
        pixels_sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        png_bytes=len(answer.png),
        image_id=answer.image_id,
    )
