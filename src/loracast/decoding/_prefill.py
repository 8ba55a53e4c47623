"""The prompts of a group through the model once, left-padded, their keys and values kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import DynamicCache

from loracast.decoding._model import CausalModel
from loracast.decoding._plan import prefill_calls
from loracast.errors import ModelError

__all__ = ["Prefix", "prefill"]


@dataclass
class Prefix:
    """The prefilled prompts of one group.

    Args:
        keys, values: per layer (N, KV, L, D), left-padded with zeros.
        lengths: (N,) prompt lengths, ascending.
        logits: (N, A) float64 at the last position, at the automata's token ids only.
        calls: (rows, padded length) of each forward.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    lengths: np.ndarray
    logits: np.ndarray
    calls: list[tuple[int, int]]

    @property
    def padded(self) -> bool:
        """Whether any slot is padding."""
        return bool((self.lengths != self.lengths[-1]).any())

    def mask(self) -> torch.Tensor | None:
        """(N, 1, 1, L) float32: 0 at tokens, -inf at padding; None without padding."""
        if not self.padded:
            return None
        longest = int(self.lengths[-1])
        pad = torch.arange(longest)[None] < torch.as_tensor(longest - self.lengths)[:, None]
        mask = torch.zeros(pad.shape).masked_fill(pad, -torch.inf)
        return mask[:, None, None].to(self.keys[0].device)


def prefill(model: CausalModel, prompts: list[np.ndarray], token_ids: torch.Tensor) -> Prefix:
    """Feed prompts (L_n,), ascending in length, in calls of bounded size.

    Raises:
        ModelError: the model keeps no keys and values per layer.
    """
    lengths = np.array([len(p) for p in prompts])
    longest = int(lengths[-1])
    keys: list[torch.Tensor] = []
    values: list[torch.Tensor] = []
    logits = np.empty((len(prompts), token_ids.numel()))
    calls = []
    for first, last, width in prefill_calls(lengths.tolist()):
        rows = last - first
        ids = np.zeros((rows, width), dtype=np.int64)
        for row, prompt in zip(ids, prompts[first:last], strict=True):
            row[width - len(prompt) :] = prompt
        # Every padded slot repeats a legal id and position; the mask hides it.
        seen = torch.arange(width)[None] >= torch.as_tensor(width - lengths[first:last])[:, None]
        positions = (seen.cumsum(dim=1) - 1).clamp(min=0)
        out, cache, _ = model.forward(
            torch.tensor([width - 1], device=model.device),
            input_ids=torch.from_numpy(ids).to(model.device),
            attention_mask=seen.long().to(model.device),
            position_ids=positions.to(model.device),
            past_key_values=DynamicCache(),
            use_cache=True,
        )
        layers = getattr(cache, "layers", [])
        if len(layers) != model.n_layers or any(layer.keys is None for layer in layers):
            raise ModelError(
                f"got {len(layers)} cached layers from {type(model.base).__name__}; expected keys "
                f"and values for each of {model.n_layers}; use a causal transformer"
            )
        for i, layer in enumerate(layers):
            if first == 0:
                for store, new in ((keys, layer.keys), (values, layer.values)):
                    shape = (len(prompts), new.shape[1], longest, new.shape[3])
                    store.append(new.new_zeros(shape, dtype=layer.values.dtype))
            keys[i][first:last, :, longest - width :] = layer.keys
            values[i][first:last, :, longest - width :] = layer.values
        logits[first:last] = out[:, 0].index_select(1, token_ids).float().cpu().double().numpy()
        calls.append((rows, width))
    return Prefix(keys, values, lengths, logits, calls)
