"""Where data, model and budget meet: `Forecaster` for people, `Engine` for what is built on it.

`baseline_rows`, `model_row` and `score_samples` put methods side by side, in a backtest or a study.
"""

from loracast.api._annotation_engine import AnnotationEngine, Answer
from loracast.api._annotation_fitting import AnnotatorReport
from loracast.api._annotation_plot import (
    check_caption_font,
    draw_annotations,
    plot_annotations,
)
from loracast.api._annotation_rows import shortened
from loracast.api._annotator import AnnotationReport, Annotator
from loracast.api._backtest import METHODS, Backtest, backtest_panel, compare_methods
from loracast.api._calibration import calibrate_spread
from loracast.api._compare import (
    baseline_rows,
    check_methods,
    missing_row,
    model_row,
    score_samples,
    scored_horizons,
)
from loracast.api._engine import Engine, FitPlan
from loracast.api._fitting import FitReport
from loracast.api._forecaster import Forecaster
from loracast.api._inputs import adapter_folder, series_keys
from loracast.api._plot import draw_forecast
from loracast.api._quantiles import check_levels, check_quantiles, enough_samples, sample_quantiles
from loracast.api._sampling import (
    UNLIMITED_FLOPS,
    ForecastReport,
    check_size,
    frame_of_samples,
    model_notes,
)
from loracast.api._seen import SEEN_RULES
from loracast.api._skipping import Skipped, facts_of_skipped, note_of_skipped, usable_series

__all__ = [
    "METHODS",
    "SEEN_RULES",
    "UNLIMITED_FLOPS",
    "AnnotationEngine",
    "AnnotationReport",
    "Annotator",
    "AnnotatorReport",
    "Answer",
    "Backtest",
    "Engine",
    "FitPlan",
    "FitReport",
    "ForecastReport",
    "Forecaster",
    "Skipped",
    "adapter_folder",
    "backtest_panel",
    "baseline_rows",
    "calibrate_spread",
    "check_caption_font",
    "check_levels",
    "check_methods",
    "check_quantiles",
    "check_size",
    "compare_methods",
    "draw_annotations",
    "draw_forecast",
    "enough_samples",
    "facts_of_skipped",
    "frame_of_samples",
    "missing_row",
    "model_notes",
    "model_row",
    "note_of_skipped",
    "plot_annotations",
    "sample_quantiles",
    "score_samples",
    "scored_horizons",
    "series_keys",
    "shortened",
    "usable_series",
]
