"""`hidream-studio convert`: any readable checkpoint as a folder of our own, in 8 bits where wanted. Draws nothing."""

from __future__ import annotations

import argparse

from hidream_studio.cli.progress import Progress


def run(arguments: argparse.Namespace) -> int:
    with Progress() as progress:
        progress.phase("starting torch")
        from hidream_studio.model.checkpoint import open_checkpoint
        from hidream_studio.model.convert import convert

        progress.phase("reading the checkpoint")
        checkpoint = open_checkpoint(arguments.source, arguments.tokenizer)
        nbytes = convert(
            checkpoint, arguments.destination, arguments.precision, lambda share: progress.phase("converting", share)
        )
    print(f"{arguments.destination}: {nbytes / 1e9:.1f} GB in {arguments.precision}, from {checkpoint.name}")
    return 0
