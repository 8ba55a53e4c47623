"""`annotation`: one series as `[02, 01, 00, ...]`, its minimum 00 and its maximum 99.

The text of the published annotation examples: floor((x - min) / (max - min) * 99.9999), two digits.
It is made to be read, not to forecast: univariate, lossy (a value comes back as the centre of its
bin), and cut at 00 and 99 outside the range the state was fitted on.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

import numpy as np

from loracast.codec._base import Grammar, State
from loracast.codec._checks import as_context, as_symbols, as_values, require_state
from loracast.codec._text import DIGITS, MISSING, WrittenCodec
from loracast.codec._transform import HUGE, TINY
from loracast.errors import CodecError

__all__ = ["AnnotationCodec"]

_TOP = 99.9999  # of the published generator: the maximum falls into bin 99, not 100
_LEGAL = re.compile(
    r"(\[?)((?:(?:\d\d|\?\?), )*)((?:\d\d|\?\?)\]|\]|\d{0,2}|\?{0,2}|(?:\d\d|\?\?),)"
)
_EPS = float(np.finfo(np.float64).eps)


class AnnotationCodec(WrittenCodec):
    """Bins 00..99 of the context's range, in brackets.

    `encode` writes the whole list; `decode` reads a whole list or a part of one, and `grammar` is
    that of continuing an open list (`02, 01, `). A constant context is all 00.
    """

    name = "annotation"
    missing = True

    def __init__(self) -> None:
        self.alphabet = (*DIGITS, "[", "]", ",", " ", MISSING)

    def config(self) -> dict[str, object]:
        return {"name": self.name}

    def fit(self, context: np.ndarray) -> State:
        x = as_context(context, self.name)
        self._require_one(x.shape[1])
        low, high = float(np.nanmin(x)), float(np.nanmax(x))
        largest = max(abs(low), abs(high))
        scale = (largest or 1.0) / _TOP if high == low else high / _TOP - low / _TOP
        scale = min(max(scale, 16.0 * _EPS * largest, 4.0 * TINY), HUGE / 100.0)
        return State(self.name, (scale,), (low,))

    def limits(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        return self._centres(np.array([0.0]), state), self._centres(np.array([99.0]), state)

    def encode(self, values: np.ndarray, state: State) -> np.ndarray:
        require_state(state, self.name)
        x = as_values(values, self.name, 1)
        return self.symbols(f"[{', '.join(self._write(x, state))}]")

    def decode(self, symbols: np.ndarray, state: State) -> np.ndarray:
        require_state(state, self.name)
        text = self.text(as_symbols(symbols, self.name, len(self.alphabet)))
        match = _LEGAL.fullmatch(text)
        if match is None:
            raise CodecError(
                f"codec 'annotation': got {text[:40]!r}; "
                "expected two-digit numbers as in '[02, 01, 00]'"
            )
        tail = match[3] if len(match[3]) == 3 else ""  # '02]' and '02,' are complete
        cells = [cell[:2] for cell in match[2].split(", ")[:-1]] + ([tail[:2]] if tail else [])
        bins = np.array([np.nan if c == MISSING * 2 else float(c) for c in cells])
        return self._centres(bins, state)[:, None]

    def grammar(self, n_channels: int) -> Grammar:
        self._require_one(n_channels)
        return super().grammar(n_channels)

    def _centres(self, bins: np.ndarray, state: State) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.clip(state.offset[0] + (bins + 0.5) * state.scale[0], -HUGE, HUGE)

    def _write(self, x: np.ndarray, state: State) -> list[str]:
        with np.errstate(over="ignore"):
            shown = (0.5 * x[:, 0] - 0.5 * state.offset[0]) / (0.5 * state.scale[0])
        bins = np.clip(np.floor(np.nan_to_num(shown)), 0, 99).astype(int)
        holes = np.isnan(shown)
        return [MISSING * 2 if hole else f"{b:02d}" for b, hole in zip(bins, holes, strict=True)]

    def _read(self, text: str, state: State) -> np.ndarray:
        return self.decode(self.symbols(text), state)

    def _start(self) -> Hashable:
        return "tens"

    def _moves(
        self,
        state: Hashable,
        n_channels: int,  # noqa: ARG002
        missing: bool,  # noqa: ARG002
    ) -> dict[str, tuple[Hashable, bool]]:
        follow = {"tens": (DIGITS, "units"), "units": (DIGITS, "comma"), "comma": (",", "space")}
        if state == "space":
            return {" ": ("tens", True)}
        allowed, target = follow[str(state)]
        return dict.fromkeys(allowed, (target, False))

    def _require_one(self, n_channels: int) -> None:
        if n_channels != 1:
            raise CodecError(
                f"codec 'annotation': got {n_channels} channels; expected 1, "
                "give the channels one at a time"
            )
