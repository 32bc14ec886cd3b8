"""The small world's tokenizer reads any prompt, and keeps captions short."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from transformers import AutoTokenizer

from hidream_studio.model.tokens import PromptTokenizer
from o1_tiny.training.pool import TEXT_TOKENS
from o1_tiny.training.tokenizer import (
    AFTER_PROMPT,
    BEFORE_PROMPT,
    SPECIAL_TOKENS,
    build_tokenizer,
    encode,
    save_tokenizer,
    vocabulary_size,
)  # fmt: skip
from o1_tiny.world.captions import caption
from o1_tiny.world.scenes import draw_scene

TOKENIZER = build_tokenizer()


@pytest.mark.parametrize("prompt", ["", " ", "ein roter Kreis", "赤い円", "🎨 <|im_end|>?", "a\n\nb\tc", "x" * 300])
def test_any_prompt_encodes_and_comes_back(prompt):
    ids = encode(TOKENIZER, [prompt])[0]
    assert max(ids) < vocabulary_size(TOKENIZER)
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == BEFORE_PROMPT + prompt + AFTER_PROMPT


def test_nearly_all_captions_fit_and_use_whole_words_only():
    random = Random(5)
    scenes = [draw_scene(random) for _ in range(2000)]
    captions = [caption(scene, random).prompt for scene in scenes]
    lengths = [len(ids) for ids in encode(TOKENIZER, captions)]
    assert sum(length > TEXT_TOKENS for length in lengths) < 10  # the pool asks for those in another way
    things = [text for scene, text in zip(scenes, captions, strict=True) if scene.sign is None]
    words = {word for text in things for word in text.lower().replace(",", " ").split()}
    plain = {word.strip(".:") for word in words}
    assert {word for word in plain if len(TOKENIZER.encode(" " + word).ids) > 1} == set()


def test_the_letters_of_a_sign_stay_single():
    tokens = TOKENIZER.encode('a sign that says "redcat"').tokens
    assert tokens[-8:] == ['Ġ"', "r", "e", "d", "c", "a", "t", '"']


def test_the_saved_tokenizer_reads_as_the_studio_and_as_transformers_read_it(tmp_path: Path):
    save_tokenizer(TOKENIZER, tmp_path)
    prompt = 'a red heart above a white sign that says "ok"'
    expected = encode(TOKENIZER, [prompt])[0]
    assert PromptTokenizer(tmp_path).encode(prompt)[:-1] == expected  # the last is the tms token
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    message = [{"role": "user", "content": prompt}]
    text = theirs.apply_chat_template(message, tokenize=False, add_generation_prompt=True) + "<|boi_token|>"
    assert theirs.encode(text, add_special_tokens=False) == expected
    assert theirs.convert_tokens_to_ids("<|tms_token|>") == TOKENIZER.token_to_id("<|tms_token|>")
    assert all(TOKENIZER.token_to_id(token) is not None for token in SPECIAL_TOKENS)
