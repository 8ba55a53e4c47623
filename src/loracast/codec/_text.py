"""What codecs that write numbers of varying length share: checked text to symbols and back.

A codec of this kind writes one string per time step and reads it again; the automaton judges
legality in both directions. Knows no scaling.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable

import numpy as np

from loracast.codec._automaton import build_grammar, walk
from loracast.codec._base import Grammar, State, TextCodec
from loracast.codec._checks import as_symbols, as_values, require_state
from loracast.errors import CodecError

__all__ = ["DIGITS", "MISSING", "WrittenCodec"]

DIGITS = "0123456789"
MISSING = "?"  # one character, and one token (30) of Qwen2.5


class WrittenCodec(TextCodec):
    """A codec whose time steps are strings over its alphabet, delimited by the last character."""

    missing: bool = False

    @abstractmethod
    def _moves(
        self, state: Hashable, n_channels: int, missing: bool
    ) -> dict[str, tuple[Hashable, bool]]:
        """Which characters may follow in a state; `missing` allows the missing symbol."""

    @abstractmethod
    def _start(self) -> Hashable:
        """The state before a step."""

    @abstractmethod
    def _write(self, x: np.ndarray, state: State) -> list[str]:
        """One string per step of x (T, C), checked and with NaN only if `missing`."""

    @abstractmethod
    def _read(self, text: str, state: State) -> np.ndarray:
        """Values (T, C) of a text of whole, legal steps."""

    def encode(self, values: np.ndarray, state: State) -> np.ndarray:
        require_state(state, self.name)
        x = as_values(values, self.name, len(state.scale))
        self._check_missing(x)
        return self.symbols("".join(self._write(x, state)))

    def decode(self, symbols: np.ndarray, state: State) -> np.ndarray:
        require_state(state, self.name)
        ids = as_symbols(symbols, self.name, len(self.alphabet))
        n_channels = len(state.scale)
        illegal, whole = walk(self._tables(n_channels, self.missing), ids)
        if illegal >= 0:
            before = self.text(ids[max(0, illegal - 12) : illegal])
            raise CodecError(
                f"codec {self.name!r}: got {self.alphabet[ids[illegal]]!r} at symbol {illegal}, "
                f"after {before!r}; expected numbers of {n_channels} channel(s) as encode() writes"
            )
        if whole == 0:
            return np.empty((0, n_channels))
        return self._read(self.text(ids[:whole]), state)

    def symbols(self, text: str) -> np.ndarray:
        codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        table = np.full(128, -1, dtype=np.int64)
        table[[ord(c) for c in self.alphabet]] = np.arange(len(self.alphabet))
        ids = np.where(codes < 128, table[np.minimum(codes, 127)], -1)
        return ids if (ids >= 0).all() else super().symbols(text)

    def grammar(self, n_channels: int) -> Grammar:
        if n_channels < 1:
            raise CodecError(f"codec {self.name!r}: got {n_channels} channels; expected at least 1")
        return self._tables(n_channels, False)

    def _tables(self, n_channels: int, missing: bool) -> Grammar:
        cache: dict[tuple[int, bool], Grammar] = self.__dict__.setdefault("_cache", {})
        key = (n_channels, missing)
        if key not in cache:
            cache[key] = build_grammar(
                self.alphabet, self._start(), lambda s: self._moves(s, n_channels, missing)
            )
        return cache[key]

    def _check_missing(self, x: np.ndarray) -> None:
        if not self.missing and np.isnan(x).any():
            step, channel = (int(i) for i in np.argwhere(np.isnan(x))[0])
            raise CodecError(
                f"codec {self.name!r}: got a missing value at step {step}, channel {channel}; "
                "expected none, use the option missing=True or codec 'compact'"
            )
