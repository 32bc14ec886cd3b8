"""A prompt as token ids, the way upstream writes it. Knows nothing of tensors.

Files that tell everything by themselves are read by chat.py, which takes a tenth of a second; transformers'
AutoTokenizer, which takes seconds to import, reads only the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hidream_studio.errors import CheckpointError
from hidream_studio.model.chat import (
    BOI_TOKEN,
    PICTURE_END_TOKEN,
    PICTURE_TOKEN,
    TMS_TOKEN,
    UNCONDITIONAL_PROMPT,
    Reader,
    prompt_ids,
    read_files,
    specials_of,
)

__all__ = ["UNCONDITIONAL_PROMPT", "PromptTokenizer"]


class PromptTokenizer:
    """Reads tokenizer and chat template of a checkpoint folder.

    Raises
    ------
    CheckpointError
        when the folder's tokenizer cannot be read, lacks the O1 tokens or has no chat template.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._reader: Reader = read_files(folder) or _TransformersReader(folder)
        except CheckpointError:
            raise
        except Exception as error:  # transformers and tokenizers raise bare ones for broken files
            first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"the tokenizer in {folder} cannot be read: {first_line}") from error
        for token in (BOI_TOKEN, TMS_TOKEN):
            if token not in self._reader.specials.values():
                raise CheckpointError(f"the tokenizer in {folder} has no {token}: it is no HiDream-O1 tokenizer")

    @property
    def picture(self) -> int:
        """The id that stands for a picture's tokens. Raises CheckpointError where there is none."""
        return self._special(PICTURE_TOKEN)

    @property
    def picture_end(self) -> int:
        """The id after a picture's tokens. Raises CheckpointError where there is none."""
        return self._special(PICTURE_END_TOKEN)

    def _special(self, content: str) -> int:
        found = next((token for token, told in self._reader.specials.items() if told == content), None)
        if found is None:
            raise CheckpointError(f"this checkpoint's tokenizer has no {content}: it takes no pictures as input")
        return found

    def encode(self, prompt: str, *, picture_tokens: Sequence[int] = (), field: str = "prompt") -> list[int]:
        """The ids of the whole text sequence; see `chat.prompt_ids`. Raises PromptError, naming `field`."""
        return prompt_ids(self._reader, prompt, picture_tokens=picture_tokens, field=field)


class _TransformersReader:
    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        # AutoProcessor would want torchvision; text needs no more than this
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if not self._tokenizer.chat_template:
            raise CheckpointError(f"the tokenizer in {folder} has no chat template")
        self.specials = specials_of(self._tokenizer.added_tokens_decoder)

    def ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def chat(self, message: str | list[dict[str, str]]) -> str:
        messages = [{"role": "user", "content": message}]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
