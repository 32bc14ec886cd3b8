"""Pictures as input in the library: kept once, for as long as a job or its picture may need them, through any crash."""

from __future__ import annotations

import io
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from library_making import draft, job, job_record, png
from PIL import Image
from sqlalchemy import text

from hidream_studio.errors import NotFoundError, RequestError, StorageFullError
from hidream_studio.image.metadata import picture_chunks, settings_from_chunks
from hidream_studio.image.png import encode_png, read_text_chunks
from hidream_studio.image.thumbnail import MAX_TINY_BYTES
from hidream_studio.job.ids import new_id
from hidream_studio.job.record import JobRecord, State, Timings
from hidream_studio.library.files import RESERVE_BYTES
from hidream_studio.library.library import Library
from hidream_studio.library.records import Upload


def picture(number: int = 0, size: tuple[int, int] = (60, 40)) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def record_of(*uploads: Upload, **values: Any) -> JobRecord:
    return job_record(replace(job(), references=tuple(one.reference("coat") for one in uploads)), **values)


def drawn(library: Library, *uploads: Upload) -> str:
    """The id of a picture that was drawn from these."""
    record = record_of(*uploads)
    library.add_jobs([record])
    return library.store_image(draft(record), png()).id


def age(library: Library, upload: Upload) -> None:
    with library._database.writing() as session:
        session.execute(
            text("UPDATE uploads SET added_at = '2020-01-01T00:00:00.000Z' WHERE hash = :h"), {"h": upload.hash}
        )


def is_here(library: Library, upload: Upload) -> bool:
    """In memory, in the table and on disk, or in none of them."""
    try:
        library.upload(upload.hash)
        known = True
    except NotFoundError:
        known = False
    with library._database.reading() as session:
        rows = session.execute(text("SELECT count(*) FROM uploads WHERE hash = :h"), {"h": upload.hash}).scalar()
    file = library.data / "uploads" / upload.hash[:2] / upload.hash
    assert (known, known) == (bool(rows), file.is_file())
    assert known or not file.with_suffix(".webp").is_file()
    return known


def test_equal_pictures_are_kept_once_as_they_were_sent(library: Library, data: Path) -> None:
    first = library.add_upload(picture(), "../../my coat\n.png")
    again = library.add_upload(picture(), None)
    assert again == first and first.name == "my coat.png"
    assert (first.width, first.height, first.media_type, first.notes) == (60, 40, "image/png", ())
    assert library.upload_bytes(first.hash) == picture() and first.bytes == len(picture())
    assert len([path for path in (data / "uploads").rglob("*") if path.is_file()]) == 2  # and its thumbnail
    library.close()
    library = Library.open(data)
    assert library.upload(first.hash) == first
    library.close()


def test_a_thumbnail_is_small_and_comes_back_when_it_is_lost(library: Library, data: Path) -> None:
    upload = library.add_upload(picture(size=(800, 400)))
    small = library.upload_thumbnail(upload.hash)
    assert Image.open(io.BytesIO(small)).size == (160, 80)
    (data / "uploads" / upload.hash[:2] / f"{upload.hash}.webp").unlink()
    assert library.upload_thumbnail(upload.hash) == small


@pytest.mark.parametrize("damage", [lambda webp: b"", lambda webp: webp[:60], lambda webp: b"words" + webp])
def test_a_damaged_thumbnail_is_made_anew_and_costs_no_picture(
    library: Library, data: Path, damage: Callable[[bytes], bytes]
) -> None:
    upload = library.add_upload(picture())
    small = library.upload_thumbnail(upload.hash)
    file = data / "uploads" / upload.hash[:2] / f"{upload.hash}.webp"
    file.write_bytes(damage(small))
    image_id = drawn(library, upload)
    assert upload.hash in settings_from_chunks(read_text_chunks(library.file_path(image_id))).thumbnails
    assert file.read_bytes() == small


def test_a_picture_is_kept_whatever_is_wrong_with_the_small_ones_of_its_references(
    library: Library, data: Path
) -> None:
    upload = library.add_upload(picture())
    for path in (data / "uploads" / upload.hash[:2]).iterdir():
        path.unlink()
        path.mkdir()
    image_id = drawn(library, upload)
    assert settings_from_chunks(read_text_chunks(library.file_path(image_id))).thumbnails == {}


def test_what_is_no_picture_leaves_nothing(library: Library, data: Path) -> None:
    with pytest.raises(RequestError, match=r"references\.1 is a text") as refused:
        library.add_upload(b"just words", "a.png", field="references.1")
    assert refused.value.field == "references.1"
    assert [path for path in (data / "uploads").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("unknown", ["a" * 64, "", "../x", "é", "A" * 64])
def test_an_unknown_upload_is_not_found(library: Library, unknown: str) -> None:
    for ask in (library.upload, library.upload_bytes, library.upload_thumbnail, library.upload_path):
        with pytest.raises(NotFoundError):
            ask(unknown)


@pytest.mark.parametrize("state", ["queued", "running", "failed", "cancelled"])
def test_a_job_without_a_picture_keeps_its_references(library: Library, state: State) -> None:
    kept, other = library.add_upload(picture(0)), library.add_upload(picture(1))
    record = record_of(kept)
    library.add_jobs([record])
    library.update_job(record.id, state=state)
    age(library, kept)
    library.delete_image(drawn(library, other))
    assert is_here(library, kept) and not is_here(library, other)


def test_a_job_that_was_cancelled_a_day_ago_needs_its_references_no_more(library: Library) -> None:
    fresh, stale, shared = (library.add_upload(picture(number)) for number in range(3))
    long_ago = "2020-01-01T00:00:00.000Z"
    for uploads, state, ended in (
        ((fresh, shared), "cancelled", None), ((stale, shared), "cancelled", long_ago), ((shared,), "failed", long_ago),
    ):  # fmt: skip
        record = record_of(*uploads)
        library.add_jobs([record])
        library.update_job(record.id, state=state, finished_at=ended)
        gone = record
    library.sweep_uploads()
    assert is_here(library, fresh) and is_here(library, shared) and not is_here(library, stale)
    library.add_jobs([replace(gone, id=new_id(), state="queued")])  # as a retry does
    with pytest.raises(NotFoundError, match="send it again"):
        library.upload_path(stale.hash)


def test_one_unreadable_file_does_not_keep_the_library_from_opening(library: Library, data: Path) -> None:
    library.close()
    folder = data / "uploads" / "ab" / ("ab" * 32)  # in the place of a file
    folder.mkdir(parents=True)
    library = Library.open(data)
    assert folder.is_dir()
    library.close()


def test_an_upload_goes_with_the_last_picture_that_needs_it(library: Library) -> None:
    shared, own = library.add_upload(picture(0)), library.add_upload(picture(1))
    first, second = drawn(library, shared, own), drawn(library, shared, shared)
    library.delete_image(first)
    assert is_here(library, shared) and not is_here(library, own)
    library.update_image(second, rejected=True)
    assert is_here(library, shared)
    library.delete_image(second)
    assert not is_here(library, shared)


def test_an_upload_that_is_sent_anew_stays_for_who_is_about_to_use_it(library: Library) -> None:
    upload = library.add_upload(picture())
    image_id = drawn(library, upload)
    time.sleep(0.002)  # times are kept to the millisecond
    library.add_upload(picture())
    library.delete_image(image_id)
    assert is_here(library, upload)
    library.delete_image(drawn(library, upload))
    assert not is_here(library, upload)


def test_an_upload_that_nobody_used_goes_after_a_day(library: Library, data: Path) -> None:
    new, old, resent = (library.add_upload(picture(number)) for number in range(3))
    for upload in (old, resent):
        age(library, upload)
    library.add_upload(picture(2))
    library.close()
    library = Library.open(data)
    assert is_here(library, new) and is_here(library, resent) and not is_here(library, old)
    library.close()


def test_a_job_whose_reference_has_gone_is_refused_and_none_of_its_sheet_is_written(library: Library) -> None:
    here, gone = library.add_upload(picture(0)), library.add_upload(picture(1))
    library.delete_image(drawn(library, gone))
    with pytest.raises(RequestError, match=r"references\.1 .* send it again") as refused:
        library.add_jobs([record_of(here), record_of(here, gone)])
    assert refused.value.field == "references.1"
    assert [record.state for record in library.jobs()] == ["finished"]


def test_jobs_and_uploads_outlive_their_database(library: Library, data: Path) -> None:
    """Pictures are read in again from their files, and what they were drawn from with them."""
    upload, stray = library.add_upload(picture(0)), library.add_upload(picture(1))
    image_id = drawn(library, upload)
    library.close()
    for path in data.glob("library.sqlite3*"):
        path.unlink()
    for path in (data / "uploads").rglob("*"):
        os.utime(path, (0, 0))
    library = Library.open(data)
    assert library.image(image_id).job.references == (upload.reference("coat"),)
    assert is_here(library, upload) and not is_here(library, stray)
    library.delete_image(image_id)
    assert not is_here(library, upload)
    library.close()


def test_what_is_no_upload_of_ours_is_left_alone(library: Library, data: Path) -> None:
    library.close()
    wrong = data / "uploads" / "ab" / ("ab" * 32)
    wrong.parent.mkdir()
    wrong.write_bytes(b"not what its name says")
    (data / "uploads" / "ab" / "notes.txt").write_text("mine")
    (data / "uploads" / "ab" / ".x.tmp").write_text("half")
    library = Library.open(data)
    assert wrong.is_file() and sorted(path.name for path in wrong.parent.iterdir()) == [wrong.name, "notes.txt"]
    library.close()


def test_sending_and_deleting_at_the_same_time_never_loses_a_file(library: Library) -> None:
    upload = library.add_upload(picture())
    stop = threading.Event()
    failures: list[BaseException] = []

    def send() -> None:
        while not stop.is_set():
            try:
                sent = library.add_upload(picture())
                with library._uploads._changing:  # nothing is deleted meanwhile, so it is here or not, wholly
                    if is_here(library, sent):
                        library.upload_bytes(sent.hash)
            except BaseException as error:
                failures.append(error)
                raise

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        try:
            library.delete_image(drawn(library, upload))
        except RequestError:
            time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    library.add_upload(picture())
    assert not failures and is_here(library, upload)


def test_an_upload_is_not_swept_between_the_look_for_its_file_and_its_new_time(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = library.add_upload(picture())
    image_id = drawn(library, upload)
    kept, deleting = library._uploads._keep, threading.Thread(target=library.delete_image, args=(image_id,))

    def keep_late(*args: Any) -> None:
        deleting.start()
        deleting.join(0.3)  # it gets as far as it can
        kept(*args)

    time.sleep(0.002)  # times are kept to the millisecond
    monkeypatch.setattr(library._uploads, "_keep", keep_late)
    library.add_upload(picture())
    deleting.join()
    assert is_here(library, upload) and library.upload_bytes(upload.hash) == picture()


def test_an_upload_leaves_the_reserve_of_the_disk_free(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(library.data)._replace(free=RESERVE_BYTES + len(picture()) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(StorageFullError):
        library.add_upload(picture())
    assert [path for path in (library.data / "uploads").rglob("*") if path.is_file()] == []


def test_a_pictures_text_names_its_references_with_a_small_picture_of_each(
    library: Library, stored: Callable[..., Any]
) -> None:
    upload = library.add_upload(picture(size=(900, 600)))
    image_id = drawn(library, upload)
    settings = settings_from_chunks(read_text_chunks(library.file_path(image_id)))
    assert settings.request["references"] == [{"upload_id": upload.hash, "role": "coat"}]
    assert len(settings.thumbnails[upload.hash]) <= MAX_TINY_BYTES * 4 / 3 + 4
    plain = settings_from_chunks(read_text_chunks(library.file_path(stored().id)))
    assert "references" not in plain.request and plain.thumbnails == {}


def test_a_recall_finds_what_is_here_and_says_what_is_missing(library: Library) -> None:
    here, gone = library.add_upload(picture(0)), library.add_upload(picture(1))
    boxes = ((0.0, 0.5, 0.0, 1.0), (0.5, 1.0, 0.0, 1.0))
    both = replace(job(), references=(gone.reference("coat"), here.reference()), layout=boxes)
    alone = replace(job(), references=(gone.reference(),), keep_aspect=True)
    library.delete_image(drawn(library, gone))

    def dropped(of: Any) -> Any:
        chunks = picture_chunks(
            of, image_id="i", created_at="2026-03-01T09:30:00.125Z", model="m", fingerprint="f", numeric_path="cpu",
            timings=Timings(), version="0.1.0",
        )  # fmt: skip
        return library.import_picture(encode_png(np.zeros((1, 1, 3), np.uint8), chunks)).settings

    settings = dropped(both)
    assert settings.request["references"] == [{"upload_id": here.hash}] and settings.missing == (gone.hash,)
    assert [list(box) for box in settings.request["layout"]] == [list(boxes[1])]
    assert "reference 1 (coat) is not in this library: add its picture again" in settings.notes
    settings = dropped(alone)
    assert not {"references", "keep_aspect", "layout"} & settings.request.keys()
    assert settings.missing == (gone.hash,)
