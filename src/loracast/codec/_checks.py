"""Checks that every codec makes on what it is given.

Knows shapes and finiteness only; scaling and symbols are the codecs' own business.
"""

from __future__ import annotations

import numpy as np

from loracast.codec._base import State
from loracast.errors import CodecError

__all__ = ["as_context", "as_symbols", "as_values", "require_state"]


def as_values(values: np.ndarray, codec: str, n_channels: int | None = None) -> np.ndarray:
    """Values as float64 (T, C), with NaN allowed and infinities refused.

    Raises:
        CodecError: another shape, another number of channels, not numbers, or an infinity.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CodecError(
            f"codec {codec!r}: got values that are not numbers; expected an array (T, C)"
        ) from error
    if array.ndim != 2 or array.shape[1] == 0:
        raise CodecError(
            f"codec {codec!r}: got values of shape {array.shape}; expected (T, C) with C >= 1 "
            "(use values[:, None] for one channel)"
        )
    if n_channels is not None and array.shape[1] != n_channels:
        raise CodecError(
            f"codec {codec!r}: got {array.shape[1]} channels; "
            f"expected {n_channels}, as the state was fitted on"
        )
    if np.isinf(array).any():
        step, channel = (int(i) for i in np.argwhere(np.isinf(array))[0])
        raise CodecError(
            f"codec {codec!r}: got an infinite value at step {step}, channel {channel}; "
            "expected finite values, or NaN where one is missing"
        )
    return array


def as_context(context: np.ndarray, codec: str) -> np.ndarray:
    """A context (T, C) in which every channel has at least one value.

    Raises:
        CodecError: as `as_values`, and for an empty context or a channel without any value.
    """
    array = as_values(context, codec)
    seen = (~np.isnan(array)).any(axis=0)
    if not seen.all():
        channel = int(np.argmin(seen))
        what = "no steps" if array.shape[0] == 0 else "only missing values (NaN)"
        raise CodecError(
            f"codec {codec!r}: got a context with {what} in channel {channel}; "
            "expected at least one finite value per channel, drop or fill that channel first"
        )
    return array


def as_symbols(symbols: np.ndarray, codec: str, n_symbols: int) -> np.ndarray:
    """Symbol ids (L,) as int64, each inside the alphabet.

    Raises:
        CodecError: another shape, not integers, or an id outside 0..n_symbols-1.
    """
    array = np.asarray(symbols)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise CodecError(
            f"codec {codec!r}: got symbols of shape {array.shape} and type {array.dtype}; "
            "expected integer ids (L,)"
        )
    array = array.astype(np.int64)
    if array.size and (array.min() < 0 or array.max() >= n_symbols):
        raise CodecError(
            f"codec {codec!r}: got symbol ids {array.min()}..{array.max()}; "
            f"expected 0..{n_symbols - 1}"
        )
    return array


def require_state(state: State, codec: str) -> None:
    """Refuse a state that another codec fitted.

    Raises:
        CodecError: the state names another codec.
    """
    if state.codec != codec:
        raise CodecError(
            f"got a state of codec {state.codec!r} for codec {codec!r}; "
            "expected the state that this codec's fit() returned"
        )
