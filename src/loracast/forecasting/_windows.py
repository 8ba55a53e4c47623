"""Training windows of a forecasting task, as a function of the step number alone.

Why: a batch that depends only on (seed, step) needs no sampler state, so a resumed run sees
exactly the batches that an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from loracast.errors import DataError
from loracast.forecasting._task import ForecastTask
from loracast.series import Panel, sliding_windows
from loracast.training import Example

__all__ = ["ForecastWindows"]


class ForecastWindows:
    """Batches of examples over all sliding windows of a panel, reshuffled every epoch.

    No window is lost: the last batch of an epoch runs on into the next one.

    Args:
        task: makes examples of windows.
        panel: N training series.
        window_steps: T of a window; shorter series are used whole.
        stride: steps between the starts of neighbouring windows.
        context_range: smallest and largest context that the scaling is fitted on, as shares of
            the window; drawn anew for every example, so that the model meets every position of
            the horizon in the scaled range.
        batch_size: B.
        seed: of the order and of the contexts.

    Raises:
        DataError: no window at all.
    """

    def __init__(
        self,
        task: ForecastTask[Any],
        panel: Panel,
        *,
        window_steps: int,
        stride: int,
        batch_size: int,
        seed: int,
        context_range: tuple[float, float] = (0.3, 1.0),
    ) -> None:
        self.task, self.panel = task, panel
        self.window_steps, self.batch_size, self.seed = window_steps, batch_size, seed
        self.context_range = context_range
        windows: Sequence[tuple[int, int]] = sliding_windows(panel, window_steps, stride)
        self.windows = [w for w in windows if self._observed(*w)]
        if not self.windows:
            raise DataError(
                f"got {len(panel)} series without a usable window of {window_steps} steps; "
                "expected at least two observed steps in each channel of one series"
            )

    def _slice(self, series: int, start: int) -> np.ndarray:
        return self.panel.values[series][start : start + self.window_steps]

    def _observed(self, series: int, start: int) -> bool:
        return bool((np.isfinite(self._slice(series, start)).sum(axis=0) >= 2).all())

    def __len__(self) -> int:
        return len(self.windows)

    def example(self, index: int, epoch: int) -> Example:
        """The example of one window in one epoch."""
        window = self._slice(*self.windows[index])
        rng = np.random.default_rng([self.seed, 1, epoch, index])
        low, high = self.context_range
        steps = int(np.clip(round(len(window) * rng.uniform(low, high)), 1, len(window)))
        # A scale needs an observed value in every channel.
        seen = np.isfinite(window).argmax(axis=0).max() + 1
        return self.task.example(window, max(steps, int(seen)))

    def batch(self, step: int) -> list[Example]:
        """The examples of training step `step`, from 0."""
        out: list[Example] = []
        shuffled, order = -1, np.empty(0, dtype=np.int64)
        for position in range(step * self.batch_size, (step + 1) * self.batch_size):
            epoch, place = divmod(position, len(self.windows))
            if epoch != shuffled:
                rng = np.random.default_rng([self.seed, 0, epoch])
                shuffled, order = epoch, rng.permutation(len(self.windows))
            out.append(self.example(int(order[place]), epoch))
        return out
