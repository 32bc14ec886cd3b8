"""A trained model as a checkpoint folder in upstream's layout. Knows nothing of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from hidream_studio.model.config import ModelConfig
from hidream_studio.model.layout import slots
from hidream_studio.model.transformer import O1Transformer
from o1_tiny.illustrated.training.tokenizer import save_tokenizer
from o1_tiny.illustrated.training.tower import Tower

SHARD_BYTES = 13_000_000  # several files, as the real checkpoint has
INDEX = "model.safetensors.index.json"
PROFILE = Path(__file__).with_name("profile.json")  # its presets are to be measured anew with each model
PREPROCESSOR = {  # Qwen/Qwen3-VL-8B-Instruct's, by which the vision tower's pictures are prepared
    "size": {"longest_edge": 16777216, "shortest_edge": 65536}, "patch_size": 16, "temporal_patch_size": 2,
    "merge_size": 2, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    "processor_class": "Qwen3VLProcessor", "image_processor_type": "Qwen2VLImageProcessorFast",
}  # fmt: skip


def config_json(config: ModelConfig, tower: Tower, tokenizer: Tokenizer) -> dict[str, Any]:
    """config.json as transformers 4.57 wrote the real one's."""

    def token(name: str) -> int:
        return int(tokenizer.token_to_id(name))

    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "dtype": "bfloat16",
        "image_token_id": token("<|image_pad|>"),
        "model_type": "qwen3_vl",
        "text_config": {
            "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": token("<|endoftext|>"),
            "dtype": "bfloat16", "eos_token_id": token("<|im_end|>"), "head_dim": config.head_dim, "hidden_act": "silu",
            "hidden_size": config.hidden_size, "initializer_range": 0.02, "intermediate_size": config.mlp_size,
            "max_position_embeddings": 262144, "model_type": "qwen3_vl_text", "num_attention_heads": config.heads,
            "num_hidden_layers": config.layers, "num_key_value_heads": config.kv_heads, "rms_norm_eps": config.rms_eps,
            "rope_scaling": {
                "mrope_interleaved": True, "mrope_section": list(config.mrope_section), "rope_type": "default",
            },
            "rope_theta": config.rope_theta, "use_cache": True, "vocab_size": config.vocab_size,
        },
        "tie_word_embeddings": False,
        "transformers_version": "4.57.1",
        "video_token_id": token("<|video_pad|>"),
        "vision_config": tower.vision_config(config.hidden_size),
        "vision_end_token_id": token("<|vision_end|>"),
        "vision_start_token_id": token("<|vision_start|>"),
    }  # fmt: skip


def save_weights(state: dict[str, Tensor], folder: Path) -> None:
    """bf16 safetensors of at most SHARD_BYTES each, with an index; a file is complete or not there."""
    shards: list[dict[str, Tensor]] = [{}]
    size = total = 0
    for key, tensor in sorted(state.items()):
        tensor = tensor.to(torch.bfloat16).contiguous()
        if size and size + tensor.nbytes > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][key] = tensor
        size, total = size + tensor.nbytes, total + tensor.nbytes
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / f"{name}.part", metadata={"format": "pt"})
        (folder / f"{name}.part").chmod(0o644)
        (folder / f"{name}.part").replace(folder / name)
        weight_map |= dict.fromkeys(shard, name)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def save_frame(config: ModelConfig, tower: Tower, tokenizer: Tokenizer, folder: Path) -> None:
    """All of a checkpoint but its weights: configuration, profile and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(
        json.dumps(config_json(config, tower, tokenizer), indent=2) + "\n", encoding="utf-8"
    )
    (folder / "generation_config.json").write_text(
        json.dumps({"_from_model_config": True, "transformers_version": "4.57.1"}, indent=2) + "\n", encoding="utf-8"
    )
    save_tokenizer(tokenizer, folder)
    (folder / PROFILE.name).write_bytes(PROFILE.read_bytes())
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n", encoding="utf-8")


def state_of(model: O1Transformer) -> dict[str, Tensor]:
    """The model's weights by upstream's keys; views of its own."""
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return {
        slot.key: parameters[slot.parameter][slot.first_row : slot.first_row + slot.shape[0]]
        for slot in slots(model.config)
    }


def export(model: O1Transformer, tower: Tower, weights: list[Tensor] | None, folder: Path) -> None:
    """All weights into a checkpoint folder; `weights` (in the parameters' order) stand in for their own."""
    parameters = [*model.parameters(), *tower.parameters()]
    own = [parameter.data for parameter in parameters]
    try:
        for parameter, weight in zip(parameters, weights or own, strict=True):
            parameter.data = weight
        state = {key: value.to("cpu", copy=True) for key, value in (state_of(model) | tower.checkpoint_state()).items()}
    finally:
        for parameter, weight in zip(parameters, own, strict=True):
            parameter.data = weight
    # unused, but expected
    state["lm_head.weight"] = torch.zeros_like(state["model.language_model.embed_tokens.weight"])
    save_weights(state, folder)
