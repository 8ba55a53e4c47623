"""`llmtime`: the text of Gruver, Finzi, Qiu and Wilson, 'LLMs are zero-shot forecasters' (2023).

Scaling as their section 3 has it: x' = (x - b) / a with b = min - beta * (max - min) and a the
alpha-quantile of x - b, from the context. Text as their default settings for byte-wise tokenisers:
the digits of trunc(|x'| * 10^precision) without leading zeros, each behind a space, steps closed
by ' ,', e.g. ' 1 2 3 , 1 5 0 0 ,' for 0.123 and 1.5; half of the last digit is added on the way
back. Ours in addition: several channels in one step, separated by ' ;'; a missing value is ' ?'
where theirs is ' Nan'; a constant context, where a would be 0, takes |value| (or 1) for it.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from loracast.codec._base import State
from loracast.codec._checks import as_context
from loracast.codec._text import DIGITS, MISSING, WrittenCodec
from loracast.codec._transform import HUGE, TINY
from loracast.errors import CodecError

__all__ = ["LLMTimeCodec"]

_EPS = float(np.finfo(np.float64).eps)


class LLMTimeCodec(WrittenCodec):
    """Digits separated by spaces, truncated, with a sign where needed.

    Args:
        alpha: quantile of the shifted context that is shown as 1.
        beta: how far below the minimum the origin lies, in context ranges.
        precision: digits after the point that is not written.
        signed: '-' belongs to the alphabet (a forecast may fall below the origin).
        missing: '?' belongs to the alphabet, and NaN is allowed in contexts.
        integer_digits: the most digits before the point; 7, as their max_val = 1e7.

    Raises:
        CodecError: an option outside what it can be.
    """

    name = "llmtime"

    def __init__(
        self,
        alpha: float = 0.95,
        beta: float = 0.3,
        precision: int = 3,
        signed: bool = True,
        missing: bool = True,
        integer_digits: int = 7,
    ) -> None:
        if not 0.0 < alpha <= 1.0 or not 0.0 <= beta <= 10.0:
            raise CodecError(
                f"codec 'llmtime': got alpha={alpha!r}, beta={beta!r}; "
                "expected alpha in (0, 1] and beta in [0, 10]"
            )
        if not 1 <= precision <= 6 or not 1 <= integer_digits <= 9:
            raise CodecError(
                f"codec 'llmtime': got precision={precision}, integer_digits={integer_digits}; "
                "expected precision 1 to 6 and integer_digits 1 to 9"
            )
        self.alpha = float(alpha)
        self.beta = float(beta)
        self.precision = int(precision)
        self.signed = bool(signed)
        self.missing = bool(missing)
        self.integer_digits = int(integer_digits)
        self.alphabet = (
            *DIGITS,
            " ",
            ",",
            ";",
            *("-" if self.signed else ""),
            *(MISSING if self.missing else ""),
        )

    def config(self) -> dict[str, object]:
        return {
            "name": self.name,
            "alpha": self.alpha,
            "beta": self.beta,
            "precision": self.precision,
            "signed": self.signed,
            "missing": self.missing,
            "integer_digits": self.integer_digits,
        }

    def fit(self, context: np.ndarray) -> State:
        x = as_context(context, self.name)
        self._check_missing(x)
        largest = np.nanmax(np.abs(x), axis=0)
        unit = np.where(largest > 0.0, largest, 1.0)
        y = x / unit  # in [-1, 1], so that ranges of 1e308 do not overflow
        low, high = np.nanmin(y, axis=0), np.nanmax(y, axis=0)
        offset = low - self.beta * (high - low)
        level = np.nanquantile(y - offset, self.alpha, axis=0)
        level = np.where(high > low, level, np.where(largest > 0.0, np.abs(low), 1.0))
        # Finer than this, neighbouring digits would be the same float64.
        level = np.maximum(level, 32.0 * _EPS * 10.0**self.precision)
        with np.errstate(over="ignore"):
            scale = np.clip(level * unit, 4.0 * TINY, HUGE)
            origin = np.clip(offset * unit, -HUGE, HUGE)
        return State(self.name, tuple(map(float, scale)), tuple(map(float, origin)))

    def limits(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        top = 10**self.integer_digits - 0.5 * 10.0**-self.precision
        low = np.full(len(state.scale), -top if self.signed else 0.0)
        return self._unscale(low, state), self._unscale(np.full(low.shape, top), state)

    def _unscale(self, shown: np.ndarray, state: State) -> np.ndarray:
        with np.errstate(over="ignore"):
            x = np.array(state.offset) + shown * np.array(state.scale)
        return np.clip(x, -HUGE, HUGE)

    def _write(self, x: np.ndarray, state: State) -> list[str]:
        scale, offset = np.array(state.scale), np.array(state.offset)
        with np.errstate(over="ignore"):
            shown = (0.5 * x - 0.5 * offset) / (0.5 * scale)
        self._check_range(x, shown)
        codes = np.trunc(np.abs(np.nan_to_num(shown)) * 10.0**self.precision).astype(np.int64)
        minus, holes = (shown < 0.0).tolist(), np.isnan(x).tolist()
        steps = []
        for t, row in enumerate(codes.tolist()):
            parts = []
            for c, code in enumerate(row):
                number = ("-" if minus[t][c] else "") + str(code)
                parts.append("".join(f" {s}" for s in (MISSING if holes[t][c] else number)))
            steps.append(" ;".join(parts) + " ,")
        return steps

    def _read(self, text: str, state: State) -> np.ndarray:
        cells = [step.split(";") for step in text.replace(" ", "")[:-1].split(",")]
        shown = np.array([[self._number(cell) for cell in row] for row in cells])
        return self._unscale(shown, state)

    def _number(self, cell: str) -> float:
        if cell == MISSING:
            return float("nan")
        size = (int(cell.lstrip("-")) + 0.5) / 10.0**self.precision
        return -size if cell[0] == "-" else size

    def _check_range(self, x: np.ndarray, shown: np.ndarray) -> None:
        low = -(10.0**self.integer_digits) if self.signed else -0.5 * 10.0**-self.precision
        wrong = (shown >= 10.0**self.integer_digits) | (shown <= low)
        if wrong.any():
            step, channel = (int(i) for i in np.argwhere(wrong)[0])
            raise CodecError(
                f"codec 'llmtime': got {x[step, channel]:g} at step {step}, channel {channel}, "
                f"shown as {shown[step, channel]:g}; expected {low:g} to 1e{self.integer_digits}, "
                "use signed=True or codec 'compact'"
            )

    def _start(self) -> Hashable:
        return ("value", 0)

    def _moves(
        self, state: Hashable, n_channels: int, missing: bool
    ) -> dict[str, tuple[Hashable, bool]]:
        # States: ("value", c) before a number; ("first", c, negative) behind its space;
        # ("minus", c) behind the sign; ("digit", c, n) behind n digits and ("gap", c, n) behind
        # the space that follows them, n = -1 where no further digit may come.
        assert isinstance(state, tuple)
        kind, c = state[0], state[1]
        most = self.integer_digits + self.precision
        if kind == "value":
            return {" ": (("first", c, False), False)}
        if kind == "minus":
            return {" ": (("first", c, True), False)}
        if kind == "first":
            moves: dict[str, tuple[Hashable, bool]] = {"0": (("digit", c, -1), False)}
            moves |= dict.fromkeys(DIGITS[1:], (("digit", c, 1), False))
            if self.signed and not state[2]:
                moves["-"] = (("minus", c), False)
            if missing and not state[2]:
                moves[MISSING] = (("digit", c, -1), False)
            return moves
        n = state[2]
        if kind == "digit":
            return {" ": (("gap", c, n if n < most else -1), False)}
        moves = {} if n < 0 else dict.fromkeys(DIGITS, (("digit", c, n + 1), False))
        if c + 1 < n_channels:
            return moves | {";": (("value", c + 1), False)}
        return moves | {",": (("value", 0), True)}
