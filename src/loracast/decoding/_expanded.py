"""Decoding with a prefix copied for every sample: for attention that is not pluggable.

The keys and values of prefix and suffix lie in one preallocated buffer per layer, filled in
place. Slower and larger than shared prefixes, and an independent check of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from loracast.decoding._model import CausalModel
from loracast.decoding._prefill import Prefix

__all__ = ["ExpandedDecoder"]


class _Layer(CacheLayerMixin):
    """One layer's buffer (B, KV, L + T, D); the decoder says which slots come next."""

    is_sliding = False

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, prefix_length: int) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.buffers = (keys, values)
        self.prefix_length = prefix_length
        self.is_initialized = True
        self.slots = torch.zeros((0, 0), dtype=torch.long)
        self.reach = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: the buffers are there."""

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write (B, KV, C, D) at the announced slots; what is in use comes back."""
        keys, values = self.buffers
        rows = torch.arange(keys.shape[0], device=keys.device)[:, None]
        stop = self.prefix_length + self.reach
        for cache, new in ((keys, key_states), (values, value_states)):
            cache[rows, :, self.prefix_length + self.slots] = new.transpose(1, 2).to(cache.dtype)
        return keys[:, :, :stop].to(key_states.dtype), values[:, :, :stop].to(value_states.dtype)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002
        """Keys in use, and their offset."""
        return self.prefix_length + self.reach, 0

    def get_seq_length(self) -> int:
        """Keys in use before this forward's own."""
        return self.prefix_length + self.reach - int(self.slots.shape[1])

    def get_max_length(self) -> int:
        """Size of the buffer."""
        return int(self.buffers[0].shape[2])


class ExpandedDecoder:
    """Rows of one group, as `PrefixDecoder`, with (B, L + T) keys of their own.

    Args:
        model: the model.
        prefix: its prefilled prompts.
        n_samples: S.
        max_tokens: the most tokens that any row will feed.
        token_ids: (A,) the tokens whose logits are wanted.
    """

    method = "expanded"

    def __init__(
        self,
        model: CausalModel,
        prefix: Prefix,
        n_samples: int,
        max_tokens: int,
        token_ids: torch.Tensor,
    ) -> None:
        self.model, self.token_ids = model, token_ids
        self.n_rows = len(prefix.lengths) * n_samples
        self.row_lengths = np.repeat(prefix.lengths, n_samples)
        self.longest = int(prefix.lengths[-1])
        self.layers = []
        # A chunk's padding may fall behind the last slot of a row.
        self.spare = max_tokens
        for key, value in zip(prefix.keys, prefix.values, strict=True):
            buffers = []
            for part in (key, value):
                rows, heads, length, dim = part.shape
                buffer = part.new_zeros((rows * n_samples, heads, length + max_tokens + 1, dim))
                buffer[:, :, :length] = part.repeat_interleave(n_samples, dim=0)
                buffers.append(buffer)
            self.layers.append(_Layer(buffers[0], buffers[1], self.longest))
        self.positions = self.cached = self.head_positions = 0

    def feed(
        self, rows: np.ndarray, tokens: np.ndarray, counts: np.ndarray, fed: np.ndarray
    ) -> np.ndarray:
        """As `PrefixDecoder.feed`; rows that rest are fed padding, which is counted."""
        device = self.model.device
        width = int(counts.max())
        reach = int((fed + counts).max())
        ids = np.zeros((self.n_rows, width), dtype=np.int64)
        real = np.zeros((self.n_rows, width), dtype=bool)
        real[rows] = np.arange(width)[None] < counts[:, None]
        ids[rows] = np.where(real[rows], tokens[:, :width], 0)
        start = np.zeros(self.n_rows, dtype=np.int64)
        start[rows] = fed
        slots = start[:, None] + np.arange(width)[None]
        # Padding is written to the spare slot at the buffer's end, which no query sees.
        written = torch.as_tensor(np.where(real, slots, self.spare), device=device)
        for layer in self.layers:
            layer.slots, layer.reach = written, reach
        logits, _, head = self.model.forward(
            torch.arange(width, device=device)
            if (counts != width).any()
            else torch.tensor([width - 1], device=device),
            input_ids=torch.as_tensor(ids, device=device),
            position_ids=torch.as_tensor(
                np.where(real, self.row_lengths[:, None] + slots, 0), device=device
            ),
            attention_mask=self._mask(slots, reach),
            past_key_values=Cache(layers=list(self.layers)),
            use_cache=True,
        )
        self.positions += self.n_rows * width
        self.head_positions += head
        self.cached += self.n_rows * width * (self.longest + reach)
        place = counts - 1 if logits.shape[1] == width else np.zeros_like(counts)
        chosen = logits[
            torch.as_tensor(rows, device=device), torch.as_tensor(place, device=device)
        ].index_select(1, self.token_ids)
        result: np.ndarray = chosen.float().cpu().double().numpy()
        return result

    def _mask(self, slots: np.ndarray, reach: int) -> torch.Tensor:
        """(B, 1, C, L + reach) additive: no padding before a prompt, no slot after one's own."""
        before = np.arange(self.longest)[None] < (self.longest - self.row_lengths)[:, None]
        after = np.arange(reach)[None, None] > slots[:, :, None]
        before = np.broadcast_to(before[:, None], (*slots.shape, self.longest))
        hidden = torch.as_tensor(np.concatenate([before, after], axis=2))
        dtype = next(self.model.model.parameters()).dtype
        lowest = torch.finfo(dtype).min
        mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill(hidden, lowest)
        return mask[:, None].to(self.model.device)
