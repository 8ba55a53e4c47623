"""Long frames and files to arrays and back, splits, generators, regimes.

CSV, Parquet, HDF5, pandas, polars -> `Panel` -> arrays; arrays -> forecast frames.
"""

from __future__ import annotations

from loracast.series._described import FAMILIES as DESCRIBED_FAMILIES
from loracast.series._described import DescribedSeries, describe_chunk
from loracast.series._facts import (
    EXTREMUM_REGIONS,
    NOISE_LEVELS,
    TREND_LABELS,
    Extremum,
    SeriesFacts,
    TrendSegment,
    region_of,
)
from loracast.series._files import read_panel, sha256_of_file, write_hdf5, write_panel
from loracast.series._frames import build_frame, panel_from_frame, panel_to_frame
from loracast.series._future import backtest_frame, forecast_frame, future_times
from loracast.series._label_bounds import noise_label, trend_label
from loracast.series._lotka_volterra import REGIMES, generate_lotka_volterra
from loracast.series._measurements import Measurements, measure
from loracast.series._ou import generate_ou
from loracast.series._panel import Panel
from loracast.series._regimes import classify_regime
from loracast.series._season import season_of_times
from loracast.series._seen import seen_record, trained_until
from loracast.series._split import rolling_origins, sliding_windows, split_panel

__all__ = [
    "DESCRIBED_FAMILIES",
    "EXTREMUM_REGIONS",
    "NOISE_LEVELS",
    "REGIMES",
    "TREND_LABELS",
    "DescribedSeries",
    "Extremum",
    "Measurements",
    "Panel",
    "SeriesFacts",
    "TrendSegment",
    "backtest_frame",
    "build_frame",
    "classify_regime",
    "describe_chunk",
    "forecast_frame",
    "future_times",
    "generate_lotka_volterra",
    "generate_ou",
    "measure",
    "noise_label",
    "panel_from_frame",
    "panel_to_frame",
    "read_panel",
    "region_of",
    "rolling_origins",
    "season_of_times",
    "seen_record",
    "sha256_of_file",
    "sliding_windows",
    "split_panel",
    "trained_until",
    "trend_label",
    "write_hdf5",
    "write_panel",
]
