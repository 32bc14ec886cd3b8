"""A prompt as token ids, the way upstream writes it. Knows nothing of tensors."""

from __future__ import annotations

from pathlib import Path

from hidream_studio.errors import CheckpointError, PromptError
from hidream_studio.job.request import MAX_PROMPT_TOKENS

BOI_TOKEN = "<|boi_token|>"  # begin of image; upstream inference.py add_special_tokens
TMS_TOKEN = "<|tms_token|>"  # its embedding is replaced by the timestep's
UNCONDITIONAL_PROMPT = " "  # upstream models/pipeline.py: one space, not the empty string


class PromptTokenizer:
    """Reads tokenizer and chat template of a checkpoint folder.

    Raises
    ------
    CheckpointError
        when the folder's tokenizer cannot be read, lacks the O1 tokens or has no chat template.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        try:
            # AutoProcessor would want torchvision; text needs no more than this
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # transformers and tokenizers raise bare ones for broken files
            first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"the tokenizer in {folder} cannot be read: {first_line}") from error
        known = self._tokenizer.get_added_vocab()
        for token in (BOI_TOKEN, TMS_TOKEN):
            if token not in known:
                raise CheckpointError(f"the tokenizer in {folder} has no {token}: it is no HiDream-O1 tokenizer")
        if not self._tokenizer.chat_template:
            raise CheckpointError(f"the tokenizer in {folder} has no chat template")
        added = self._tokenizer.added_tokens_decoder
        self._specials = {token_id for token_id, token in added.items() if token.special}
        self._specials |= {known[BOI_TOKEN], known[TMS_TOKEN]}

    def encode(self, prompt: str, *, field: str = "prompt") -> list[int]:
        """The ids of the whole text sequence: chat template, prompt, boi and, last, the tms token.

        `field` is the request's field that is named in an error.

        Raises
        ------
        PromptError
            when the prompt itself spells a special token, or is too long.
        """
        for token_id in self._tokenizer.encode(prompt, add_special_tokens=False):
            if token_id in self._specials:
                token = self._tokenizer.convert_ids_to_tokens(token_id)
                raise PromptError(f"{field} must not hold the model's own token {token}", field=field)
        text = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        ids = list(self._tokenizer.encode(text + BOI_TOKEN + TMS_TOKEN, add_special_tokens=False))
        if len(ids) >= MAX_PROMPT_TOKENS:
            raise PromptError(
                f"{field} is {len(ids):,} tokens long; it must be under {MAX_PROMPT_TOKENS:,}",
                field=field,
                limit=MAX_PROMPT_TOKENS - 1,
            )
        return ids
