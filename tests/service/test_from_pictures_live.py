"""Pictures as input through a whole studio: kept before the job is told queued, drawn by the worker, kept by all that
follows."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_studio import LiveStudio, asked
from PIL import Image

from hidream_studio.engine.pipeline import Pipeline
from hidream_studio.errors import NotFoundError, RequestError
from hidream_studio.image.intake import read_picture
from hidream_studio.image.references import prepare
from hidream_studio.job.job import Job
from hidream_studio.job.record import JobView
from hidream_studio.job.references import fit
from hidream_studio.job.request import FinishRequest, SheetRequest
from hidream_studio.library.library import Library
from hidream_studio.service.studio import Studio
from hidream_studio.settings import Settings

GOLDEN = Path(__file__).parents[1] / "data" / "golden_ref"
LEFT, RIGHT = [0.05, 0.45, 0.1, 0.9], [0.5, 0.95, 0.1, 0.9]


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStudio]:
    studio = LiveStudio(tmp_path_factory.mktemp("data"), GOLDEN / "checkpoint", queue_limit=50)
    try:
        studio.until_ready()
        yield studio
    finally:
        if not studio.closed:
            studio.close()


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load(str(GOLDEN / "checkpoint"), device="cpu", profile="o1-tiny", threads=1)


def file(name: str) -> bytes:
    return (GOLDEN / "pictures" / f"{name}.png").read_bytes()


def upload(live: LiveStudio, name: str) -> dict[str, str]:
    return {"upload_id": live.run(live.studio.add_upload(file(name), f"{name}.png")).hash}


def photo(side_px: int = 300) -> str:
    """As a phone sends it, lying on its side."""
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.open(io.BytesIO(file("face"))).convert("RGB").resize((side_px, 200)).save(out, "JPEG", exif=exif)
    return base64.b64encode(out.getvalue()).decode()


def pixels(live: LiveStudio, view: JobView) -> np.ndarray:
    assert view.state == "finished", view.error
    return np.asarray(Image.open(live.library.file_path(str(view.image_id))))


def drawn_alone(live: LiveStudio, pipeline: Pipeline, job: Job) -> np.ndarray:
    pictures = [read_picture(live.library.upload_bytes(one.hash)).picture for one in job.references]
    prepared = prepare(
        pictures, job.width, job.height, layout=job.layout, kept_side=job.kept_side(pipeline.profile)
    )  # fmt: skip
    render = pipeline.render(job, references=prepared)
    while True:
        try:
            next(render)
        except StopIteration as stop:
            return stop.value.pixels


def finished(live: LiveStudio, image_id: str | None, **asked: Any) -> JobView:
    view = live.run(live.studio.finish(str(image_id), FinishRequest(**asked)))
    return live.wait(view.id)


def test_a_picture_in_base64_an_upload_and_one_of_the_library_are_drawn_from(
    seeing: LiveStudio, pipeline: Pipeline
) -> None:
    words = seeing.draw()
    references = [{"image": photo(), "role": "face"}, upload(seeing, "tall"), {"image_id": words.image_id}]
    queued = seeing.submit(references=references, guidance_scale=3.0, layout=[LEFT, RIGHT])

    record = seeing.library.job(queued.id)  # on disk as soon as it is told
    assert [one.role for one in record.job.references] == ["face", None, None]
    assert (record.job.references[0].width, record.job.references[0].height) == (200, 300)
    assert seeing.library.upload_bytes(record.job.references[2].hash).startswith(b"\x89PNG")
    assert "image" not in str(record.request["references"][0].keys())  # no second copy in the database
    assert [one.why for one in queued.adjustments if one.field == "references.0"] == ["turned as its EXIF says"]

    view = seeing.wait(queued.id)
    assert np.array_equal(pixels(seeing, view), drawn_alone(seeing, pipeline, view.job))
    assert view.estimate_s and view.estimate_s > words.estimate_s  # it knows the tokens
    again = seeing.draw(references=references, guidance_scale=3.0, layout=[LEFT, RIGHT], seed=2)
    assert not np.array_equal(pixels(seeing, again), pixels(seeing, view))


def test_a_small_edit_is_finished_large_in_each_way(seeing: LiveStudio, pipeline: Pipeline) -> None:
    edit = {"references": [upload(seeing, "wide")], "keep_aspect": True, "noise": "linked"}
    draft = seeing.draw(**edit, width=352, height=352)
    assert (draft.job.width, draft.job.height) == fit((640, 427), 352).size

    larger = finished(seeing, draft.image_id, width=512, height=512, steps=5)
    assert (larger.job.width, larger.job.height) == fit((640, 427), 512).size
    assert larger.job.references == draft.job.references and larger.job.noise == "linked" and larger.job.keep_aspect
    assert np.array_equal(pixels(seeing, larger), drawn_alone(seeing, pipeline, larger.job))
    composed = finished(seeing, draft.image_id, mode="keep-composition", width=512, height=512, steps=4)
    assert pixels(seeing, composed).shape == pixels(seeing, larger).shape
    assert not np.array_equal(pixels(seeing, composed), pixels(seeing, larger))
    exact = finished(seeing, draft.image_id, mode="exact", steps=6)
    assert (exact.job.width, exact.job.height) == (draft.job.width, draft.job.height)
    assert np.array_equal(pixels(seeing, exact), drawn_alone(seeing, pipeline, exact.job))


def test_a_sheet_keeps_its_pictures_and_knows_its_price(seeing: LiveStudio) -> None:
    request = asked(references=[{"image": photo(200)}, upload(seeing, "coat")])
    sheet = SheetRequest(request=request, n=2, steps=[2, 3])
    with pytest.raises(RequestError, match="no upload yet"):
        seeing.call(lambda: seeing.studio.estimate_sheet(sheet))
    kept = seeing.run(seeing.studio.keep_references(request))
    price = seeing.call(lambda: seeing.studio.estimate_sheet(sheet.model_copy(update={"request": kept})))
    plain = seeing.call(lambda: seeing.studio.estimate_sheet(sheet.model_copy(update={"request": asked()})))
    assert price.pictures == 4 and price.seconds > plain.seconds

    views = [seeing.wait(view.id) for view in seeing.run(seeing.studio.submit_sheet(sheet)).jobs]
    assert len({pixels(seeing, view).tobytes() for view in views}) == 4
    assert {view.job.references for view in views} == {views[0].job.references}


def test_cancelled_and_retried_it_is_drawn_from_the_same_pictures(seeing: LiveStudio) -> None:
    view = seeing.submit(references=[upload(seeing, "hat")], width=512, height=512, steps=100)
    seeing.until_step(view.id, 1)
    seeing.run(seeing.studio.cancel(view.id))
    assert seeing.wait(view.id).state == "cancelled"
    again = seeing.run(seeing.studio.retry(view.id, smaller=True))
    assert again.job.references == view.job.references and again.job.width < 512
    seeing.run(seeing.studio.cancel(again.id))


@pytest.mark.parametrize(
    ("reference", "says", "field"),
    [
        ({"image": "no base64 at all!"}, "is no base64", "references.1.image"),
        ({"image": base64.b64encode(b"just words").decode()}, "a text and no picture", "references.1"),
        ({"image_id": "unknown"}, "there is no picture unknown", "references.1"),
        ({"upload_id": "a" * 64}, "there is no upload aaaaaaaaaaaa", "references.1"),
    ],
)
def test_what_is_no_picture_is_refused_before_anything_is_queued(
    seeing: LiveStudio, reference: dict[str, str], says: str, field: str
) -> None:
    before = len(seeing.library.jobs())
    with pytest.raises(RequestError, match=says) as refused:
        seeing.submit(references=[{"image": photo()}, reference])
    assert refused.value.field == field
    assert len(seeing.library.jobs()) == before


def test_prompt_and_pictures_together_have_a_limit(seeing: LiveStudio) -> None:
    with pytest.raises(RequestError, match="tokens"):
        seeing.submit(prompt="a" * 4000, references=[upload(seeing, "square")])


def test_a_model_without_eyes_refuses_pictures_and_says_so_to_clients(
    tmp_path: Path, golden_checkpoint: Path, seeing: LiveStudio
) -> None:
    library = Library.open(tmp_path)
    blind = Studio(Settings(model=str(golden_checkpoint), data=tmp_path), library)  # whose worker never starts
    with pytest.raises(RequestError, match="takes no pictures as input") as refused:
        asyncio.run(blind.submit(asked(references=[{"image": photo()}])))
    assert refused.value.field == "references"
    assert not list((tmp_path / "uploads").rglob("*"))
    assert blind.health().references is None
    library.close()
    limits = seeing.call(seeing.studio.health).references
    assert limits is not None and limits.max == 20


def test_after_a_restart_what_waited_is_drawn_from_its_pictures_and_what_lost_them_says_so(
    seeing: LiveStudio, pipeline: Pipeline
) -> None:
    seeing.call(seeing.studio.pause)
    waiting = seeing.submit(references=[upload(seeing, "bag"), upload(seeing, "wall")])
    robbed = seeing.submit(references=[upload(seeing, "skeleton")])
    lost = robbed.job.references[0].hash
    seeing.close()
    (seeing.library.data / "uploads" / lost[:2] / lost).unlink()

    after = LiveStudio(seeing.library.data, GOLDEN / "checkpoint")
    try:
        after.call(after.studio.resume)
        view = after.wait(waiting.id)
        assert np.array_equal(pixels(after, view), drawn_alone(after, pipeline, view.job))
        end = after.wait(robbed.id)
        assert end.state == "failed" and end.error is not None and "has vanished" in end.error.message
        for image in after.library.images():
            after.library.delete_image(image.id)
        with pytest.raises(NotFoundError):
            after.library.upload(waiting.job.references[0].hash)
        assert after.library.upload(lost)  # a failed job may be tried again
    finally:
        after.close()
