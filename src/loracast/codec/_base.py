"""What every codec offers: an explicit state, and for text codecs symbols of numbers and back.

A symbol is one character; its id is its place in the codec's `alphabet`. Which token of which
model stands for a symbol is not known here. The scaling state is fitted on the context alone and
travels with the series, so nothing is global and nothing is implied.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from loracast.errors import CodecError

__all__ = ["Codec", "Grammar", "State", "TextCodec"]


@dataclass(frozen=True)
class State:
    """How one series was scaled: C scales and offsets, and whatever the codec adds.

    value = offset + scale * (the number that is shown), per channel; codecs that bend the axis
    say how. Plain numbers, so that it serialises to JSON and back without loss.
    """

    codec: str
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    extra: tuple[tuple[str, float], ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The state as JSON types."""
        return {
            "codec": self.codec,
            "scale": list(self.scale),
            "offset": list(self.offset),
            "extra": dict(self.extra),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> State:
        """The state that `to_dict` wrote.

        Raises:
            CodecError: a key that is missing, or a value that is not a number.
        """
        try:
            scale, offset, extra = data["scale"], data["offset"], data.get("extra", {})
            if not isinstance(extra, Mapping):
                raise TypeError("extra must be a mapping")
            return cls(
                codec=str(data["codec"]),
                scale=tuple(float(v) for v in scale),  # type: ignore[attr-defined]
                offset=tuple(float(v) for v in offset),  # type: ignore[attr-defined]
                extra=tuple((str(k), float(v)) for k, v in extra.items()),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CodecError(
                f"got a codec state that cannot be read ({error!r}); expected the keys codec, "
                "scale, offset and extra, as State.to_dict() writes them"
            ) from error


@dataclass(frozen=True)
class Grammar:
    """A deterministic automaton over symbols: which may follow, and when a time step is complete.

    Args:
        next_state: (Q, A) int16; the state after reading a symbol, -1 where it may not follow.
        ends_step: (Q, A) bool; reading this symbol in this state completes one time step.
        start: the state before the first symbol of a step; every completed step leads to a state
            that is equivalent to it.
        max_symbols_per_step: the longest legal time step, in symbols.
    """

    next_state: np.ndarray
    ends_step: np.ndarray
    start: int
    max_symbols_per_step: int

    def shortest(self) -> Grammar:
        """What is left with the shortest ways through a time step, where widths vary."""
        legal = self.next_state >= 0
        distance = np.full(len(legal), np.inf)
        for _ in range(len(legal)):
            beyond = np.where(self.ends_step, 0.0, distance[self.next_state])
            distance = np.where(legal, 1 + beyond, np.inf).min(axis=1)
        beyond = np.where(self.ends_step, 0.0, distance[self.next_state])
        kept = legal & (1 + beyond == distance[:, None])
        # States off the shortest way are reached no more; only the way from the start counts.
        return Grammar(
            np.where(kept, self.next_state, -1).astype(self.next_state.dtype),
            self.ends_step & kept,
            self.start,
            int(distance[self.start]),
        )


class Codec(ABC):
    """Scales a series from its context; how it is then shown is the kind's own.

    `alphabet` are the texts that it puts into a sequence: the symbols of a text codec, or what
    holds the place of a number.
    """

    name: str
    alphabet: tuple[str, ...]

    @abstractmethod
    def fit(self, context: np.ndarray) -> State:
        """The scaling state of one series, from its context (T, C) alone; NaN is ignored."""

    @abstractmethod
    def config(self) -> dict[str, object]:
        """What `make_codec(**config)` needs to build this codec again."""

    def shows_logs(self, state: State) -> bool:  # noqa: ARG002
        """Whether values under this state are shown as logarithms."""
        return False

    def scaled_for(self, values: Sequence[np.ndarray]) -> Codec:  # noqa: ARG002
        """This codec with whatever it needs from the training values, each (T, C).

        Only codecs with a global scale need it (`mao`); the others return themselves.
        """
        return self


class TextCodec(Codec):
    """Turns values (T, C) into symbols and back."""

    @abstractmethod
    def encode(self, values: np.ndarray, state: State) -> np.ndarray:
        """Symbol ids (L,) int64 of values (T, C) under a state; every step ends complete."""

    @abstractmethod
    def decode(self, symbols: np.ndarray, state: State) -> np.ndarray:
        """Values (T, C) of the complete steps in symbols (L,).

        Raises:
            CodecError: symbols that the grammar does not allow.
        """

    @abstractmethod
    def grammar(self, n_channels: int) -> Grammar:
        """The legal continuations of a forecast with C channels (no missing values)."""

    @abstractmethod
    def limits(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest value (C,), (C,) that can be written."""

    def text(self, symbols: np.ndarray) -> str:
        """The symbols as one string."""
        return "".join(self.alphabet[int(i)] for i in symbols)

    def symbols(self, text: str) -> np.ndarray:
        """The string as symbol ids (L,) int64.

        Raises:
            CodecError: a character outside the alphabet.
        """
        index = {symbol: i for i, symbol in enumerate(self.alphabet)}
        unknown = sorted(set(text) - set(index))
        if unknown:
            raise CodecError(
                f"got the characters {unknown} in a text for codec {self.name!r}; "
                f"expected only {''.join(self.alphabet)!r}"
            )
        return np.array([index[c] for c in text], dtype=np.int64)
