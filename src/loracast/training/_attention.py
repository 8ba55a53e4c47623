"""Attention as two batched matrix products, for training on short sequences on a CPU.

Why: torch's fused CPU kernel is written for long sequences; its backward pass takes a third of a
training step at 100 positions, where plain products in bfloat16 take a twentieth (docs/log.md).
Computes what `sdpa` computes, with the query heads of a group sharing their keys unrepeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["GROUPED_UP_TO", "grouped_pays", "short_attention"]

_NAME = "loracast_grouped"
GROUPED_UP_TO = 256  # positions; measured: beyond it the fused kernel's lower memory use wins


def grouped_pays(device_type: str, length: int) -> bool:
    """Whether plain products are faster than the fused kernel here."""
    return device_type == "cpu" and length <= GROUPED_UP_TO


def _grouped(
    module: Any,  # noqa: ARG001
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Transformers' attention signature: query (B, H, L, D), key and value (B, G, M, D)."""
    batch, heads, length, width = query.shape
    groups, keys = key.shape[1], key.shape[2]
    share = heads // groups
    flat = (query * (width**-0.5 if scaling is None else scaling)).reshape(
        batch * groups, share * length, width
    )
    key = key.reshape(batch * groups, keys, width)
    value = value.reshape(batch * groups, keys, width)
    scores = torch.bmm(flat, key.transpose(1, 2)).view(batch, groups, share, length, keys)
    if attention_mask is None:
        hidden = torch.ones(length, keys, dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill(hidden.triu(keys - length + 1), float("-inf"))
    elif attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask[:, :, None], torch.finfo(scores.dtype).min)
    else:
        scores = scores + attention_mask[:, :, None].to(scores.dtype)
    weights = torch.softmax(scores, -1)
    if dropout > 0:
        weights = torch.dropout(weights, dropout, True)
    out = torch.bmm(weights.view(batch * groups, share * length, keys), value)
    return out.view(batch, heads, length, -1).transpose(1, 2).contiguous(), None


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_NAME, _grouped)
    AttentionMaskInterface.register(_NAME, sdpa_mask)


@contextmanager
def short_attention(model: Any, length: int) -> Iterator[None]:
    """Within the block, a model that runs `sdpa` on a CPU attends by plain products.

    Args:
        model: a causal LM, with or without PEFT around it.
        length: positions of the longest sequence in the batch.
    """
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = plain.config
    device = next(plain.parameters()).device.type
    if not grouped_pays(device, length) or config._attn_implementation != "sdpa":
        yield
        return
    _register()
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = "sdpa"
