"""Attention of many samples to one shared prefix and to their own suffixes.

The samples of a prompt are folded into the query axis, so a prefix is read once for all of
them and never copied: softmax over (prefix | suffix) is two softmaxes merged by their
log-sum-exps, as in Juravsky et al., "Hydragen: High-Throughput LLM Inference with Shared
Prefixes", 2024. Enters models through transformers' AttentionInterface as "loracast_prefix";
without a running call in this thread it is plain SDPA.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from loracast.errors import ModelError

__all__ = ["NAME", "PrefixCall", "attend", "running"]

NAME = "loracast_prefix"


@dataclass
class PrefixCall:
    """One forward over R packed tokens: B = N x S rows, each with its chunk of tokens.

    Tokens are packed row after row. Where `dense`, every row feeds C tokens into the same
    slots and R = B x C; otherwise the index arrays say where each token belongs.

    Args:
        keys, values: per layer (N, KV, L, D), the prefixes, left-padded.
        prefix_mask: (N, 1, 1, L) additive, or None where no slot is padded.
        suffix_keys, suffix_values: per layer (B, KV, T_max, D), filled in place.
        n_prompts, n_rows, width: N, B, and C, the longest chunk.
        first, reach: slot of the first token (dense), and slots in use after this forward.
        suffix_mask: (B or 1, 1, C, reach) additive, or None where all slots are visible.
        dense: see above.
        row, slot: (R,) of each token, its row and its slot in the suffix.
        per_prompt: M, the most tokens any prompt feeds.
        in_prompts: (R,) place of each token in (N x M).
        in_rows: (R,) place of each token in (B x C).
        layers_seen: layers that have come by.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    prefix_mask: torch.Tensor | None
    suffix_keys: list[torch.Tensor]
    suffix_values: list[torch.Tensor]
    n_prompts: int
    n_rows: int
    width: int
    first: int
    reach: int
    suffix_mask: torch.Tensor | None
    dense: bool
    row: torch.Tensor | None = None
    slot: torch.Tensor | None = None
    per_prompt: int = 0
    in_prompts: torch.Tensor | None = None
    in_rows: torch.Tensor | None = None
    layers_seen: list[int] = field(default_factory=list)


running: ContextVar[PrefixCall | None] = ContextVar("loracast_prefix_call", default=None)


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    *,
    fused: bool | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax attention and the log-sum-exp of its scores.

    Args:
        query: (B, H, Q, D).
        key: (B, H, K, D).
        value: (B, H, K, D).
        mask: additive, broadcasts to (B, H, Q, K); None hides nothing.
        scaling: factor of the scores.
        fused: take the CPU flash kernel; None = where it applies.

    Returns:
        (B, H, Q, D) in the query's dtype, and (B, H, Q) float32.
    """
    if fused is None:
        fused = query.device.type == "cpu" and key.shape[-1] == value.shape[-1]
    if fused:
        if mask is not None:
            mask = mask.to(query.dtype).expand(
                query.shape[0],
                1 if mask.shape[1] == 1 else query.shape[1],
                query.shape[2],
                key.shape[2],
            )
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, False, attn_mask=mask, scale=scaling
        )
        return out, lse
    scores = torch.matmul(query, key.transpose(2, 3)).float() * scaling
    if mask is not None:
        scores = scores + mask
    lse = torch.logsumexp(scores, dim=-1)
    weights = torch.exp(scores - lse[..., None]).to(value.dtype)
    return torch.matmul(weights, value), lse


def _fold(packed: torch.Tensor, outer: int, inner: int, kv_heads: int) -> torch.Tensor:
    """(outer x inner, H, D) -> (outer, KV, inner x G, D), query heads joined to their KV head."""
    _, heads, dim = packed.shape
    group = heads // kv_heads
    return (
        packed.reshape(outer, inner, kv_heads, group, dim)
        .transpose(1, 2)
        .reshape(outer, kv_heads, inner * group, dim)
    )


def _unfold(folded: torch.Tensor, inner: int) -> torch.Tensor:
    """(outer, KV, inner x G, ...) -> (outer x inner, H, ...), the way back of `_fold`."""
    outer, kv_heads, rows = folded.shape[:3]
    group = rows // inner
    rest = folded.shape[3:]
    spread = folded.reshape(outer, kv_heads, inner, group, *rest).transpose(1, 2)
    return spread.reshape(outer * inner, kv_heads * group, *rest)


def _spread(packed: torch.Tensor, places: torch.Tensor, size: int) -> torch.Tensor:
    """(R, ...) -> (size, ...) with the tokens at their places and zeros elsewhere."""
    wide = packed.new_zeros((size, *packed.shape[1:]))
    wide[places] = packed
    return wide


def _prefix_attention(
    call: PrefixCall,
    layer: int,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float,
) -> torch.Tensor:
    """(1, H, R, D) queries and (1, KV, R, D) keys and values -> (1, R, H, D)."""
    asked = query.dtype
    own_keys, own_values = call.suffix_keys[layer], call.suffix_values[layer]
    query, key, value = (x.to(own_keys.dtype) for x in (query, key, value))
    kv_heads = key.shape[1]
    packed = query[0].transpose(0, 1)
    if call.dense:
        last = call.first + call.width
        for cache, new in ((own_keys, key), (own_values, value)):
            cache[:, :, call.first : last] = new[0].unflatten(1, (call.n_rows, -1)).transpose(0, 1)
        by_prompt = by_row = packed
        per_prompt = packed.shape[0] // call.n_prompts
    else:
        assert call.in_prompts is not None
        assert call.in_rows is not None
        own_keys[call.row, :, call.slot] = key[0].transpose(0, 1)
        own_values[call.row, :, call.slot] = value[0].transpose(0, 1)
        per_prompt = call.per_prompt
        by_prompt = _spread(packed, call.in_prompts, call.n_prompts * per_prompt)
        by_row = _spread(packed, call.in_rows, call.n_rows * call.width)
    prefix, prefix_lse = attend(
        _fold(by_prompt, call.n_prompts, per_prompt, kv_heads),
        call.keys[layer],
        call.values[layer],
        call.prefix_mask,
        scaling,
    )
    mask = call.suffix_mask
    if mask is not None:
        mask = mask.repeat_interleave(packed.shape[1] // kv_heads, dim=2)
    suffix, suffix_lse = attend(
        _fold(by_row, call.n_rows, call.width, kv_heads),
        own_keys[:, :, : call.reach],
        own_values[:, :, : call.reach],
        mask,
        scaling,
    )
    parts = [_unfold(x, per_prompt) for x in (prefix, prefix_lse)]
    own = [_unfold(x, call.width) for x in (suffix, suffix_lse)]
    if not call.dense:
        parts = [x[call.in_prompts] for x in parts]
        own = [x[call.in_rows] for x in own]
    share = torch.sigmoid(parts[1] - own[1])[..., None].to(parts[0].dtype)
    return torch.lerp(own[0], parts[0], share)[None].to(asked)


def prefix_attention_forward(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The function registered with transformers; its signature is theirs.

    Raises:
        ModelError: the layer asks for something that shared prefixes do not have.
    """
    call = running.get()
    if call is None:
        result: tuple[torch.Tensor, torch.Tensor | None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return result
    unknown = [
        name
        for name in ("softcap", "s_aux", "position_bias", "head_mask", "indexer_mask")
        if kwargs.get(name) is not None
    ]
    layer = getattr(module, "layer_idx", None)
    if unknown or layer is None:
        raise ModelError(
            f"got an attention layer with {unknown or 'no layer_idx'}; expected plain softmax "
            "attention; decode this model with method='expanded'"
        )
    call.layers_seen.append(int(layer))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _prefix_attention(call, int(layer), query, key, value, scale), None


AttentionInterface.register(NAME, prefix_attention_forward)
AttentionMaskInterface.register(NAME, sdpa_mask)
