"""The benchmark's command line: wishes in, a folder of reports out. The table goes to stdout, progress to stderr."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hidream_studio.bench.checks import Judges, find_judges
from hidream_studio.bench.client import ImageServer, OpenAiServer, StudioServer
from hidream_studio.bench.folder import RunFolder
from hidream_studio.bench.losses import measure_losses
from hidream_studio.bench.machine import describe_machine
from hidream_studio.bench.options import parser, token_of, wishes_of
from hidream_studio.bench.plan import Fixed, Plan, shots
from hidream_studio.bench.report.tables import plain_text, summary_table
from hidream_studio.bench.report.write import write_report
from hidream_studio.bench.results import gather
from hidream_studio.bench.run import Progress, estimates_s, expectations_s, measure
from hidream_studio.bench.settle import Settled, settle
from hidream_studio.bench.sweet_spots import parse_limit
from hidream_studio.errors import RemoteError, RequestError, StudioError

DEFAULT_OUT = Path("bench-out")
READY_TIMEOUT_S = 900.0
DONE, FAILED, WRONG_CALL = 0, 1, 2


def main(argv: Sequence[str] | None = None, *, prog: str = "hidream-studio bench") -> int:
    """Run the benchmark; the process's exit code: 0, 1 for work that failed, 2 for a wrong call."""
    try:
        arguments = parser(prog).parse_args(argv)
    except SystemExit as stop:  # argparse's way out, after its own message
        return stop.code if isinstance(stop.code, int) else WRONG_CALL
    try:
        return _run(arguments, shlex.join([prog, *(sys.argv[1:] if argv is None else argv)]))
    except RequestError as error:
        _say(f"{prog}: {error.message}")
        return WRONG_CALL
    except StudioError as error:
        _say(f"{prog}: {error.message}")
        return FAILED
    except KeyboardInterrupt:
        _say(f"{prog}: interrupted")
        return FAILED


def _run(arguments: argparse.Namespace, command: str) -> int:
    wishes = wishes_of(arguments)
    limits = dict(parse_limit(text) for text in arguments.limit) or None
    judges = find_judges(wishes.prompts)
    server = _server(arguments, wishes.fixed)
    try:
        identity = _wait_until_ready(server, arguments.url)
        settled = settle(wishes, server, identity)
        settled = replace(settled, notes=(*settled.notes, *judges.notes))
        plan = settled.plan
        out = arguments.out or DEFAULT_OUT / f"{_slug(plan)}-{plan.short_hash()}"
        about = {
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"), "command": command, "url": arguments.url,
            "machine": describe_machine(), "server": identity,
            "estimates_s": estimates_s(plan, server),
        }  # fmt: skip
        folder = RunFolder.open(out, plan.identity(), about)
        try:
            return _measure_and_report(settled, judges, arguments.repeat, server, folder, limits)
        finally:
            folder.close()
    finally:
        server.close()


def _measure_and_report(
    settled: Settled, judges: Judges, repeats: int, server: ImageServer, folder: RunFolder,
    limits: dict[str, float] | None,
) -> int:  # fmt: skip
    plan = settled.plan
    planned = sum(1 for _ in shots(plan, repeats))
    _announce(settled, planned, folder)
    about = folder.about()
    failure: BaseException | None = None
    bar = _Bar()
    try:
        expected = expectations_s(plan, about.get("estimates_s", {}))
        measure(
            plan, repeats, server, folder, expected,
            on_start=bar.start, on_next=bar.next, on_done=bar.done,
        )  # fmt: skip
    except (StudioError, KeyboardInterrupt) as error:
        failure = error
    finally:
        bar.close()
    if not folder.samples:
        raise failure or RemoteError("nothing was measured")
    _say("comparing the pictures and writing the report …")
    losses = measure_losses(plan, folder, judges)
    results = gather(plan, about, settled.notes, folder.samples, losses, limits=limits, planned=planned)
    page = write_report(results, folder)
    print(plain_text(summary_table(results)))  # noqa: T201 - results go to stdout
    _say(f"report: {page}")
    if failure is None:
        return DONE
    reason = "interrupted" if isinstance(failure, KeyboardInterrupt) else str(failure)
    _say(f"stopped after {len(folder.samples)} of {planned} pictures: {reason}")
    _say("what was measured is kept; the same command goes on from there")
    return WRONG_CALL if isinstance(failure, RequestError) else FAILED


def _announce(settled: Settled, planned: int, folder: RunFolder) -> None:
    for note in settled.notes:
        _say(f"note: {note}")
    kept = len(folder.samples)
    resumed = f", {kept} of them already measured" if kept else ""
    settings = len(settled.plan.settings)
    _say(f"{planned} pictures in {settings} setting{'' if settings == 1 else 's'}{resumed}; into {folder.path}")


def _server(arguments: argparse.Namespace, fixed: Fixed) -> ImageServer:
    kind = StudioServer if arguments.api == "studio" else OpenAiServer
    return kind(arguments.url, fixed, token=token_of(arguments.token_file), timeout_s=float(arguments.timeout))


def _wait_until_ready(
    server: ImageServer, url: str, *, sleep: Callable[[float], None] = time.sleep, limit_s: float = READY_TIMEOUT_S
) -> dict[str, Any]:
    """The server's description of itself, once its model is resident, so that loading is never measured."""
    waited_s, told = 0.0, ""
    while True:
        identity = server.identify()
        if identity.get("ready", True):
            return identity
        phase = str(identity.get("phase"))
        if phase != told:
            _say(f"{url} is not ready yet: {phase}")
            told = phase
        if waited_s >= limit_s:
            raise RemoteError(f"{url} was not ready after {limit_s:.0f} s: {phase}")
        sleep(1.0)
        waited_s += 1.0


def _slug(plan: Plan) -> str:
    """A folder name that a person recognises."""
    words = re.findall(r"[a-z0-9]+", plan.wishes.prompts[0].text.lower())
    return "-".join(words)[:40].strip("-") or "run"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress goes to stderr


class _Bar:
    """A progress bar in expected seconds, so that its time to go is right where settings differ much."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def start(self, expected_s: float) -> None:
        if expected_s <= 0:
            return  # everything was measured before
        bar_format = "{desc} {percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} to go"
        quiet = None if sys.stderr.isatty() else 10.0
        self._bar = tqdm(
            total=expected_s, file=sys.stderr, bar_format=bar_format, smoothing=0.05, mininterval=quiet or 0.1,
            dynamic_ncols=True,
        )  # fmt: skip

    def next(self, step: Progress) -> None:
        if self._bar is not None:
            self._bar.set_description_str(f"{step.what:<32}", refresh=sys.stderr.isatty())

    def done(self, step: Progress) -> None:
        if self._bar is not None:
            self._bar.update(min(step.weight_s, max((self._bar.total or 0.0) - self._bar.n, 0.0)))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
