"""The small base that ships inside the package: its shape and its tokenizer.

Qwen2 architecture in plain Hugging Face files. The tokenizer is byte-level, so any UTF-8 text can
be encoded, digits and separators are single tokens, and there is nothing to merge.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

__all__ = ["build_embedded", "embedded_config"]

_END = "<|endoftext|>"


def _byte_alphabet() -> list[str]:
    """The 256 printable stand-ins of bytes that byte-level tokenizers use (Radford et al. 2019)."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def embedded_config(hidden: int = 256, layers: int = 6, mlp: int = 704) -> dict[str, Any]:
    """The shape of the base: keyword arguments of `transformers.Qwen2Config`."""
    heads = hidden // 64
    return {
        "vocab_size": 257,
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": max(1, heads // 2),
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "bos_token_id": 256,
        "eos_token_id": 256,
        "pad_token_id": 256,
    }


def build_embedded(folder: Path, shape: dict[str, Any], seed: int) -> None:
    """Write an untrained base (configuration, tokenizer, random float32 weights) to a folder."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    from loracast.backbone._load import quiet_transformers

    quiet_transformers()
    folder.mkdir(parents=True, exist_ok=True)
    vocab = {symbol: i for i, symbol in enumerate(_byte_alphabet())}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(_END, special=True)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=_END,
        eos_token=_END,
        pad_token=_END,
        padding_side="left",
    ).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(Qwen2Config(**shape))
    model.save_pretrained(folder)
    # A base has no taste of its own in sampling; leave nothing for others to inherit.
    (folder / "generation_config.json").write_text(json.dumps({}) + "\n")
