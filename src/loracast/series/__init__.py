"""Long frames and files to arrays and back, splits, generators, regimes.

CSV, Parquet, HDF5, pandas, polars -> `Panel` -> arrays; arrays -> forecast frames.
"""

from __future__ import annotations

from loracast.series._files import read_panel, sha256_of_file, write_hdf5, write_panel
from loracast.series._frames import build_frame, panel_from_frame, panel_to_frame
from loracast.series._future import backtest_frame, forecast_frame, future_times
from loracast.series._lotka_volterra import REGIMES, generate_lotka_volterra
from loracast.series._ou import generate_ou
from loracast.series._panel import Panel
from loracast.series._regimes import classify_regime
from loracast.series._split import sliding_windows, split_panel

__all__ = [
    "REGIMES",
    "Panel",
    "backtest_frame",
    "build_frame",
    "classify_regime",
    "forecast_frame",
    "future_times",
    "generate_lotka_volterra",
    "generate_ou",
    "panel_from_frame",
    "panel_to_frame",
    "read_panel",
    "sha256_of_file",
    "sliding_windows",
    "split_panel",
    "write_hdf5",
    "write_panel",
]
