"""Forecasts: windows -> examples, samples -> quantiles, calibration, backtest, `Forecaster`."""

from __future__ import annotations

from loracast.forecasting._backtest import backtest_panel
from loracast.forecasting._calibration import calibrate_spread
from loracast.forecasting._compare import baseline_rows, score_samples
from loracast.forecasting._engine import Engine, FitPlan
from loracast.forecasting._forecaster import Forecaster
from loracast.forecasting._plot import draw_forecast
from loracast.forecasting._quantiles import (
    check_levels,
    check_quantiles,
    enough_samples,
    sample_quantiles,
)
from loracast.forecasting._sampling import check_size, frame_of_samples, model_notes
from loracast.forecasting._shown import forecast_task
from loracast.forecasting._task import ForecastTask

__all__ = [
    "Engine",
    "FitPlan",
    "ForecastTask",
    "Forecaster",
    "backtest_panel",
    "baseline_rows",
    "calibrate_spread",
    "check_levels",
    "check_quantiles",
    "check_size",
    "draw_forecast",
    "enough_samples",
    "forecast_task",
    "frame_of_samples",
    "model_notes",
    "sample_quantiles",
    "score_samples",
]
