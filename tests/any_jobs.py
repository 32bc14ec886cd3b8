"""Jobs of every kind for property tests: profiles, recipes, presets, sizes, noises, finishes, smaller tries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from hidream_studio.errors import RequestError
from hidream_studio.job.from_pictures import references_again
from hidream_studio.job.job import Job, pin
from hidream_studio.job.loras import MAX_STRENGTH
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, HIDREAM_O1_IMAGE_DEV, ModelProfile, profile_by_id
from hidream_studio.job.references import Reference
from hidream_studio.job.request import MAX_GUIDANCE, MAX_SEED, MAX_STEPS, FinishRequest, GenerationRequest
from hidream_studio.job.sizes import nearest_patch_multiple
from hidream_studio.job.values import to_json
from hidream_studio.service.variations import plan_finish, smaller_job

PROFILES = (HIDREAM_O1_IMAGE, HIDREAM_O1_IMAGE_DEV, profile_by_id("o1-tiny"))
PRESETS = ("quick", "standard", "high", "official")

_LETTERS = st.characters(exclude_categories=("Cs",), exclude_characters="\x00")
_LINES = st.sampled_from(
    ["a red heart", " on a sign ", "Negative prompt: blurry", "Steps: 20, Sampler: Euler, CFG scale: 3, Seed: 42",
     "Template: a {red|blue} heart", '{"sui_image_params": 1}', "ratio 3:4, style: bad, mood: dark", '"OK"', "", "Ã©"]
)  # fmt: skip
PROMPTS = st.one_of(st.text(_LETTERS, max_size=40), st.lists(_LINES, min_size=1, max_size=4).map("\n".join)).filter(
    lambda text: text.strip() != ""
)
_FLOATS = st.floats(0.01, 100, allow_subnormal=False)
_SIDES = st.integers(241, 2300)


_LORAS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.text("aé _-.1()", min_size=1, max_size=8),
            "strength": st.floats(-MAX_STRENGTH, MAX_STRENGTH),
            "hash": st.text("0123456789abcdef", min_size=64, max_size=64),
        }
    ),
    max_size=3,
    unique_by=lambda lora: lora["name"],
)


def _or_none(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


_REFERENCES = st.builds(
    Reference,
    hash=st.text("0123456789abcdef", min_size=64, max_size=64),
    width=st.integers(16, 4000),
    height=st.integers(16, 4000),
    role=_or_none(st.text(_LETTERS, max_size=40)),
)
_BOXES = st.tuples(st.floats(0, 0.4), st.floats(0.5, 1), st.floats(0, 0.4), st.floats(0.5, 1))


@st.composite
def _pictures(draw: st.DrawFn) -> tuple[tuple[Reference, ...], dict[str, Any]]:
    """References, and what a request says of them beside their ids."""
    references = tuple(draw(st.lists(_REFERENCES, min_size=1, max_size=6)))
    boxes = draw(_or_none(st.lists(_BOXES, min_size=1, max_size=len(references))))
    keep = draw(_or_none(st.booleans())) if len(references) == 1 and boxes is None else None
    return references, {"layout": boxes, "keep_aspect": keep, "references": references_again(to_json(references))}


@st.composite
def jobs(draw: st.DrawFn, *, pictures: bool = False) -> tuple[Job, ModelProfile]:
    """A job as it may stand in a library, and the profile that it was pinned with; `pictures`: drawn from some."""
    profile = draw(st.sampled_from(PROFILES))
    size = draw(_or_none(st.tuples(_SIDES, _SIDES)))
    references, beside = draw(_pictures()) if pictures else ((), {})
    asked = {
        "prompt": draw(PROMPTS),
        "negative_prompt": draw(_or_none(PROMPTS | st.just(" "))),
        "seed": draw(st.integers(0, MAX_SEED)),
        "steps": draw(_or_none(st.integers(1, MAX_STEPS))),
        "guidance_scale": draw(_or_none(st.floats(0, MAX_GUIDANCE))),
        "width": size and size[0],
        "height": size and size[1],
        "snap_resolution": draw(_or_none(st.booleans())),
        "preset": draw(_or_none(st.sampled_from(PRESETS))),
        "recipe": draw(_or_none(st.sampled_from(sorted(profile.recipes)))),
        "sampler": draw(_or_none(st.sampled_from(["unipc", "euler"]))),
        "shift": draw(_or_none(_FLOATS)),
        "noise_scale": draw(_or_none(_FLOATS)),
        "noise": draw(st.sampled_from(["upstream", "linked"])),
        "loras": draw(_or_none(_LORAS)),
        **beside,
    }
    if pictures and asked["recipe"] == "dev":
        asked["sampler"] = draw(_or_none(st.sampled_from(["flash", "flow_match"])))
    try:
        job = pin(GenerationRequest.model_validate(asked), profile, references=references).job
        if draw(st.booleans()):
            finish = {
                "mode": draw(st.sampled_from(["re-render", "keep-composition", "exact"])),
                "preset": draw(_or_none(st.sampled_from(PRESETS))),
            }
            job = plan_finish("0" * 26, job, FinishRequest.model_validate(finish), profile).job
        elif draw(st.booleans()):
            job, _ = smaller_job(job)
            if pictures:
                job.preparations(profile)
    except RequestError:
        assume(False)
    return job, profile


def without_draft(job: Job) -> Job:
    """What is asked for again of a job: not the draft that it finished, nor the size that was tried first."""
    job = replace(job, parent_id=None, finish_mode=None, strength=None)
    asked = (job.requested_width, job.requested_height)
    if job.keep_aspect or job.snap_resolution or tuple(map(nearest_patch_multiple, asked)) == (job.width, job.height):
        return job
    return replace(job, requested_width=job.width, requested_height=job.height)
