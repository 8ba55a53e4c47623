"""What a model is told of a series shown as numbers, beside the numbers: one record per channel.

Defined once for all who write it (the codec), carry it (arrays) and read it (the numeric head).
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import numpy as np

__all__ = ["VALUE_CHANNELS", "VALUE_STATICS", "Statics"]

Array = TypeVar("Array")

VALUE_CHANNELS = 8  # the most of a series; every value tensor has as many, unused ones are absent


class Statics(NamedTuple, Generic[Array]):
    """What the scaling of a series took away, each (..., C), as numpy arrays or torch tensors.

    Args:
        is_log: 1 where values are shown in logs, else 0.
        log_scale: log of the scale that they were divided by, under the log transform alone.
        log_step: log of the size of a step, in units of the shown values.
        log_jerk: log of the size of a second difference, in units of a step.
    """

    is_log: Array
    log_scale: Array
    log_step: Array
    log_jerk: Array

    @classmethod
    def of(cls, array: Array) -> Statics[Array]:
        """The record of an array or tensor (..., C, VALUE_STATICS)."""
        return cls(*(array[..., k] for k in range(VALUE_STATICS)))  # type: ignore[index]

    def array(self) -> np.ndarray:
        """(..., C, VALUE_STATICS) float32."""
        return np.stack([np.asarray(field) for field in self], axis=-1).astype(np.float32)


VALUE_STATICS = len(Statics._fields)
