"""Examples of any length into one rectangular batch, padded on the left.

Knows ids, not what they mean. Position ids start at the first real token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from loracast.backbone import NumberBatch, left_padded, number_batch
from loracast.training._example import IGNORED, Example

__all__ = ["Batch", "SoftTargets", "collate", "padded_length"]

_LENGTHS = 16


@dataclass(frozen=True)
class SoftTargets:
    """The P labelled tokens of a batch whose target is a distribution over K tokens.

    Args:
        rows, columns: (P,) int64, where in `labels`.
        ids: (P, K) int64 tokens.
        shares: (P, K) float32; a row sums to 1.
    """

    rows: torch.Tensor
    columns: torch.Tensor
    ids: torch.Tensor
    shares: torch.Tensor


@dataclass(frozen=True)
class Batch:
    """A padded batch.

    Args:
        input_ids: (B, L) int64.
        labels: (B, L) int64, IGNORED where no loss is wanted.
        attention_mask: (B, L) int64, or None when nothing is padded (the fast, causal-only path).
        position_ids: (B, L) int64 counting from each row's first real token, or None likewise.
        numbers: beside the ids where a sequence shows numbers, or None.
        soft: what to learn instead at some of the labels, or None.
    """

    input_ids: torch.Tensor
    labels: torch.Tensor
    attention_mask: torch.Tensor | None
    position_ids: torch.Tensor | None
    numbers: NumberBatch | None = None
    soft: SoftTargets | None = None


def padded_length(examples: Sequence[Example]) -> int:
    """L of a batch: the longest row, and where numbers and text of several lengths meet, up to 16.

    Every new shape makes the CPU's matrix kernels build and keep a plan of their own; rounding
    keeps a long run on varied lengths from filling the memory with them.
    """
    lengths = {len(e) for e in examples}
    longest = max(lengths)
    if len(lengths) == 1 or all(e.numbers is None for e in examples):
        return longest
    return -(-longest // _LENGTHS) * _LENGTHS


def collate(examples: Sequence[Example], device: torch.device) -> Batch:
    """Pad examples on the left to `padded_length`."""
    length = padded_length(examples)
    ids, mask = left_padded([e.ids for e in examples], length)
    pads = [length - len(e) for e in examples]
    labels = np.full(ids.shape, IGNORED, dtype=np.int64)
    for row, (example, pad) in enumerate(zip(examples, pads, strict=True)):
        # The first token has nothing before it but, in a padded row, padding: no target.
        labels[row, pad + 1 :] = example.labels[1:]
    padded = not mask.all()
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(device)

    return Batch(
        input_ids=tensor(ids),
        labels=tensor(labels),
        attention_mask=tensor(mask) if padded else None,
        position_ids=tensor(positions) if padded else None,
        numbers=number_batch([e.numbers for e in examples], pads, length, device),
        soft=_soft_targets(examples, length, device),
    )


def _soft_targets(
    examples: Sequence[Example], length: int, device: torch.device
) -> SoftTargets | None:
    found = [
        (row, length - len(example) + label.position, label)
        for row, example in enumerate(examples)
        for label in example.soft
    ]
    if not found:
        return None
    most = max(len(label.ids) for _, _, label in found)
    ids = np.zeros((len(found), most), dtype=np.int64)
    shares = np.zeros((len(found), most), dtype=np.float32)
    for k, (_, _, label) in enumerate(found):
        ids[k, : len(label.ids)] = label.ids
        shares[k, : len(label.ids)] = label.shares
    rows, columns = np.array([(row, column) for row, column, _ in found]).T.copy()
    return SoftTargets(*(torch.from_numpy(a).to(device) for a in (rows, columns, ids, shares)))
