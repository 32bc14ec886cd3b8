"""What all tests share: paths of the checkpoints, and CI's promise that nothing is skipped."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before torch is there: a busy machine should not stall the tests
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the cores already

GOLDEN = Path(__file__).parent / "data" / "golden"


@pytest.fixture(scope="session")
def golden_checkpoint() -> Path:
    """A tiny random checkpoint in upstream's layout: noise for pictures, but each value is decided."""
    return GOLDEN / "checkpoint"


@pytest.fixture(scope="module", autouse=True)
def no_event_loop_stays() -> Iterator[None]:
    """Which files share a process is chance: a loop left running would fail tests of others, far from its cause."""
    yield
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of few tests first: they draw, train or start servers, and one that begins last would be waited for."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (counts[item.path], item.path))  # stable: a file's tests keep their order


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter is not None else 0
    if skipped and os.environ.get("HIDREAM_STUDIO_TESTS_NO_SKIP") == "1":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line(f"{skipped} tests were skipped, which this run does not allow", red=True)
