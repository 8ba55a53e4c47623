"""The forecasting task: a context becomes a prompt, sampled tokens become a path of numbers.

Knows a codec and which token stands for each of its symbols; knows neither the model nor how it
is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loracast.codec import Codec, ContinuousCodec, Encoded, Grammar, State
from loracast.errors import CodecError, DataError
from loracast.training import IGNORED, Example, Numbers

__all__ = ["ForecastTask", "Prompt", "constant_values"]


@dataclass(frozen=True)
class Prompt:
    """An encoded context: token ids (L,), and the scaling state needed to read the answer.

    `numbers` are the values themselves where the codec shows numbers, else None; `constant` (C,)
    is the one value of a channel that never moved, NaN of the others.
    """

    ids: np.ndarray
    state: State
    n_channels: int
    numbers: Numbers | None = None
    constant: np.ndarray | None = None


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


class ForecastTask:
    """Windows in, prompts and training examples out; sampled tokens in, values out.

    Args:
        codec: how numbers become symbols.
        token_ids: (A,) the model's token id of each symbol of the codec's alphabet.
        bos: the model's token that starts a document, or None.
        positions: the longest sequence the model has positions for; None where it has no limit.
    """

    def __init__(
        self,
        codec: Codec,
        token_ids: Sequence[int],
        bos: int | None = None,
        positions: int | None = None,
    ) -> None:
        if len(token_ids) != len(codec.alphabet):
            raise CodecError(
                f"got {len(token_ids)} token ids for codec {codec.name!r}; "
                f"expected one for each of its {len(codec.alphabet)} symbols"
            )
        self.codec = codec
        self.token_ids = np.asarray(token_ids, dtype=np.int64)
        self.bos, self.positions = bos, positions
        self._symbol_of = {int(token): i for i, token in enumerate(self.token_ids)}

    @property
    def _head(self) -> np.ndarray:
        return np.array([] if self.bos is None else [self.bos], dtype=np.int64)

    def prompt(self, context: np.ndarray) -> Prompt:
        """Encode a context (T, C), scaled from itself alone.

        Raises:
            CodecError: a context the codec cannot scale (for example, nothing but NaN).
        """
        state = self.codec.fit(context)
        encoded = self.codec.encode(context, state)
        ids = np.concatenate([self._head, self.token_ids[encoded.symbols]])
        return Prompt(
            ids, state, context.shape[1], self._numbers(encoded), constant_values(context)
        )

    def _numbers(self, encoded: Encoded) -> Numbers | None:
        if encoded.values is None:
            return None
        assert isinstance(self.codec, ContinuousCodec)
        return Numbers(len(self._head), encoded.values, self.codec.statics(encoded.state))

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
        state = self.codec.fit(window[:context_steps])
        encoded = self.codec.encode(window, state)
        symbols = encoded.symbols
        ids = np.concatenate([self._head, self.token_ids[symbols]])
        if self.positions is not None and len(ids) > self.positions:
            raise DataError(
                f"got a training window of {len(window)} steps in {len(ids)} tokens; expected at "
                f"most {self.positions}, the model's positions: train on shorter windows (context "
                "and horizons of a recipe), or choose a codec with fewer tokens a step"
            )
        numbers = self._numbers(encoded)
        if numbers is not None:
            return Example(ids, np.full_like(ids, IGNORED), numbers)
        labels = ids.copy()
        if self.bos is not None:
            labels[0] = IGNORED
        if np.isnan(window).any():
            illegal = np.ones(len(self.codec.alphabet), dtype=bool)
            grammar = self.grammar(window.shape[1])
            illegal[(grammar.next_state >= 0).any(axis=0)] = False
            labels[len(self._head) :][illegal[symbols]] = IGNORED
        return Example(ids=ids, labels=labels)

    def grammar(self, n_channels: int) -> Grammar:
        """Which symbols may follow in a forecast of C channels."""
        return self.codec.grammar(n_channels)

    @property
    def continuous(self) -> bool:
        """Whether the model is shown numbers, and answers with distributions of numbers."""
        return isinstance(self.codec, ContinuousCodec)

    def values(self, paths: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Sampled normalised paths (..., H, C) -> values (..., H, C) in original units.

        A channel that never moved stays where it is: what a scaling makes of no spread at all,
        noise in proportion to the level, is no forecast.
        """
        assert isinstance(self.codec, ContinuousCodec)
        return _held(self.codec.decode_values(paths, prompt.state), prompt)

    def scaled(self, values: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Values (H, C) in the normalised units of a continuous prompt, float64."""
        shown = self.codec.encode(values, prompt.state).values
        assert shown is not None
        return shown.astype(np.float64)

    def parse(self, path: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Sampled model tokens (L,) -> values (H, C) in original units; constants as in `values`.

        Raises:
            CodecError: a token that stands for no symbol, or symbols out of grammar.
        """
        try:
            symbols = np.array([self._symbol_of[int(t)] for t in path], dtype=np.int64)
        except KeyError as error:
            raise CodecError(
                f"got token {error.args[0]} in a forecast; it stands for no symbol of codec "
                f"{self.codec.name!r}"
            ) from error
        return _held(self.codec.decode(symbols, prompt.state), prompt)


def _held(values: np.ndarray, prompt: Prompt) -> np.ndarray:
    """Values (..., H, C) with the constant channels at their value."""
    if prompt.constant is None or np.isnan(prompt.constant).all():
        return values
    return np.where(np.isnan(prompt.constant), values, prompt.constant)
