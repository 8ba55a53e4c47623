"""Numbers of several sequences in one padded batch.

Knows where a stretch of numbers stands in each row, not which codec normalised them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from loracast.backbone._values import VALUE_CHANNELS, VALUE_STATICS

__all__ = ["NumberBatch", "number_batch"]


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


def _filled(values: np.ndarray) -> np.ndarray:
    """(T, C) with every gap filled by the last value before it, leading gaps by the first seen."""
    seen = np.isfinite(values)
    last = np.maximum.accumulate(np.where(seen, np.arange(len(values))[:, None], -1), axis=0)
    first = seen.argmax(axis=0)
    filled = np.take_along_axis(values, np.where(last < 0, first, last), axis=0)
    return np.nan_to_num(filled)  # a channel of which nothing is seen in this stretch


def number_batch(
    rows: Sequence[tuple[int, np.ndarray, np.ndarray, int] | None],
    length: int,
    device: torch.device,
) -> NumberBatch | None:
    """Put stretches of numbers where they belong.

    Args:
        rows: for each sequence None, or (first position in the padded row, values (T, C) float32
            with NaN where missing, statics (C, F), the first step to be predicted).
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
        start, shown, fixed, asked_from = row
        n_steps, n_channels = shown.shape
        stop = start + n_steps
        whole = _filled(shown)
        values[i, start:stop, :n_channels] = whole
        values[i, :start, :n_channels] = whole[0]
        values[i, stop:, :n_channels] = whole[-1]
        observed[i, start:stop, :n_channels] = np.isfinite(shown)
        present[i, :n_channels] = True
        statics[i, :n_channels] = fixed
        is_value[i, start:stop] = True
        first = start + max(1, asked_from)  # the first value has nothing before it
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
