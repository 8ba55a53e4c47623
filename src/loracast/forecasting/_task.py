"""The forecasting task: the one way in which numbers go to a model and come back from it.

    windows  --example--> training sequences
    contexts --prepare--> Request --plan--> work, at most
                             |----sample (model)--> paths as drawn --read--> values, held in limits

Shown as digits (`_digits`) or as numbers (`_continuous`); which of the two, `_shown` chooses.
Knows a codec and which token stands for each of its symbols; not how a model is trained, and
nothing of ledgers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from loracast.backbone import Numbers
from loracast.codec import Codec, State
from loracast.decoding import Work
from loracast.errors import CodecError, DataError
from loracast.forecasting._bounds import path_limits
from loracast.forecasting._hindcast import Hindcast
from loracast.series import Panel
from loracast.training import Example

__all__ = ["Draw", "ForecastTask", "Prompt", "Request", "constant_values"]

Drawn = TypeVar("Drawn", bound=Work)


@dataclass(frozen=True)
class Prompt:
    """An encoded context: token ids (L,), and the scaling state needed to read the answer.

    `numbers` are the values themselves where the codec shows numbers, else None; `constant` (C,)
    is the one value of a channel that never moved, NaN of the others.
    """

    ids: np.ndarray
    numbers: Numbers | None
    state: State
    n_steps: int
    constant: np.ndarray

    @property
    def n_channels(self) -> int:
        """C."""
        return len(self.state.scale)


@dataclass(frozen=True)
class Draw:
    """How paths are drawn: H steps, S a series, under a seed, at a temperature."""

    horizon: int
    samples: int
    seed: int = 0
    temperature: float = 1.0


@dataclass(frozen=True)
class Request:
    """A forecast as it is asked of a model.

    Args:
        prompts: N encoded contexts.
        keys: N names; the paths of a series depend on (seed, key, sample) alone.
        draw: how many paths, and how they are drawn.
        limits: N arrays (2, C) that paths are held in, as `ForecastTask.scaled` has them.
        hindcasts: forecasts of what is known already, of any of the series.
        back: how those are asked, None without any.
    """

    prompts: Sequence[Prompt]
    keys: Sequence[str]
    draw: Draw
    limits: Sequence[np.ndarray] = ()
    hindcasts: Sequence[Hindcast] = ()
    back: Request | None = None

    @property
    def lengths(self) -> list[int]:
        """Positions of each prompt."""
        return [len(prompt.ids) for prompt in self.prompts]


def constant_values(context: np.ndarray) -> np.ndarray:
    """The one value that each channel has at all its known steps, two at least.

    Args:
        context: (T, C), NaN where missing.

    Returns:
        (C,), NaN for a channel that moves or has fewer than two known steps.
    """
    out = np.full(context.shape[1], np.nan)
    for channel, values in enumerate(context.T):
        known = values[np.isfinite(values)]
        if len(known) >= 2 and (known == known[0]).all():
            out[channel] = known[0]
    return out


class ForecastTask(ABC, Generic[Drawn]):
    """Windows in, training examples out; contexts in, requests out; sampled paths in, values out.

    `widens` says whether the bands of its samples can be drawn apart.

    Args:
        codec: how numbers are shown.
        token_ids: (A,) the model's token id of each symbol of the codec's alphabet.
        bos: the model's token that starts a document, or None.
        positions: the longest sequence the model has positions for; None where it has no limit.
        vocab_size: rows of the model; None for no more than the symbols need.
    """

    widens: ClassVar[bool]

    def __init__(
        self,
        codec: Codec,
        token_ids: Sequence[int],
        bos: int | None = None,
        positions: int | None = None,
        vocab_size: int | None = None,
    ) -> None:
        if len(token_ids) != len(codec.alphabet):
            raise CodecError(
                f"got {len(token_ids)} token ids for codec {codec.name!r}; "
                f"expected one for each of its {len(codec.alphabet)} symbols"
            )
        self.codec = codec
        self.token_ids = np.asarray(token_ids, dtype=np.int64)
        self.positions, self.vocab_size = positions, vocab_size
        self._head = np.array([] if bos is None else [bos], dtype=np.int64)

    @abstractmethod
    def _shown(self, values: np.ndarray, state: State) -> tuple[np.ndarray, Numbers | None]:
        """Token ids (L,) of values (T, C) behind the head, and the numbers that stand there."""

    @abstractmethod
    def _labels(self, ids: np.ndarray, window: np.ndarray) -> np.ndarray:
        """(L,) what is to be learnt of a window (T, C) in ids (L,), head included."""

    @abstractmethod
    def longest_step(self, n_channels: int) -> int:
        """Tokens of a forecast step of C channels, at most."""

    @abstractmethod
    def window_steps(self, panel: Panel) -> int:
        """Steps of a training window where nobody asked for a number, at least 2."""

    @abstractmethod
    def default_context(self, values: np.ndarray, made_for: int = 0) -> int:
        """How many of the last steps of a history (T, C) are shown where nobody asked for a number.

        Args:
            values: the history.
            made_for: steps of context that an adapter was made for, which are the fewest.
        """

    @abstractmethod
    def asking_from(self, window: np.ndarray, context_steps: int, first: int) -> Example | None:
        """As `example`, the loss over the steps from `first` on; None where it asks for nothing."""

    def prompt(self, context: np.ndarray) -> Prompt:
        """Encode a context (T, C), scaled from itself alone.

        Raises:
            CodecError: a context the codec cannot scale (for example, nothing but NaN).
        """
        state = self.codec.fit(context)
        ids, numbers = self._shown(context, state)
        ids = np.concatenate([self._head, ids])
        return Prompt(ids, numbers, state, len(context), constant_values(context))

    def example(self, window: np.ndarray, context_steps: int) -> Example:
        """A training sequence: a window (T, C), scaled from its first `context_steps` steps.

        The loss runs over the whole window, context and horizon alike, as in the published
        studies; missing values are shown but never to be predicted.

        Raises:
            DataError: a split outside the window, or a window longer than the model's positions.
            CodecError: a context the codec cannot scale.
        """
        if not 1 <= context_steps <= len(window):
            raise DataError(
                f"got a context of {context_steps} steps in a window of {len(window)}; "
                f"expected 1 to {len(window)}"
            )
        ids, numbers = self._shown(window, self.codec.fit(window[:context_steps]))
        ids = np.concatenate([self._head, ids])
        if self.positions is not None and len(ids) > self.positions:
            raise DataError(
                f"got a training window of {len(window)} steps in {len(ids)} tokens; expected at "
                f"most {self.positions}, the model's positions: train on shorter windows (context "
                "and horizons of a recipe), or choose a codec with fewer tokens a step"
            )
        return Example(ids, self._labels(ids, window), numbers)

    @abstractmethod
    def scaled(self, values: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Values (H, C) in the units that paths are held in: digits are once they are read."""

    def prepare(
        self,
        contexts: Sequence[np.ndarray],
        keys: Sequence[str],
        draw: Draw,
        widen: bool = False,  # noqa: ARG002
    ) -> Request:
        """All that decoding needs to know of N contexts.

        Args:
            contexts: N arrays (T_n, C_n), NaN where a value is missing.
            keys: N names.
            draw: how many paths, and how they are drawn.
            widen: hindcast the contexts' own last steps too, of a task that `widens`.

        Raises:
            CodecError: a context the codec cannot scale.
        """
        prompts = [self.prompt(context) for context in contexts]
        limits = [self._limits(c, p, draw.horizon) for c, p in zip(contexts, prompts, strict=True)]
        return Request(prompts, keys, draw, limits)

    def _limits(self, context: np.ndarray, prompt: Prompt, horizon: int) -> np.ndarray:
        """(2, C); none for a constant channel, which stays as it is whatever is sampled for it."""
        logs = self.codec.shows_logs(prompt.state)
        limits = self.scaled(path_limits(context, horizon, logs=logs), prompt)
        limits[:, np.isfinite(prompt.constant)] = np.array([[-np.inf], [np.inf]])
        return limits

    @abstractmethod
    def plan(self, request: Request, shortest: bool = False) -> tuple[Work, ...]:
        """What decoding a request will take at most; of the hindcasts apart.

        Args:
            request: of `prepare`.
            shortest: what it takes at least, where the tokens of a step vary.
        """

    @abstractmethod
    def sample(
        self, model: Any, request: Request, progress: Callable[[int], None] | None = None
    ) -> tuple[Drawn, ...]:
        """Sample a request's paths with a model; each part is also the work that it took.

        Args:
            model: a causal LM in evaluation mode.
            request: of `prepare`.
            progress: called with the number of steps just completed, N x S x H in all.
        """

    @abstractmethod
    def read(
        self, request: Request, drawn: Sequence[Drawn], spread: tuple[float, ...]
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """What was sampled as numbers.

        Args:
            request: of `prepare`.
            drawn: of `sample`.
            spread: calibrated factors by which bands are drawn apart, () for none.

        Returns:
            [N] values (S, H, C) in original units, and [N] (S,) whether a path met a limit.
        """

    def _held(self, values: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Values (..., H, C) with the channels that never moved where they are.

        What a scaling makes of no spread at all, noise in proportion to the level, is no forecast.
        """
        if np.isnan(prompt.constant).all():
            return values
        return np.where(np.isnan(prompt.constant), values, prompt.constant)
