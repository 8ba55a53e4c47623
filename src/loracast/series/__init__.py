"""Long frames and files to arrays and back, splits, generators, regimes.

CSV, Parquet, HDF5, pandas, polars -> `Panel` -> arrays; arrays -> forecast frames.
"""

from __future__ import annotations

from loracast.series._files import read_panel, sha256_of_file, write_hdf5, write_panel
from loracast.series._frames import build_frame, panel_from_frame, panel_to_frame
from loracast.series._future import backtest_frame, forecast_frame, future_times
from loracast.series._panel import Panel
from loracast.series._split import sliding_windows, split_panel

__all__ = [
    "Panel",
    "backtest_frame",
    "build_frame",
    "forecast_frame",
    "future_times",
    "panel_from_frame",
    "panel_to_frame",
    "read_panel",
    "sha256_of_file",
    "sliding_windows",
    "split_panel",
    "write_hdf5",
    "write_panel",
]
