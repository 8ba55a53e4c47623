"""Forecasts as numbers: one position a time step, drawn from distributions of numbers.

Knows the codec's scaled units, in which paths are held before they are fed back, and bands drawn
apart: by what was calibrated, and by what hindcasts of the contexts themselves ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from loracast.backbone import Numbers
from loracast.codec import ContinuousCodec, State
from loracast.decoding import SampledNumbers, Work, plan_numbers, sample_numbers
from loracast.forecasting._bounds import hold
from loracast.forecasting._hindcast import (
    HINDCAST_SAMPLES,
    HINDCAST_STEPS,
    context_factors,
    hindcasts,
)
from loracast.forecasting._spread import widened
from loracast.forecasting._task import Draw, ForecastTask, Prompt, Request
from loracast.series import Panel
from loracast.training import IGNORED, Example

__all__ = ["NumberTask"]

WINDOW_STEPS, PROMPT_STEPS = 192, 160  # as the embedded base was pretrained on, less a horizon


class NumberTask(ForecastTask[SampledNumbers]):
    """Numbers as numbers."""

    widens = True
    codec: ContinuousCodec

    def longest_step(self, n_channels: int) -> int:  # noqa: ARG002
        return 1

    def window_steps(self, panel: Panel) -> int:  # noqa: ARG002
        return WINDOW_STEPS

    def default_context(self, values: np.ndarray, made_for: int = 0) -> int:
        return min(len(values), max(PROMPT_STEPS, made_for))

    def _shown(self, values: np.ndarray, state: State) -> tuple[np.ndarray, Numbers]:
        z, statics = self.codec.forward(values, state), self.codec.statics(state).array()
        return np.repeat(self.token_ids, len(z)), Numbers(len(self._head), z, statics)

    def _labels(self, ids: np.ndarray, window: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """None: what is asked of numbers is a likelihood."""
        return np.full_like(ids, IGNORED)

    def asking_from(self, window: np.ndarray, context_steps: int, first: int) -> Example | None:
        example, first = self.example(window, context_steps), max(1, first)
        assert example.numbers is not None
        if not np.isfinite(window[first:]).any():
            return None
        return replace(example, numbers=replace(example.numbers, asked_from=first))

    def scaled(self, values: np.ndarray, prompt: Prompt) -> np.ndarray:
        """The values in the units of z, float64."""
        return self.codec.forward(values, prompt.state).astype(np.float64)

    def prepare(
        self,
        contexts: Sequence[np.ndarray],
        keys: Sequence[str],
        draw: Draw,
        widen: bool = False,
    ) -> Request:
        request = super().prepare(contexts, keys, draw)
        made = hindcasts(contexts, keys) if widen else []
        if not made:
            return request
        short = replace(draw, horizon=HINDCAST_STEPS, samples=HINDCAST_SAMPLES)
        prompts = [self.prompt(h.context) for h in made]
        back = Request(prompts, [h.key for h in made], short)
        return replace(request, hindcasts=made, back=back)

    def plan(self, request: Request, shortest: bool = False) -> tuple[Work, ...]:  # noqa: ARG002
        return tuple(
            plan_numbers(part.lengths, part.draw.horizon, n_samples=part.draw.samples)
            for part in _parts(request)
        )

    def sample(
        self, model: Any, request: Request, progress: Callable[[int], None] | None = None
    ) -> tuple[SampledNumbers, ...]:
        return tuple(
            sample_numbers(
                model,
                part.prompts,
                part.draw.horizon,
                n_samples=part.draw.samples,
                seed=part.draw.seed,
                keys=part.keys,
                temperature=part.draw.temperature,
                progress=progress if part is request else None,
                limits=part.limits or None,
            )
            for part in _parts(request)
        )

    def read(
        self, request: Request, drawn: Sequence[SampledNumbers], spread: tuple[float, ...]
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        sampled, *looked_back = drawn
        factors = np.ones(len(request.prompts))
        if request.back is not None:
            pairs = zip(request.hindcasts, request.back.prompts, strict=True)
            truth = [self.scaled(made.truth, prompt) for made, prompt in pairs]
            known = looked_back[0].paths
            factors = context_factors(len(factors), request.hindcasts, known, truth, spread)
        values, met = [], []
        for z, held, prompt, limits, factor in zip(
            sampled.paths, sampled.held, request.prompts, request.limits, factors, strict=True
        ):
            inside, touched = hold(widened(z, _times(spread, factor)), limits)
            values.append(self._held(self.codec.inverse(inside, prompt.state), prompt))
            met.append(held | touched)
        return values, met


def _parts(request: Request) -> list[Request]:
    """The forecast, and the hindcasts that stand beside it."""
    return [request] if request.back is None else [request, request.back]


def _times(spread: tuple[float, ...], factor: float) -> tuple[float, ...]:
    """Factors of a spread, () for none, all times one more."""
    if factor == 1.0:
        return spread
    return tuple(factor * each for each in spread or (1.0,))
