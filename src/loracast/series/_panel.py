"""The one in-memory form of data: N series of T steps and C channels.

Knows nothing of files, frames, models or text. Everything after the loaders reads it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from loracast.errors import DataError

__all__ = ["Panel"]


@dataclass(frozen=True)
class Panel:
    """N series, each with its own id, times and values.

    Args:
        ids: N distinct ids, in the order of the source.
        values: N float64 arrays (T_n, C); NaN marks a missing value, infinities are refused.
        times: N arrays (T_n,), strictly increasing: integers, floats or datetime64.
        channels: C column names.
        id_col: name the id column had, and gets again on the way out.
        time_col: name the time column had, and gets again on the way out.
        meta: free facts of the source (path, sha256, seed), never read by models. Facts with one
            entry per series (regime, parameters) sit under "per_series", name -> N entries.

    Raises:
        DataError: shapes or lengths that do not agree, a repeated id, an infinite value, or
            times that do not strictly increase.
    """

    ids: tuple[Hashable, ...]
    values: tuple[np.ndarray, ...]
    times: tuple[np.ndarray, ...]
    channels: tuple[str, ...] = ("y",)
    id_col: str = "unique_id"
    time_col: str = "ds"
    meta: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.values) == len(self.times):
            raise DataError(
                f"got {len(self.ids)} ids, {len(self.values)} value arrays and "
                f"{len(self.times)} time arrays; expected one of each per series"
            )
        if len(set(self.ids)) != len(self.ids):
            raise DataError("got repeated series ids; expected each id once")
        for name, values, times in zip(self.ids, self.values, self.times, strict=True):
            if values.ndim != 2 or values.shape[1] != len(self.channels):
                raise DataError(
                    f"series {name!r}: got values of shape {values.shape}; "
                    f"expected (T, {len(self.channels)})"
                )
            if times.shape != (values.shape[0],):
                raise DataError(
                    f"series {name!r}: got {times.shape[0]} times for {values.shape[0]} rows; "
                    "expected one time per row"
                )
            if np.isinf(values).any():
                step, channel = np.argwhere(np.isinf(values))[0]
                raise DataError(
                    f"series {name!r}: got an infinite value in {self.channels[channel]!r} at "
                    f"{self.time_col} {times[step]}; expected finite numbers or NaN for missing"
                )
            if len(times) > 1 and not (times[1:] > times[:-1]).all():
                raise DataError(
                    f"series {name!r}: got times in {self.time_col!r} that repeat or go back; "
                    "expected strictly increasing times"
                )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_channels(self) -> int:
        """C, the number of channels."""
        return len(self.channels)

    @property
    def lengths(self) -> np.ndarray:
        """(N,) number of steps of each series."""
        return np.array([len(v) for v in self.values], dtype=np.int64)

    @property
    def n_missing(self) -> int:
        """Number of NaN values over all series, steps and channels."""
        return int(sum(np.isnan(v).sum() for v in self.values))

    def require_length(self, n_steps: int, purpose: str) -> None:
        """Refuse series that are too short for what comes next.

        Args:
            n_steps: least number of steps a series must have.
            purpose: what needs them, as the subject of a sentence ("a forecast").

        Raises:
            DataError: no series at all, or a series with fewer steps.
        """
        if not len(self):
            raise DataError(f"got no series; {purpose} needs at least one")
        short = np.flatnonzero(self.lengths < n_steps)
        if len(short):
            first = int(short[0])
            count = int(self.lengths[first])
            raise DataError(
                f"series {self.ids[first]!r} has {count} step{'s' * (count != 1)}; {purpose} needs "
                f"at least {n_steps} ({len(short)} of {len(self)} series are too short; "
                "leave them out or ask for less)"
            )

    def stack(self) -> np.ndarray:
        """The values as one array (N, T, C).

        Raises:
            DataError: series of different lengths.
        """
        lengths = self.lengths
        if not len(self) or (lengths != lengths[0]).any():
            span = f"{lengths.min()} to {lengths.max()} steps" if len(self) else "no series"
            raise DataError(f"got {span}; expected series of one length")
        return np.stack(self.values)

    def select(self, rows: Sequence[int] | np.ndarray) -> Panel:
        """The series at the given positions, in that order."""
        meta = dict(self.meta)
        if "per_series" in meta:
            facts = cast(dict[str, Sequence[object]], meta["per_series"])
            meta["per_series"] = {key: [fact[i] for i in rows] for key, fact in facts.items()}
        return Panel(
            ids=tuple(self.ids[i] for i in rows),
            values=tuple(self.values[i] for i in rows),
            times=tuple(self.times[i] for i in rows),
            channels=self.channels,
            id_col=self.id_col,
            time_col=self.time_col,
            meta=meta,
        )

    def steps(self, start: int | None, stop: int | None) -> Panel:
        """The same slice of steps of every series (Python slice rules)."""
        return Panel(
            ids=self.ids,
            values=tuple(v[start:stop] for v in self.values),
            times=tuple(t[start:stop] for t in self.times),
            channels=self.channels,
            id_col=self.id_col,
            time_col=self.time_col,
            meta=self.meta,
        )
