"""What is read ahead is what will be loaded, once each, in that order, and never more than memory holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hidream_studio.engine.read_ahead import SHARE_OF_FREE_MEMORY, begin_read_ahead, in_cache, pieces
from hidream_studio.model.checkpoint import open_checkpoint


def test_every_byte_that_is_loaded_is_read_once_in_the_files_order(golden_checkpoint: Path):
    checkpoint = open_checkpoint(str(golden_checkpoint))
    found = list(pieces(checkpoint, 2**40))
    assert sum(nbytes for _, _, nbytes in found) == checkpoint.nbytes
    assert found == sorted(found)
    assert len(set(found)) == len(found)


def test_no_more_is_read_than_memory_holds(golden_checkpoint: Path):
    checkpoint = open_checkpoint(str(golden_checkpoint))
    free = checkpoint.nbytes
    assert 0 < sum(nbytes for _, _, nbytes in pieces(checkpoint, free)) <= free * SHARE_OF_FREE_MEMORY


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="this system does not tell what it holds")
def test_what_the_system_does_not_hold_is_read_into_its_cache(golden_checkpoint: Path, tmp_path: Path):
    folder = Path(shutil.copytree(golden_checkpoint, tmp_path / "checkpoint"))
    (path,) = folder.glob("*.safetensors")
    descriptor, last = os.open(path, os.O_RDONLY), path.stat().st_size - 1
    try:
        os.fsync(descriptor)
        if not in_cache(descriptor, last):
            pytest.skip("this file system does not tell what is in the cache")
        give_up_s = time.monotonic() + 10
        while in_cache(descriptor, last) and time.monotonic() < give_up_s:  # pages just used are not forgotten at once
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            time.sleep(0.05)
        thread = begin_read_ahead(str(folder))
        assert thread is not None
        thread.join(20)
        assert in_cache(descriptor, last)
    finally:
        os.close(descriptor)


def test_what_is_no_checkpoint_is_left_to_loading_to_refuse(tmp_path: Path):
    assert begin_read_ahead("owner/name") is None
    thread = begin_read_ahead(str(tmp_path))
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()


def test_it_begins_before_torch_is_there(golden_checkpoint: Path):
    code = (
        "import sys\nfrom hidream_studio.engine.read_ahead import begin_read_ahead\n"
        f"begin_read_ahead({str(golden_checkpoint)!r}).join(20)\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
