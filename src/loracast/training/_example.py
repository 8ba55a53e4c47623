"""The plain form in which a task hands work to training: token ids, labels, and numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loracast.backbone import Numbers

__all__ = ["IGNORED", "Example", "SoftLabel"]

# torch.nn.functional.cross_entropy leaves this label out.
IGNORED = -100


@dataclass(frozen=True)
class SoftLabel:
    """A target that is a distribution over a few tokens in place of one.

    Args:
        position: of the token to predict, in `Example.ids`.
        ids: K token ids.
        shares: K probabilities that sum to 1.
    """

    position: int
    ids: tuple[int, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Example:
    """One training sequence.

    Args:
        ids: (L,) int64 token ids of the model.
        labels: (L,) int64; labels[i] is the token to predict AT position i from what stands
            before it (the loop shifts), IGNORED where no loss is wanted.
        numbers: what stands at positions that show numbers instead of tokens, or None.
        soft: what to learn instead at some of the labelled positions.
    """

    ids: np.ndarray
    labels: np.ndarray
    numbers: Numbers | None = None
    soft: tuple[SoftLabel, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)
