"""Forecasts as text: a context in digits, tokens sampled under the codec's grammar, read again.

Knows tokens and their grammar; a path is held in its limits once it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from loracast.codec import State, TextCodec
from loracast.decoding import Sampled, TokenAutomaton, Work, plan_work, sample_paths
from loracast.errors import CodecError
from loracast.forecasting._bounds import hold
from loracast.forecasting._task import ForecastTask, Prompt, Request
from loracast.series import Panel
from loracast.training import IGNORED, Example

__all__ = ["DigitTask"]

WINDOW_TOKENS, PROMPT_TOKENS = 560, 440  # as the embedded base was pretrained on, less a horizon
_SERIES_COUNTED = 64  # that are looked at for the tokens of a step


class DigitTask(ForecastTask[Sampled]):
    """Numbers as digits."""

    widens = False
    codec: TextCodec

    def longest_step(self, n_channels: int) -> int:
        return self.codec.grammar(n_channels).max_symbols_per_step

    def _shown(self, values: np.ndarray, state: State) -> tuple[np.ndarray, None]:
        return self.token_ids[self.codec.encode(values, state)], None

    def _labels(self, ids: np.ndarray, window: np.ndarray) -> np.ndarray:
        labels = ids.copy()
        labels[: len(self._head)] = IGNORED
        if np.isnan(window).any():
            legal = (self.codec.grammar(window.shape[1]).next_state >= 0).any(axis=0)
            labels[np.isin(ids, self.token_ids[~legal])] = IGNORED
        return labels

    def asking_from(self, window: np.ndarray, context_steps: int, first: int) -> Example | None:
        example = self.example(window, context_steps)
        labels = example.labels.copy()
        if first > 0:
            state = self.codec.fit(window[:context_steps])
            whole, known = (len(self.codec.encode(v, state)) for v in (window, window[:first]))
            labels[: len(labels) - (whole - known)] = IGNORED
        return replace(example, labels=labels) if (labels != IGNORED).any() else None

    def window_steps(self, panel: Panel) -> int:
        """As many steps as fit 560 tokens, counted in the text of these very series."""
        width = max(
            (self._step_tokens(v).mean() for v in panel.values[:_SERIES_COUNTED] if _scalable(v)),
            default=float(self.longest_step(panel.n_channels)),
        )
        return max(2, int((WINDOW_TOKENS - 1) / width))

    def default_context(self, values: np.ndarray, made_for: int = 0) -> int:
        """As many steps as 440 tokens hold, counted in this history's own text."""
        tail = values[-PROMPT_TOKENS:]
        if _scalable(tail):
            fitting = int((np.cumsum(self._step_tokens(tail)[::-1]) <= PROMPT_TOKENS).sum())
        else:
            fitting = PROMPT_TOKENS // self.longest_step(values.shape[1])
        return min(len(values), max(2, fitting, made_for))

    def _step_tokens(self, values: np.ndarray) -> np.ndarray:
        """(T,) tokens of each step of a series, scaled from itself."""
        state = self.codec.fit(values)
        return np.array(
            [len(self.codec.encode(values[t : t + 1], state)) for t in range(len(values))]
        )

    def scaled(self, values: np.ndarray, prompt: Prompt) -> np.ndarray:  # noqa: ARG002
        """The values: digits are held once they are read."""
        return values

    def _automata(self, request: Request, shortest: bool = False) -> list[TokenAutomaton]:
        made: dict[int, TokenAutomaton] = {}
        for prompt in request.prompts:
            if prompt.n_channels not in made:
                grammar = self.codec.grammar(prompt.n_channels)
                made[prompt.n_channels] = TokenAutomaton.from_grammar(
                    grammar.shortest() if shortest else grammar, self.token_ids, self.vocab_size
                )
        return [made[prompt.n_channels] for prompt in request.prompts]

    def plan(self, request: Request, shortest: bool = False) -> tuple[Work, ...]:
        automata, draw = self._automata(request, shortest), request.draw
        return (plan_work(request.lengths, automata, draw.horizon, n_samples=draw.samples),)

    def sample(
        self, model: Any, request: Request, progress: Callable[[int], None] | None = None
    ) -> tuple[Sampled, ...]:
        draw = request.draw
        sampled = sample_paths(
            model,
            [prompt.ids for prompt in request.prompts],
            self._automata(request),
            draw.horizon,
            n_samples=draw.samples,
            seed=draw.seed,
            keys=request.keys,
            temperature=draw.temperature,
            progress=progress,
        )
        return (sampled,)

    def read(
        self,
        request: Request,
        drawn: Sequence[Sampled],
        spread: tuple[float, ...],  # noqa: ARG002
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        values, met = [], []
        for paths, prompt, limits in zip(
            drawn[0].paths, request.prompts, request.limits, strict=True
        ):
            inside, touched = hold(np.stack([self.parse(p, prompt) for p in paths]), limits)
            values.append(inside)
            met.append(touched)
        return values, met

    def parse(self, path: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Sampled model tokens (L,) -> values (H, C) in original units, constants as they were.

        Raises:
            CodecError: a token that stands for no symbol, or symbols out of grammar.
        """
        symbol_of = {int(token): i for i, token in enumerate(self.token_ids)}
        try:
            symbols = np.array([symbol_of[int(t)] for t in path], dtype=np.int64)
        except KeyError as error:
            raise CodecError(
                f"got token {error.args[0]} in a forecast; it stands for no symbol of codec "
                f"{self.codec.name!r}"
            ) from error
        return self._held(self.codec.decode(symbols, prompt.state), prompt)


def _scalable(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).any(axis=0).all())
