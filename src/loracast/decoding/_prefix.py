"""Decoding with shared prefixes: packed tokens, no copy of any prefix, suffixes in place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from loracast.decoding._attention import NAME, PrefixCall, running
from loracast.decoding._model import CausalModel
from loracast.decoding._prefill import Prefix
from loracast.errors import ModelError

__all__ = ["PrefixDecoder"]

# The attention of a model is named in its config, which all threads share.
_LOCK = threading.Lock()
_swapped: dict[int, tuple[int, str | None]] = {}


@contextmanager
def _attention_through(model: CausalModel) -> Iterator[None]:
    """The model's attention goes through our function inside, and as before after."""
    config = model.config
    with _LOCK:
        depth, before = _swapped.get(id(config), (0, config._attn_implementation))
        _swapped[id(config)] = (depth + 1, before)
        config._attn_implementation = NAME
    try:
        yield
    finally:
        with _LOCK:
            depth, before = _swapped[id(config)]
            if depth == 1:
                del _swapped[id(config)]
                config._attn_implementation = before
            else:
                _swapped[id(config)] = (depth - 1, before)


class PrefixDecoder:
    """Rows of one group: S samples of each of N prompts, row n x S + s.

    Args:
        model: the model.
        prefix: its prefilled prompts.
        n_samples: S.
        max_tokens: the most tokens that any row will feed.
        token_ids: (A,) the tokens whose logits are wanted.
    """

    method = "prefix"

    def __init__(
        self,
        model: CausalModel,
        prefix: Prefix,
        n_samples: int,
        max_tokens: int,
        token_ids: torch.Tensor,
    ) -> None:
        self.model, self.prefix, self.token_ids = model, prefix, token_ids
        self.n_prompts, self.n_samples = len(prefix.lengths), n_samples
        self.n_rows = self.n_prompts * n_samples
        self.row_lengths = np.repeat(prefix.lengths, n_samples)
        self.prefix_mask = prefix.mask()
        self.suffix_keys, self.suffix_values = (
            [x.new_zeros((self.n_rows, x.shape[1], max_tokens, x.shape[3])) for x in layers]
            for layers in (prefix.keys, prefix.values)
        )
        self.positions = self.cached = self.head_positions = 0

    def feed(
        self, rows: np.ndarray, tokens: np.ndarray, counts: np.ndarray, fed: np.ndarray
    ) -> np.ndarray:
        """Feed each row its chunk and take the logits after its last token.

        Args:
            rows: (R,) the rows that go on, ascending.
            tokens: (R, C) their tokens, the first `counts` of each row being real.
            counts: (R,) 1 to C.
            fed: (R,) tokens each row has fed before.

        Returns:
            (R, A) float64 logits.

        Raises:
            ModelError: a layer whose attention did not go through the interface.
        """
        device = self.model.device
        width = int(counts.max())
        real = np.arange(width)[None] < counts[:, None]
        packed = tokens[:, :width][real]
        slots = (fed[:, None] + np.arange(width)[None])[real]
        positions = np.repeat(self.row_lengths[rows], counts) + slots
        call = self._call(rows, counts, fed, slots, width)
        last = torch.as_tensor(np.cumsum(counts) - 1, device=device)
        token = running.set(call)
        try:
            with _attention_through(self.model):
                logits, _, head = self.model.forward(
                    last,
                    input_ids=torch.as_tensor(packed[None], device=device),
                    position_ids=torch.as_tensor(positions[None], device=device),
                    # A ready-made 4-D mask passes through; the attention above has its own.
                    attention_mask=torch.zeros((1, 1, 1, 1), device=device),
                    use_cache=False,
                )
        finally:
            running.reset(token)
        if sorted(call.layers_seen) != list(range(self.model.n_layers)):
            raise ModelError(
                f"got {len(call.layers_seen)} attention layers through transformers' "
                f"AttentionInterface from {type(self.model.base).__name__}; expected "
                f"{self.model.n_layers}; decode this model with method='expanded'"
            )
        self.positions += len(packed)
        self.head_positions += head
        self.cached += self.n_prompts * call.per_prompt * int(self.prefix.lengths[-1])
        self.cached += self.n_rows * width * call.reach
        chosen = logits[0].index_select(1, self.token_ids)
        result: np.ndarray = chosen.float().cpu().double().numpy()
        return result

    def _call(
        self,
        rows: np.ndarray,
        counts: np.ndarray,
        fed: np.ndarray,
        slots: np.ndarray,
        width: int,
    ) -> PrefixCall:
        device = self.model.device
        reach = int((fed + counts).max())
        dense = (
            len(rows) == self.n_rows
            and bool((counts == width).all())
            and bool((fed == fed[0]).all())
        )
        call = PrefixCall(
            keys=self.prefix.keys,
            values=self.prefix.values,
            prefix_mask=self.prefix_mask,
            suffix_keys=self.suffix_keys,
            suffix_values=self.suffix_values,
            n_prompts=self.n_prompts,
            n_rows=self.n_rows,
            width=width,
            first=int(fed[0]),
            reach=reach,
            suffix_mask=None,
            dense=dense,
            per_prompt=self.n_samples * width,
        )
        if dense and width == 1:
            return call
        # A token sees the slots up to its own; a row that rests sees slot 0, for no one to read.
        own = np.zeros(self.n_rows, dtype=np.int64)
        own[rows] = fed
        upto = own[:, None] + np.arange(width)[None]
        if dense:
            upto = upto[:1]
        hidden = torch.as_tensor(np.arange(reach)[None, None] > upto[:, :, None])
        call.suffix_mask = (
            torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)[:, None].to(device)
        )
        if dense:
            return call
        row = np.repeat(rows, counts)
        prompt = row // self.n_samples
        per_prompt = np.bincount(prompt, minlength=self.n_prompts)
        before = np.cumsum(per_prompt) - per_prompt
        call.per_prompt = int(per_prompt.max())
        in_chunk = slots - np.repeat(fed, counts)
        in_prompts = prompt * call.per_prompt + np.arange(len(row)) - before[prompt]
        call.row, call.slot, call.in_prompts, call.in_rows = (
            torch.as_tensor(x, device=device)
            for x in (row, slots, in_prompts, row * width + in_chunk)
        )
        return call
