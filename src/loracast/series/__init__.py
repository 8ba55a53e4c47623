"""Long frames and files to arrays and back, splits, generators, regimes.

CSV, Parquet, HDF5, pandas, polars -> `Panel` -> arrays; arrays -> forecast frames.
"""

from __future__ import annotations

from loracast.series._digest import data_sha256
from loracast.series._files import read_panel, write_hdf5, write_panel
from loracast.series._future import backtest_frame, forecast_frame, future_times
from loracast.series._inputs import as_panel, require_known, series_keys
from loracast.series._panel import Panel
from loracast.series._regimes import classify_regime
from loracast.series._season import season_of_times
from loracast.series._seen import seen_record, trained_until
from loracast.series._skipping import (
    NAMED,
    Skipped,
    facts_of_skipped,
    left_out,
    note_of_skipped,
    unusable,
    usable_series,
    warn_of_skipped,
)
from loracast.series._split import rolling_origins, sliding_windows, split_panel

__all__ = [
    "NAMED",
    "Panel",
    "Skipped",
    "as_panel",
    "backtest_frame",
    "classify_regime",
    "data_sha256",
    "facts_of_skipped",
    "forecast_frame",
    "future_times",
    "left_out",
    "note_of_skipped",
    "read_panel",
    "require_known",
    "rolling_origins",
    "season_of_times",
    "seen_record",
    "series_keys",
    "sliding_windows",
    "split_panel",
    "trained_until",
    "unusable",
    "usable_series",
    "warn_of_skipped",
    "write_hdf5",
    "write_panel",
]
