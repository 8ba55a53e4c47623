"""How many FLOPs a second this machine does on a shape: a few timed steps of two layers of it.

Knows nothing of plans. Random weights; the embedding and head are as small as the pruned
vocabulary, so the two layers stand for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from loracast.flops import Architecture, get_convention

__all__ = ["measured_speeds"]

_SECONDS = 3.0  # for each of the two measurements
_DECODE_ROWS = 64  # rows that decode together, at most


def measured_speeds(
    arch: Architecture, batch: int, length: int, samples: int, precision: str
) -> dict[str, float] | None:
    """FLOPs a second by kind (`train`, `generate`), or None for a family it cannot build.

    Args:
        arch: the shape.
        batch: rows of a training step.
        length: tokens a row.
        samples: paths of a series, decoded together.
        precision: of training: fp32, bf16 or auto.
    """
    if arch.layout != "llama" or not arch.gated_mlp:
        return None
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from loracast.training import resolved_precision

    small = replace(arch, layers=min(2, arch.layers), model_type="qwen2")
    shape: dict[str, Any] = {
        "vocab_size": small.vocab,
        "hidden_size": small.hidden,
        "intermediate_size": small.mlp,
        "num_hidden_layers": small.layers,
        "num_attention_heads": small.heads,
        "num_key_value_heads": small.kv_heads,
        "head_dim": small.head_dim,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    model: Any = Qwen2ForCausalLM(Qwen2Config(**shape))
    exact = get_convention("exact")
    bf16 = resolved_precision(precision, torch.device("cpu")) == "bf16"
    ids = torch.zeros((batch, length), dtype=torch.long)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        model.zero_grad(set_to_none=True)

    train = exact.train_step(small, batch, length, None).total / _timed(step)
    model.eval()
    rows = min(samples, _DECODE_ROWS)
    with torch.no_grad():
        cache = model(ids[:1].expand(rows, -1), use_cache=True, logits_to_keep=1).past_key_values

        def decode() -> None:
            model(ids[:1, :1].expand(rows, -1), past_key_values=cache, use_cache=True)
            cache.crop(-1)

        one = exact.decode(small, rows, rows * (length + 1), rows).total
        generate = one / _timed(decode)
    return {"train": train, "generate": generate}


def _timed(run: Callable[[], None]) -> float:
    """Median seconds of one run, after one that is not counted."""
    run()
    ticks: list[float] = []
    began = time.perf_counter()
    while len(ticks) < 3 or time.perf_counter() - began < _SECONDS:
        start = time.perf_counter()
        run()
        ticks.append(time.perf_counter() - start)
    return sorted(ticks)[len(ticks) // 2]
