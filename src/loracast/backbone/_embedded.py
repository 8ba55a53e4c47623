"""The small base that ships inside the package: its shape and its tokenizer.

Qwen2 architecture in plain Hugging Face files. New bases take the vocabulary in `vocabulary/`, a
subset of Qwen2.5's token strings (`scripts/make-vocabulary.py`): every byte, digits and separators
as single tokens, the word pieces of prompts, JSON and descriptions. A base that stands already
keeps the tokenizer in its own folder.
"""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import torch

__all__ = ["VOCABULARY_DIR", "build_embedded", "embedded_config", "write_tokenizer"]

VOCABULARY_DIR = Path(__file__).parent / "vocabulary"

_END = "<|endoftext|>"
_FILES = ("tokenizer.json", "tokenizer_config.json")


@cache
def _vocabulary() -> tuple[int, int]:
    """How many tokens there are, and the id of the one that ends a text."""
    content = json.loads((VOCABULARY_DIR / _FILES[0]).read_text(encoding="utf-8"))
    added = {token["content"]: int(token["id"]) for token in content["added_tokens"]}
    return len(content["model"]["vocab"]) + len(added), added[_END]


def embedded_config(hidden: int = 256, layers: int = 6, mlp: int = 704) -> dict[str, Any]:
    """The shape of the base: keyword arguments of `transformers.Qwen2Config`."""
    heads = hidden // 64
    size, end = _vocabulary()
    return {
        "vocab_size": size,
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": max(1, heads // 2),
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
    }


def write_tokenizer(folder: Path) -> None:
    """Put the tokenizer of new bases into a folder, made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(VOCABULARY_DIR / name, folder / name)


def build_embedded(folder: Path, shape: dict[str, Any], seed: int) -> None:
    """Write an untrained base (configuration, tokenizer, random float32 weights) to a folder."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from loracast.backbone._load import quiet_transformers

    quiet_transformers()
    write_tokenizer(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(Qwen2Config(**shape))
    model.save_pretrained(folder)
    # A base has no taste of its own in sampling; leave nothing for others to inherit.
    (folder / "generation_config.json").write_text(json.dumps({}) + "\n")
