"""How much of the numbers a codec keeps: the error of writing them down and reading them back.

Knows no model: it is the floor under any forecast that goes through this codec. Tests use it, and
`benchmarks/codecs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loracast.codec._base import TextCodec
from loracast.errors import CodecError

__all__ = ["RoundTrip", "round_trip_report"]


@dataclass(frozen=True)
class RoundTrip:
    """Round-trip figures of a codec over N series, in the units of the data.

    Args:
        n_values: how many finite values were scored.
        mae: mean of |read back - value|.
        max_error: the largest of them.
        relative_error: mae over the mean of |value| (nan where that is 0).
        symbols_per_step: mean symbols per time step, over everything that was encoded.
        share_clipped: share of scored values outside what the codec can write, cut to its limits.
        share_outside: share of scored values outside the range of their own context.
    """

    n_values: int
    mae: float
    max_error: float
    relative_error: float
    symbols_per_step: float
    share_clipped: float
    share_outside: float


def round_trip_report(
    codec: TextCodec, contexts: Sequence[np.ndarray], futures: Sequence[np.ndarray] | None = None
) -> RoundTrip:
    """Encode and decode each series under the state of its context.

    Args:
        codec: any text codec, already calibrated.
        contexts: N arrays (T, C), the state is fitted on each.
        futures: N arrays (H, C) that are scored; None scores the contexts themselves.

    Raises:
        CodecError: lists of different lengths, nothing to score, or values the codec refuses.
    """
    if futures is not None and len(futures) != len(contexts):
        raise CodecError(
            f"got {len(contexts)} contexts and {len(futures)} futures; expected one of each"
        )
    errors, sizes, clipped, outside = [], [], [], []
    n_symbols = n_steps = 0
    for i, raw in enumerate(contexts):
        context = np.asarray(raw, dtype=float)
        scored = context if futures is None else np.asarray(futures[i], dtype=float)
        state = codec.fit(context)
        low, high = codec.limits(state)
        half_last = 1e-12 * np.maximum(np.abs(low), np.abs(high))
        seen = ~np.isnan(scored)
        whole = np.clip(scored, low, high)
        if futures is not None:
            whole = np.concatenate([context, whole])
        symbols = codec.encode(whole, state)
        back = codec.decode(symbols, state)[-len(scored) :]
        n_symbols += len(symbols)
        n_steps += len(whole)
        errors.append(np.abs(back - scored)[seen])
        sizes.append(np.abs(scored)[seen])
        clipped.append(((scored < low - half_last) | (scored > high + half_last))[seen])
        beyond = (scored < np.nanmin(context, axis=0)) | (scored > np.nanmax(context, axis=0))
        outside.append(beyond[seen])
    error = np.concatenate(errors) if errors else np.empty(0)
    if error.size == 0:
        raise CodecError("got no finite value to score; expected at least one")
    size = float(np.concatenate(sizes).mean())
    mae = float(error.mean())
    return RoundTrip(
        n_values=int(error.size),
        mae=mae,
        max_error=float(error.max()),
        relative_error=mae / size if size > 0.0 else float("nan"),
        symbols_per_step=n_symbols / n_steps,
        share_clipped=float(np.concatenate(clipped).mean()),
        share_outside=float(np.concatenate(outside).mean()),
    )
