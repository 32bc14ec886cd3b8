"""Pictures on disk: found by words and settings, kept in families, deleted for good, restored from a dropped PNG."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from library_making import draft, job, job_record, png
from PIL import Image

from hidream_studio.errors import LibraryError, NotFoundError, RequestError
from hidream_studio.image.metadata import picture_facts
from hidream_studio.image.png import encode_png, read_text_chunks
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.ids import new_id
from hidream_studio.job.record import Timings
from hidream_studio.library.library import Library
from hidream_studio.library.records import ImageRecord

Store = Callable[..., ImageRecord]


def test_a_stored_picture_comes_back_with_its_whole_job_and_ends_it(library: Library) -> None:
    record = job_record(lane="final", sheet_id=new_id(), estimate_s=2.0)
    library.add_jobs([record])
    given = draft(
        record, timings=Timings(0.1, 1.2, 0.1, 0.1), estimate_s=2.0, queued_s=0.25,
        adjustments=(Adjustment(field="width", asked=250, used=256, why="rounded"),),
    )  # fmt: skip

    stored = library.store_image(given, png())

    assert library.image(stored.id) == stored
    for field in ("id", "job_id", "job", "lane", "created_at", "elapsed_s", "timings", "adjustments", "estimate_s",
                  "sheet_id", "model", "fingerprint", "numeric_path"):  # fmt: skip
        assert getattr(stored, field) == getattr(given, field)
    assert (stored.job.width, stored.job.height, stored.job.seed, stored.job.steps) == (256, 256, 7, 50)
    assert stored.favourite is False and stored.rejected_at is None and stored.job.parent_id is None
    ended = library.job(record.id)
    assert (ended.state, ended.image_id, ended.elapsed_s, ended.queued_s) == ("finished", stored.id, 1.5, 0.25)
    assert ended.finished_at is not None and ended.timings == given.timings


def test_the_file_says_by_itself_what_it_is(library: Library, stored: Store) -> None:
    picture = stored("a fox", seed=11)
    path = library.file_path(picture.id)

    facts = picture_facts(read_text_chunks(path))

    assert path.stat().st_size == picture.bytes
    assert facts is not None
    assert (facts.image_id, facts.job_id, facts.job) == (picture.id, picture.job_id, picture.job)


def test_a_job_has_one_picture_however_often_it_is_stored(library: Library) -> None:
    record = job_record()
    library.add_jobs([record])

    first = library.store_image(draft(record), png())
    second = library.store_image(draft(record), png())

    assert second == first and len(library.images()) == 1
    assert len(list((library.data / "images").rglob("*.png"))) == 1


def test_what_is_no_png_is_not_stored(library: Library) -> None:
    record = job_record()
    library.add_jobs([record])

    with pytest.raises(RequestError):
        library.store_image(draft(record), b"no picture")

    assert library.job(record.id).state == "queued" and library.images() == []


LORAS = [{"name": name, "strength": 0.5, "hash": "0" * 64} for name in ("blue ink", "été")]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("fox", {"fox"}), ("FOX snow", {"fox"}), ("snow", {"fox", "café"}), ('"snow at night"', {"café"}),
        ('"night at"', set()), ("fox owl", set()), ("CAFÉ", {"café"}), ("Cafe\u0301", {"café"}), ("100%", {"percent"}),
        ("1_0", set()), ("100_", {"percent"}), ("seed:3", {"fox"}), ("SEED:3 snow", {"fox"}), ("steps:24", {"café"}),
        ("size:512x256", {"percent"}), ("size:512×256", {"percent"}), ("guidance:1.5", {"percent"}),
        ("guidance:5", {"fox", "café"}), ("fav:1", {"café"}), ("fav:no", {"fox", "percent"}), ("preset:quick", set()),
        ("preset:none", {"fox", "café", "percent"}), ("lane:final", {"fox"}), ("recipe:DEV", set()),
        ("ratio:3", set()), ("http://x", set()), ("", {"fox", "café", "percent"}), ("   ", {"fox", "café", "percent"}),
        ('""', {"fox", "café", "percent"}), ('"fox', {"fox"}), ("' OR 1=1 --", set()),
        ("lora:ink", {"fox"}), ("LORA:ÉTÉ", {"fox"}), ("lora:in fox", {"fox"}), ("lora:%", set()), ("lora:0.5", set()),
    ],
)  # fmt: skip
def test_a_search_finds_by_words_and_settings(library: Library, stored: Store, query: str, found: set[str]) -> None:
    pictures = {
        "fox": stored("A Fox in the snow", seed=3, lane="final", loras=LORAS),
        "café": stored("a café, snow at night", steps=24),
        "percent": stored("a sign: 100%_100_", width=512, guidance_scale=1.5),
    }
    library.update_image(pictures["café"].id, favourite=True)

    ids = {picture.id for picture in library.images(q=query)}

    assert ids == {pictures[name].id for name in found}


@pytest.mark.parametrize(
    "query",
    ["seed:", "seed:x", "seed:-1", "seed:9007199254740993", "seed:" + "9" * 30, "size:512", "size:axb", "guidance:nan",
     "fav:maybe", "steps:1.5", "x" * 1001, "a " * 51],
)  # fmt: skip
def test_a_setting_that_cannot_be_searched_for_is_named(library: Library, query: str) -> None:
    with pytest.raises(RequestError) as refusal:
        library.images(q=query)

    assert refusal.value.field == "q" and refusal.value.limit is not None


@pytest.mark.parametrize("half", ["\ud800", "a\x00b", "preset:\udfff"])
def test_text_that_no_database_can_hold_is_refused(library: Library, half: str) -> None:
    with pytest.raises(RequestError, match="character"):
        library.images(q=half)
    with pytest.raises(RequestError, match="character"):
        library.images(sheet_id="\ud800")


def test_pictures_are_listed_newest_first_by_page_sheet_and_parent(library: Library, stored: Store) -> None:
    sheet = new_id()
    ids = sorted(stored(sheet_id=sheet if n < 2 else None).id for n in range(5))
    child = stored(parent_id=ids[0], finish_mode="re-render")

    assert [one.id for one in library.images(limit=3)] == sorted([*ids, child.id], reverse=True)[:3]
    assert [one.id for one in library.images(before=ids[2])] == [ids[1], ids[0]]
    assert len(library.images(sheet_id=sheet)) == 2
    assert [one.id for one in library.images(parent_id=ids[0])] == [child.id]


def test_a_favourite_and_a_rejection_can_be_undone(library: Library, stored: Store) -> None:
    picture = stored()

    assert library.update_image(picture.id, favourite=True, rejected=True).favourite
    assert library.images() == [] and len(library.images(rejected=True)) == len(library.images(rejected=None)) == 1
    first_time = library.image(picture.id).rejected_at
    assert library.update_image(picture.id, rejected=True).rejected_at == first_time  # rejected twice: since the first

    assert library.update_image(picture.id, favourite=False, rejected=False) == picture
    assert library.images(favourite=True) == [] and library.images(favourite=False) == [picture]


def test_a_family_stays_together_when_one_of_it_is_deleted(library: Library, stored: Store) -> None:
    root = stored()
    middle = stored(parent_id=root.id, finish_mode="re-render")
    leaf = stored(parent_id=middle.id, finish_mode="exact")
    other = stored()

    family = [root.id, middle.id, leaf.id]
    assert all([one.id for one in library.lineage(member)] == family for member in family)
    assert [one.id for one in library.lineage(other.id)] == [other.id]

    library.delete_image(middle.id)
    assert [one.id for one in library.lineage(leaf.id)] == [root.id, leaf.id]
    late = stored(parent_id=middle.id, finish_mode="re-render")  # was on its way when its parent was deleted
    assert [one.id for one in library.lineage(root.id)] == [root.id, leaf.id, late.id]


def test_a_deleted_picture_leaves_no_file_and_does_not_come_back(library: Library, stored: Store, data: Path) -> None:
    picture, kept = stored(), stored()
    files = [library.file_path(picture.id), library.thumbnail(picture.id)]

    library.delete_image(picture.id)

    assert not any(file.exists() for file in files)
    assert library.job(picture.job_id).image_id is None
    for call in (library.image, library.delete_image, library.file_path, library.thumbnail, library.lineage):
        with pytest.raises(NotFoundError):
            call(picture.id)
    library.close()
    again = Library.open(data)
    assert [one.id for one in again.images()] == [kept.id]
    again.close()


def test_a_deleted_picture_whose_file_stays_does_not_come_back_and_its_file_goes_when_it_can(
    library: Library, stored: Store, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = stored()
    file = library.file_path(picture.id)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "it is held by another program", str(path))

    with monkeypatch.context() as held:
        held.setattr(Path, "unlink", refuse)
        library.delete_image(picture.id)
        library.close()
        again = Library.open(data)
        assert file.exists() and again.images() == []
        again.close()
    last = Library.open(data)
    assert not file.exists() and last.images() == []
    last.close()


def test_a_thumbnail_is_made_once_however_many_ask(library: Library, stored: Store) -> None:
    picture = stored()
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(library.thumbnail(picture.id))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(paths)) == 1 and len(paths) == 8
    with Image.open(paths[0]) as image:
        assert image.format == "WEBP"
    made_ns = paths[0].stat().st_mtime_ns
    library.file_path(picture.id).unlink()
    assert library.thumbnail(picture.id).stat().st_mtime_ns == made_ns


def test_a_vanished_or_damaged_file_is_told_as_such(library: Library, stored: Store) -> None:
    vanished, damaged = stored(), stored()
    library.file_path(vanished.id).unlink()
    library.file_path(damaged.id).write_bytes(b"not a picture any more")

    for call in (library.file_path, library.thumbnail):
        with pytest.raises(NotFoundError, match="vanished"):
            call(vanished.id)
    with pytest.raises(LibraryError, match="damaged"):
        library.thumbnail(damaged.id)
    library.delete_image(vanished.id)
    assert [one.id for one in library.images()] == [damaged.id]


def test_a_dropped_png_of_this_library_is_recognised(library: Library, stored: Store) -> None:
    picture = stored("a fox", seed=99)

    result = library.import_picture(library.file_path(picture.id).read_bytes())

    assert result.record == picture
    assert result.settings.source == "hidream_studio" and result.settings.request["seed"] == 99


def test_a_dropped_png_of_somebody_else_brings_settings_and_stores_nothing(library: Library) -> None:
    dropped = encode_png(np.zeros((8, 8, 3), np.uint8), {"parameters": "a dog\nSteps: 20, Seed: 5"})

    result = library.import_picture(dropped)

    assert result.record is None and result.settings.request == {"prompt": "a dog", "steps": 20, "seed": 5}
    assert library.images() == [] and library.jobs() == []


def test_a_picture_of_a_job_that_the_library_never_saw_is_stored_with_that_job(library: Library) -> None:
    unseen = job_record(job("drawn elsewhere"))

    picture = library.store_image(draft(unseen), png())

    assert library.job(unseen.id).image_id == picture.id and library.job(unseen.id).state == "finished"
