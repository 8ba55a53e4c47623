"""What comes in from outside as panels: frames, and names of series."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from loracast.errors import DataError
from loracast.series._frames import panel_from_frame
from loracast.series._panel import Panel

__all__ = ["as_panel", "require_known", "series_keys"]


def as_panel(
    frame: Any,
    id_col: str | None = None,
    time_col: str | None = None,
    target_cols: Sequence[str] | None = None,
    sort: bool = False,
    strict: bool = True,
) -> Panel:
    """A panel as it is, or the panel of a frame.

    Without `strict`, series of the frame that cannot be used are left out; `meta["skipped"]` has
    their ids and reasons.

    Raises:
        DataError: a frame that cannot be used.
    """
    if isinstance(frame, Panel):
        return frame
    return panel_from_frame(
        frame,
        id_col=id_col,
        time_col=time_col,
        target_cols=target_cols,
        sort=sort,
        strict=strict,
    )


def series_keys(ids: Sequence[Hashable]) -> list[str]:
    """One distinct text per id: the name of its random stream."""
    keys = [str(i) for i in ids]
    return keys if len(set(keys)) == len(keys) else [repr(i) for i in ids]


def require_known(panel: Panel, last: Sequence[int] | None, purpose: str) -> None:
    """Refuse series without any known value among those that will be looked at.

    Args:
        panel: N series.
        last: how many of the last steps of each are looked at; None for all.
        purpose: what needs them, as the subject of a sentence ("a forecast").

    Raises:
        DataError: such a series, by name.
    """
    counts = panel.lengths if last is None else last
    for name, values, count in zip(panel.ids, panel.values, counts, strict=True):
        seen = np.isfinite(values[-count:]).any(axis=0)
        if not seen.all():
            channel = panel.channels[int(np.argmin(seen))]
            where = "" if count >= len(values) else f" in its last {count} steps"
            raise DataError(
                f"series {name!r} has no known value in {channel!r}{where}; {purpose} needs at "
                "least one: fill it, or leave the series out"
            )
