"""What a fit holds back for its validation loss and its bands, and which windows it trains on.

No value of the one is a value of another: what calibrates the bands has neither been trained on nor
chosen the checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loracast.forecasting._engine import Engine, FitPlan
from loracast.series import Panel
from loracast.training import Example

__all__ = ["HoldOut", "calibration_series", "hold_out", "plan_for", "validation_examples"]

SERIES_TO_HOLD_OUT = 10  # with so many series or more, whole series are held out
HELD_SERIES = 0.1
HELD_STEPS = 0.2  # half of them for the bands, where those are calibrated
CALIBRATION_SERIES = 40  # at most; one forecast of each is paid for
CALIBRATION_STEPS = 48  # of horizon, at most
WINDOWS_PER_LENGTH = 4  # neighbouring windows start a quarter of a window apart
CONTEXT_SHARE = 0.7  # of a validation window


@dataclass(frozen=True)
class HoldOut:
    """Series to train on, to validate on and to calibrate bands on.

    Args:
        train: the series or the steps that are trained on.
        validation: for the loss that chooses the checkpoint; of each the first `seen` steps are
            trained on. `seen` is empty where whole series are held out.
        calibration: for the widths of bands; of each the first `shown` steps are known (trained on
            or validated on) and what follows is not. `shown` is empty for whole series.
    """

    train: Panel
    validation: Panel | None
    seen: tuple[int, ...] = ()
    calibration: Panel | None = None
    shown: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        """What is held out, in words."""
        if self.validation is None:
            return "nothing"
        return "last steps" if self.seen else "series"


def hold_out(panel: Panel, calibrate: bool = False) -> HoldOut:
    """Keep data back for the validation loss and, if `calibrate`, for the widths of bands.

    From ten series on, the last tenth of the series (at least one) validates; with calibration,
    that tenth calibrates (40 series at most) and the tenth before it validates. Of fewer, the last
    fifth of the steps of every series, which leaves out every window that ends there; with
    calibration, its second half calibrates.
    """
    n_series = len(panel)
    if n_series >= SERIES_TO_HOLD_OUT:
        n_held = max(1, int(HELD_SERIES * n_series))
        n_kept = min(n_held, CALIBRATION_SERIES) if calibrate else 0
        end = n_series - n_kept
        return HoldOut(
            panel.select(range(end - n_held)),
            panel.select(range(end - n_held, end)),
            calibration=panel.select(range(end, n_series)) if n_kept else None,
        )
    seen = [max(2, length - max(1, int(HELD_STEPS * length))) for length in panel.lengths]
    ends = [
        int(n - (n - first) // 2 if calibrate else n)
        for n, first in zip(panel.lengths, seen, strict=True)
    ]
    train = _first_steps(panel, seen)
    rows = [i for i, end in enumerate(ends) if seen[i] < end]
    if not rows:
        return HoldOut(train, None)
    kept = [i for i, end in enumerate(ends) if end < panel.lengths[i]]
    return HoldOut(
        train,
        _first_steps(panel, ends).select(rows),
        tuple(seen[i] for i in rows),
        panel.select(kept) if kept else None,
        tuple(ends[i] for i in kept),
    )


def _first_steps(panel: Panel, counts: list[int]) -> Panel:
    return Panel(
        ids=panel.ids,
        values=tuple(v[:n] for v, n in zip(panel.values, counts, strict=True)),
        times=tuple(t[:n] for t, n in zip(panel.times, counts, strict=True)),
        channels=panel.channels,
        id_col=panel.id_col,
        time_col=panel.time_col,
        meta=panel.meta,
    )


def calibration_series(
    engine: Engine, held: HoldOut, plan: FitPlan
) -> tuple[list[np.ndarray], list[int], int]:
    """What `calibrate_spread` is given of a hold-out.

    Returns:
        N series, how many of the first steps of each are context, and the horizon; the horizon is
        0 where there is nothing to calibrate on.
    """
    series, contexts = [], []
    panel = held.calibration
    for i, values in enumerate(() if panel is None else panel.values):
        if held.shown:
            shown = engine.default_context(values[: held.shown[i]])
            start = held.shown[i] - shown
            series.append(values[start:])
            contexts.append(shown)
        elif len(values) > 2:
            series.append(values)
            contexts.append(min(plan.context_steps, max(2, round(CONTEXT_SHARE * len(values)))))
    ahead = [len(v) - c for v, c in zip(series, contexts, strict=True)]
    return series, contexts, min(CALIBRATION_STEPS, max(ahead, default=0))


def plan_for(engine: Engine, train: Panel) -> FitPlan:
    """Windows as long as the base was pretrained on, or as the longest series if that is less."""
    window = min(engine.window_steps(train), int(train.lengths.max()))
    return FitPlan(
        window_steps=window,
        stride=max(1, window // WINDOWS_PER_LENGTH),
        context_steps=max(2, round(CONTEXT_SHARE * window)),
    )


def validation_examples(engine: Engine, held: HoldOut, plan: FitPlan) -> list[Example]:
    """Examples of the validation loss; of a series that is also trained on, only unseen steps."""
    if held.validation is None or not held.seen:
        return engine.validation_examples(held.validation, plan)
    examples = []
    for values, seen in zip(held.validation.values, held.seen, strict=True):
        start = max(0, len(values) - plan.window_steps)
        # Where the unseen part is longer than a window, the scale still needs a context.
        context = max(seen - start, min(plan.context_steps, len(values) - start - 1))
        window = values[start:]
        if not np.isfinite(window[:context]).any(axis=0).all():
            continue
        example = engine.task.asking_from(window, context, seen - start)
        if example is not None:
            examples.append(example)
    return examples
