"""What a library is for: kill -9, a full disk, a second server, a damaged file. These are real processes and limits."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from library_making import draft, job_record, png

from hidream_studio.errors import LibraryError, StorageFullError
from hidream_studio.image.png import decode_png
from hidream_studio.job.ids import new_id
from hidream_studio.library.files import check_free_space
from hidream_studio.library.library import Library
from hidream_studio.library.records import ImageRecord

HERE = Path(__file__).parent

# stores pictures until it is killed; says the id of each when, and only when, it is told to be stored
STORING = """
import sys
from pathlib import Path
from library_making import draft, job_record, png
from hidream_studio.library.library import Library
library = Library.open(Path(sys.argv[1]))
picture = png(64)
while True:
    record = job_record()
    library.add_jobs([record])
    library.update_job(record.id, state="running", attempts=1)
    print(library.store_image(draft(record), picture).id, flush=True)
"""

# is killed when the file is in its place and the row is not yet written
KILLED_BETWEEN_FILE_AND_ROW = """
import os, signal, sys
from pathlib import Path
from library_making import draft, job_record, png
from hidream_studio.library import library as module
module.add_image = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
library = module.Library.open(Path(sys.argv[1]))
record = job_record(lane="final", estimate_s=4.5, sheet_id="5" * 26)
library.add_jobs([record])
library.update_job(record.id, state="running", attempts=1)
print(record.id, flush=True)
library.store_image(draft(record), png())
"""


def start(program: str, data: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        [sys.executable, "-c", program, str(data)], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_a_picture_that_was_told_to_be_stored_is_there_after_kill_9(data: Path) -> None:
    told: list[str] = []
    for lines in (1, 7, 20):
        with start(STORING, data) as child:
            assert child.stdout is not None
            told += [child.stdout.readline().strip() for _ in range(lines)]
            child.kill()
            told += [line.strip() for line in child.stdout if len(line) == 27]

        library = Library.open(data)
        stored = {picture.id for picture in library.images(limit=1000)}
        assert stored.issuperset(told)
        for picture_id in stored:
            assert decode_png(library.file_path(picture_id)).shape == (64, 64, 3)
        assert len(list(data.rglob("*.png"))) == len(stored) and list(data.rglob("*.tmp")) == []
        assert len(library.pending_jobs()) <= lines  # at most the one that was under way, and none that is finished
        assert all(library.job(job.id).image_id is None for job in library.pending_jobs())
        library.close()


def test_a_picture_whose_row_a_crash_prevented_is_adopted_and_never_drawn_twice(data: Path) -> None:
    with start(KILLED_BETWEEN_FILE_AND_ROW, data) as child:
        assert child.stdout is not None
        job_id = child.stdout.readline().strip()
        assert child.wait(30) == -signal.SIGKILL

    library = Library.open(data)

    [picture] = library.images()
    assert (picture.job_id, picture.lane, picture.estimate_s, picture.sheet_id) == (job_id, "final", 4.5, "5" * 26)
    assert picture.model == "golden" and picture.created_at <= library.job(job_id).finished_at
    assert library.pending_jobs() == [] and library.job(job_id).state == "finished"
    library.close()
    again = Library.open(data)
    assert again.images() == [picture]
    again.close()


def test_a_lost_database_is_made_again_from_the_pictures(
    library: Library, stored: Callable[..., ImageRecord], data: Path
) -> None:
    root = stored("a fox", seed=1)
    child = stored("a fox", seed=1, parent_id=root.id, finish_mode="re-render")
    library.close()
    for file in data.glob("library.sqlite3*"):
        file.unlink()

    again = Library.open(data)

    assert {(picture.id, picture.job) for picture in again.images(q="fox")} == {
        (root.id, root.job),
        (child.id, child.job),
    }
    assert [picture.id for picture in again.lineage(child.id)] == [root.id, child.id]
    again.close()


def test_strange_files_among_the_pictures_are_left_alone(library: Library, data: Path) -> None:
    library.close()
    folder = data / "images" / "2026-01"
    folder.mkdir(parents=True)
    strange = [folder / "holiday.png", folder / f"{new_id()}.png", folder / f"{new_id()}.png", folder / "notes.txt"]
    for file, content in zip(strange, (png(), png(), b"", b"x"), strict=True):
        file.write_bytes(content)
    (folder / ".half.png.0123.tmp").write_bytes(b"half")

    again = Library.open(data)

    assert again.images() == [] and all(file.exists() for file in strange)
    assert list(data.rglob("*.tmp")) == []
    again.close()


def test_a_second_server_is_refused_and_told_of_the_first(library: Library, data: Path) -> None:
    library.announce("http://127.0.0.1:7860")

    with pytest.raises(LibraryError) as refusal:
        Library.open(data)

    assert f"pid {os.getpid()}" in refusal.value.message and "http://127.0.0.1:7860" in refusal.value.message
    library.close()
    Library.open(data).close()


def test_a_killed_server_leaves_no_lock_behind(data: Path) -> None:
    with start(STORING, data) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(LibraryError, match=f"pid {child.pid}"):
            Library.open(data)
        child.kill()
        child.stdout.read()

    Library.open(data).close()


@contextmanager
def files_of_at_most(limit_bytes: int) -> Iterator[None]:
    """A write beyond it fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_picture_that_the_disk_cannot_hold_is_refused_whole(library: Library, data: Path) -> None:
    record = job_record()
    library.add_jobs([record])
    large = png(512)

    with files_of_at_most(len(large) // 2), pytest.raises(StorageFullError, match="full"):
        library.store_image(draft(record), large)

    assert [file for file in (data / "images").rglob("*") if file.is_file()] == []
    assert library.images() == [] and library.job(record.id).state == "queued"
    assert library.store_image(draft(record), large).bytes >= len(large)  # once there is room


def test_a_database_that_cannot_grow_refuses_and_keeps_what_it_has(library: Library, data: Path) -> None:
    record = job_record()
    library.add_jobs([record])
    files_before = set(data.rglob("*.png"))
    grown = (data / "library.sqlite3-wal").stat().st_size

    with files_of_at_most(grown + 5_000):
        with pytest.raises(LibraryError) as refusal:
            library.add_jobs([job_record() for _ in range(100)])
        with pytest.raises(LibraryError):
            for _ in range(5):
                library.store_image(draft(job_record()), png(16))
    assert "\n" not in refusal.value.message

    library.add_jobs([job_record()])
    assert len(library.pending_jobs()) == 2
    stored = {data / picture.file for picture in library.images()}
    assert set(data.rglob("*.png")) - files_before == stored  # no file without its row, no row without its file


def test_work_is_refused_before_it_is_begun_when_the_disk_is_nearly_full(tmp_path: Path) -> None:
    with pytest.raises(StorageFullError) as refusal:
        check_free_space(tmp_path, 2**60)

    assert refusal.value.limit == 2**60 and "MiB are free" in refusal.value.message


@pytest.mark.parametrize("where", ["file", "below a file", "kernel"])
def test_a_data_folder_that_cannot_be_one_is_named(tmp_path: Path, where: str) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    folder = {"file": file, "below a file": file / "data", "kernel": Path("/proc/self/hidream")}[where]

    with pytest.raises(LibraryError) as refusal:
        Library.open(folder)

    assert str(folder) in refusal.value.message and "\n" not in refusal.value.message


def test_a_damaged_database_is_named_and_the_lock_let_go(data: Path) -> None:
    data.mkdir()
    (data / "library.sqlite3").write_bytes(b"this is no database " * 500)

    for _ in range(2):
        with pytest.raises(LibraryError, match=r"library\.sqlite3 is damaged or no library"):
            Library.open(data)
