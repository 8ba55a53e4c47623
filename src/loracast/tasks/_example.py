"""The plain form in which a task hands work to training: token ids and labels, nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["IGNORED", "Example"]

# torch.nn.functional.cross_entropy leaves this label out.
IGNORED = -100


@dataclass(frozen=True)
class Example:
    """One training sequence.

    Args:
        ids: (L,) int64 token ids of the model.
        labels: (L,) int64; labels[i] is the token to predict AT position i from what stands
            before it (the loop shifts), IGNORED where no loss is wanted.
        values: (L, C) float32 numbers shown beside the ids, for codecs that have them.
    """

    ids: np.ndarray
    labels: np.ndarray
    values: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)
