"""What a fit holds back for its validation loss, and which windows it trains on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from loracast.api._engine import Engine, FitPlan
from loracast.series import Panel
from loracast.tasks import IGNORED, Example

__all__ = ["HoldOut", "hold_out", "plan_for", "validation_examples"]

SERIES_TO_HOLD_OUT = 10  # with so many series or more, whole series are held out
HELD_SERIES = 0.1
HELD_STEPS = 0.2
WINDOWS_PER_LENGTH = 4  # neighbouring windows start a quarter of a window apart
CONTEXT_SHARE = 0.7  # of a validation window


@dataclass(frozen=True)
class HoldOut:
    """Series to train on, and series to validate on of which the first `seen` steps are known.

    `seen` is empty where whole series are held out.
    """

    train: Panel
    validation: Panel | None
    seen: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        """What is held out, in words."""
        if self.validation is None:
            return "nothing"
        return "last steps" if self.seen else "series"


def hold_out(panel: Panel) -> HoldOut:
    """Keep data back for the validation loss.

    From ten series on, the last tenth of the series (at least one); of fewer, the last fifth of
    the steps of every series, which leaves out every window that ends there.
    """
    n_series = len(panel)
    if n_series >= SERIES_TO_HOLD_OUT:
        n_held = max(1, int(HELD_SERIES * n_series))
        return HoldOut(
            panel.select(range(n_series - n_held)), panel.select(range(n_series - n_held, n_series))
        )
    seen = [max(2, length - max(1, int(HELD_STEPS * length))) for length in panel.lengths]
    train = Panel(
        ids=panel.ids,
        values=tuple(v[:n] for v, n in zip(panel.values, seen, strict=True)),
        times=tuple(t[:n] for t, n in zip(panel.times, seen, strict=True)),
        channels=panel.channels,
        id_col=panel.id_col,
        time_col=panel.time_col,
        meta=panel.meta,
    )
    rows = [i for i, n in enumerate(seen) if n < panel.lengths[i]]
    if not rows:
        return HoldOut(train, None)
    return HoldOut(train, panel.select(rows), tuple(seen[i] for i in rows))


def plan_for(engine: Engine, train: Panel) -> FitPlan:
    """Windows as long as the base was pretrained on, or as the longest series if that is less."""
    window = min(engine.window_steps(train.n_channels), int(train.lengths.max()))
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
        known = window[:context]
        if not np.isfinite(known).any(axis=0).all():
            continue
        example = engine.task.example(window, context)
        if example.numbers is not None:
            asked = max(1, seen - start)
            if np.isfinite(window[asked:]).any():
                numbers = replace(example.numbers, asked_from=asked)
                examples.append(replace(example, numbers=numbers))
            continue
        labels = example.labels.copy()
        if seen > start:
            unseen = _n_symbols(engine, window, known) - _n_symbols(
                engine, window[: seen - start], known
            )
            labels[: len(labels) - unseen] = IGNORED
        if (labels != IGNORED).any():
            examples.append(replace(example, labels=labels))
    return examples


def _n_symbols(engine: Engine, values: np.ndarray, context: np.ndarray) -> int:
    return len(engine.codec.encode(values, engine.codec.fit(context)).symbols)
