"""Sequences of tokens and numbers as one padded batch, and its embeddings.

    ids, Numbers or none, of each row --left_padded, number_batch--> tensors --embed_mixed--> (B, L)

Knows where a stretch of numbers stands in each row, not which codec normalised them. Training,
sampling and guided answers all go through here. Padding is on the left: on the right it breaks
Qwen (Mao 2025, figure 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from loracast.backbone._numeric_head import History, numeric_head_of, typical_step
from loracast.codec import VALUE_CHANNELS, VALUE_STATICS
from loracast.errors import ModelError

__all__ = ["Mixed", "NumberBatch", "Numbers", "embed_mixed", "left_padded", "number_batch"]


@dataclass(frozen=True)
class Numbers:
    """A series shown as numbers inside a sequence of tokens: T positions in one stretch.

    Args:
        start: the first of them; the sequence's ids there hold a place only.
        values: (T, C) float32 normalised, NaN where missing.
        statics: (C, VALUE_STATICS) float32, what the scaling took away.
        asked_from: the first step that training asks for, 1 or more; T and more asks for none.
    """

    start: int
    values: np.ndarray
    statics: np.ndarray
    asked_from: int = 1


class Mixed(Protocol):
    """A sequence of tokens, of which T may stand for numbers."""

    @property
    def ids(self) -> np.ndarray:
        """(L,) int64 rows of the model's embedding."""
        ...

    @property
    def numbers(self) -> Numbers | None:
        """What stands where numbers are shown, or None."""
        ...


@dataclass(frozen=True)
class NumberBatch:
    """The numbers of a padded batch; C is always VALUE_CHANNELS, unused channels are absent.

    Args:
        values: (B, L, C) float32, gaps filled by the last value seen (before it, by the first).
        observed: (B, L, C) bool.
        present: (B, C) bool.
        statics: (B, C, VALUE_STATICS) float32.
        is_value: (B, L) bool, positions that show numbers.
        targets: (B, L, C) bool, values to be predicted from the position before them.
        any_target: whether there are such.
    """

    values: torch.Tensor
    observed: torch.Tensor
    present: torch.Tensor
    statics: torch.Tensor
    is_value: torch.Tensor
    targets: torch.Tensor
    any_target: bool

    @property
    def step(self) -> torch.Tensor:
        """The typical step (B, 1, C) of each channel, in units of its values."""
        return typical_step(self.statics)


def _filled(values: np.ndarray) -> np.ndarray:
    """(T, C) with every gap filled by the last value before it, leading gaps by the first seen."""
    seen = np.isfinite(values)
    last = np.maximum.accumulate(np.where(seen, np.arange(len(values))[:, None], -1), axis=0)
    first = seen.argmax(axis=0)
    filled = np.take_along_axis(values, np.where(last < 0, first, last), axis=0)
    return np.nan_to_num(filled)  # a channel of which nothing is seen in this stretch


def left_padded(
    rows: Sequence[np.ndarray], length: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (L_n,) of token ids in one rectangle.

    Args:
        rows: B of them.
        length: L, at least the longest row; None takes that.

    Returns:
        ids (B, L) int64, 0 where padded, and the mask (B, L) int64, 1 at tokens.
    """
    length = max(map(len, rows)) if length is None else length
    ids = np.zeros((len(rows), length), dtype=np.int64)
    mask = np.zeros((len(rows), length), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, length - len(row) :], mask[i, length - len(row) :] = row, 1
    return ids, mask


def number_batch(
    rows: Sequence[Numbers | None],
    pads: Sequence[int],
    length: int,
    device: torch.device,
) -> NumberBatch | None:
    """Put stretches of numbers where they belong.

    Args:
        rows: what each sequence shows.
        pads: how many positions stand before each sequence.
        length: L of the padded batch.
        device: of the tensors.

    Returns:
        The batch, or None where no row holds numbers.
    """
    if all(row is None for row in rows):
        return None
    shape = (len(rows), length, VALUE_CHANNELS)
    values = np.zeros(shape, dtype=np.float32)
    observed = np.zeros(shape, dtype=bool)
    targets = np.zeros(shape, dtype=bool)
    present = np.zeros((len(rows), VALUE_CHANNELS), dtype=bool)
    statics = np.zeros((len(rows), VALUE_CHANNELS, VALUE_STATICS), dtype=np.float32)
    is_value = np.zeros((len(rows), length), dtype=bool)
    for i, row in enumerate(rows):
        if row is None:
            continue
        start, shown = pads[i] + row.start, row.values
        n_steps, n_channels = shown.shape
        stop = start + n_steps
        whole = _filled(shown)
        values[i, start:stop, :n_channels] = whole
        values[i, :start, :n_channels] = whole[0]
        values[i, stop:, :n_channels] = whole[-1]
        observed[i, start:stop, :n_channels] = np.isfinite(shown)
        present[i, :n_channels] = True
        statics[i, :n_channels] = row.statics
        is_value[i, start:stop] = True
        first = start + max(1, row.asked_from)  # the first value has nothing before it
        targets[i, first:stop] = observed[i, first:stop]

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(device)

    return NumberBatch(
        tensor(values),
        tensor(observed),
        tensor(present),
        tensor(statics),
        tensor(is_value),
        tensor(targets),
        bool(targets.any()),
    )


def embed_mixed(
    model: Any, ids: torch.Tensor, numbers: NumberBatch | None, shown: History | None = None
) -> torch.Tensor:
    """Embeddings (B, L, hidden) of a padded batch.

    Args:
        model: a causal LM; with a numeric head where numbers are shown.
        ids: (B, L) int64 tokens.
        numbers: beside them, or None.
        shown: the numbers as the model is to see them; None shows them as they are.

    Raises:
        ModelError: numbers for a model without a numeric head.
    """
    tokens: torch.Tensor = model.get_input_embeddings()(ids)
    if numbers is None:
        return tokens
    interface = numeric_head_of(model)
    if interface is None:
        raise ModelError("got numbers for a model without a numeric head; attach one first")
    shown = History.of(numbers.values) if shown is None else shown
    values = interface.embed(shown, numbers.observed, numbers.present, numbers.statics)
    return torch.where(numbers.is_value[..., None], values.to(tokens.dtype), tokens)
