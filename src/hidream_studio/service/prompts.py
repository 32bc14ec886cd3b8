"""A prompt's tokens, counted where no torch is: so that one that cannot be drawn is refused before it is queued."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from hidream_studio.job.job import Job
from hidream_studio.model.chat import UNCONDITIONAL_PROMPT, Reader, prompt_ids, read_files

COUNTS_KEPT = 512


class PromptReader:
    """Counts what the worker will read, by the same reader of the same files."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._counts: OrderedDict[tuple[str, tuple[int, ...]], int] = OrderedDict()

    def check(self, job: Job, picture_tokens: tuple[int, ...] = ()) -> tuple[int, int]:
        """Tokens of the prompt and of what the unconditional branch reads, both with the chat template and pictures.

        `picture_tokens`: how many each picture before the prompt has.

        Raises
        ------
        PromptError
            when one of them spells a special token, or is too long; names the field.
        CheckpointError
            when the chat template has no place for pictures.
        """
        negative = job.negative_prompt or UNCONDITIONAL_PROMPT
        prompts = ((job.prompt, "prompt"), (negative, "negative_prompt"))
        counts = [self._count(text, field, picture_tokens) for text, field in prompts]
        return counts[0], counts[1]

    def _count(self, text: str, field: str, picture_tokens: tuple[int, ...] = ()) -> int:
        key = text, picture_tokens
        count = self._counts.get(key)
        if count is None:
            ids = prompt_ids(self._reader, text, picture_tokens=picture_tokens, field=field)
            count = self._counts[key] = len(ids)
            if len(self._counts) > COUNTS_KEPT:
                self._counts.popitem(last=False)
        return count


def open_prompt_reader(folder: Path) -> PromptReader | None:
    """The reader of a checkpoint folder; None where only the worker can read it, or explain why nobody can."""
    try:
        reader = read_files(folder)
    except Exception:  # noqa: BLE001  tokenizers raises bare Exceptions for broken files
        return None
    return None if reader is None else PromptReader(reader)
