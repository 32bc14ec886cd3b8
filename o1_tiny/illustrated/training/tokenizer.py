"""The illustrated world's tokenizer: a word is one token, a sign's text falls into single letters. Knows no pixels.

Byte-level BPE whose merges all grow from a word's leading space ("Ġr", "Ġre", "Ġred"): so `a red circle` is three
tokens, while the same letters inside quotation marks, where no space stands before them, stay letters for the model to
draw. It needs no training, only the list of words; a test sees that captions and edits use no other.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from o1_tiny.illustrated.training.words import WORDS

# Qwen2 and Qwen3's pre-tokenizer (their tokenizer.json on the Hugging Face hub)
QWEN_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>", "<|boi_token|>", "<|bor_token|>", "<|eor_token|>", "<|bot_token|>", "<|tms_token|>",
)  # fmt: skip
ROLE_TOKENS = ("user", "assistant")  # whole, so that the chat template stays short
CHAT_TEMPLATE = (
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' }}{%- if m.content is string %}{{- m.content }}"
    "{%- else %}{%- for c in m.content %}{%- if c.type == 'image' %}"
    "{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- else %}{{- c.text }}{%- endif %}{%- endfor %}{%- endif %}{{- '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
BEFORE_PROMPT, AFTER_PROMPT = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n<|boi_token|>"


def build_tokenizer(words: list[str] = WORDS) -> Tokenizer:
    """A byte-level BPE tokenizer with one token for each of `words` after a space; ids are stable for equal words."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {character: index for index, character in enumerate(alphabet)}
    merges: list[tuple[str, str]] = []
    for piece in ["Ġ" + word for word in words] + ['Ġ"', "Ġ'"]:
        for end in range(2, len(piece) + 1):
            if piece[:end] not in vocab:
                vocab[piece[:end]] = len(vocab)
                merges.append((piece[: end - 1], piece[end - 1]))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN_PIECES), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in ROLE_TOKENS])
    return tokenizer


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """Rows of the embedding: all ids, rounded up to a multiple of 64."""
    return -(-tokenizer.get_vocab_size(with_added_tokens=True) // 64) * 64


def encode(tokenizer: Tokenizer, prompts: list[str]) -> list[list[int]]:
    """Prompts inside the chat template up to `<|boi_token|>`, without the tms token."""
    texts = [BEFORE_PROMPT + prompt + AFTER_PROMPT for prompt in prompts]
    return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """tokenizer.json, its configuration and the chat template, as upstream's checkpoint has them."""
    tokenizer.save(str(folder / "tokenizer.json"))
    decoder = {
        str(tokenizer.token_to_id(token)): {
            "content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": token in SPECIAL_TOKENS,
        }
        for token in (*SPECIAL_TOKENS, *ROLE_TOKENS)
    }  # fmt: skip
    config = {
        "added_tokens_decoder": decoder, "chat_template": CHAT_TEMPLATE, "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>", "extra_special_tokens": {}, "model_max_length": 262144,
        "pad_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast",
    }  # fmt: skip
    _write_json(folder / "tokenizer_config.json", config)
    _write_json(folder / "special_tokens_map.json", {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"})
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")


def _write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
