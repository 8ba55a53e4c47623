"""`mao`, `fung` and `miller`: scaled decimals, one time step as `1.23,1.27;`.

The three published studies of the same predator-prey data; they differ in the scale and in the
decimals. Ours in addition: a sign ('-') and a missing value ('?') as options (the originals have
neither), a terminator after the last step too, and numbers past the nominal 10 keep all their
integer digits, up to `integer_digits` of them, so nothing bends down at 10.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence

import numpy as np

from loracast.codec._base import State
from loracast.codec._checks import as_context, as_values
from loracast.codec._text import DIGITS, MISSING, WrittenCodec
from loracast.codec._transform import HUGE, TINY
from loracast.errors import CodecError

__all__ = ["FungCodec", "MaoCodec", "MillerCodec"]

_NOMINAL = 10.0  # what the chosen scale maps to 10


class DecimalCodec(WrittenCodec):
    """Decimals of value / scale, rounded to nearest, with or without the point.

    Args:
        decimals: digits after the point.
        signed: '-' belongs to the alphabet, and negative values are allowed.
        missing: '?' belongs to the alphabet, and NaN is allowed in contexts.
        integer_digits: the most digits before the point; larger values are refused.

    Raises:
        CodecError: an option outside what it can be.
    """

    point = "."
    trailing_zeros = True  # every number has all its decimals; only `fung` knows the other form

    def __init__(self, decimals: int, signed: bool, missing: bool, integer_digits: int) -> None:
        if not 1 <= decimals <= 6 or not 1 <= integer_digits <= 9:
            raise CodecError(
                f"codec {self.name!r}: got decimals={decimals}, integer_digits={integer_digits}; "
                "expected decimals 1 to 6 and integer_digits 1 to 9"
            )
        self.decimals = int(decimals)
        self.signed = bool(signed)
        self.missing = bool(missing)
        self.integer_digits = int(integer_digits)
        self.alphabet = (
            *DIGITS,
            ",",
            *self.point,
            ";",
            *("-" if self.signed else ""),
            *(MISSING if self.missing else ""),
        )

    @abstractmethod
    def _fit_scale(self, x: np.ndarray) -> np.ndarray:
        """What one shown unit is worth, per channel (C,), from a context (T, C)."""

    def fit(self, context: np.ndarray) -> State:
        x = as_context(context, self.name)
        self._check_missing(x)
        scale = np.clip(self._fit_scale(x), 4.0 * TINY, HUGE)
        return State(self.name, tuple(map(float, scale)), (0.0,) * x.shape[1])

    def config(self) -> dict[str, object]:
        return {
            "name": self.name,
            "decimals": self.decimals,
            "signed": self.signed,
            "missing": self.missing,
            "integer_digits": self.integer_digits,
        }

    def limits(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        top = 10.0**self.integer_digits - 10.0**-self.decimals
        with np.errstate(over="ignore"):
            high = np.minimum(top * np.array(state.scale), HUGE)
        return (-high if self.signed else np.zeros_like(high)), high

    def _write(self, x: np.ndarray, state: State) -> list[str]:
        with np.errstate(over="ignore"):
            shown = x / np.array(state.scale)
        self._check_range(x, shown)
        codes = np.rint(np.nan_to_num(shown) * 10.0**self.decimals).astype(np.int64)
        missing = np.isnan(x).tolist()
        width, cut = self.decimals + 1, -self.decimals
        steps = []
        for row, holes in zip(codes.tolist(), missing, strict=True):
            parts = []
            for code, hole in zip(row, holes, strict=True):
                digits = f"{abs(code):0{width}d}"
                tail = digits[cut:] if self.trailing_zeros else digits[cut:].rstrip("0") or "0"
                number = f"{'-' * (code < 0)}{digits[:cut]}{self.point}{tail}"
                parts.append(MISSING if hole else number)
            steps.append(",".join(parts) + ";")
        return steps

    def _read(self, text: str, state: State) -> np.ndarray:
        cells = [step.split(",") for step in text[:-1].split(";")]
        codes = np.array([[self._code(cell) for cell in row] for row in cells])
        with np.errstate(over="ignore"):
            return np.clip(codes / 10.0**self.decimals * np.array(state.scale), -HUGE, HUGE)

    def _code(self, cell: str) -> float:
        if cell == MISSING:
            return float("nan")
        if not self.point:
            return float(int(cell))
        whole, _, tail = cell.partition(self.point)
        return float(int(whole + tail.ljust(self.decimals, "0")))

    def _check_range(self, x: np.ndarray, shown: np.ndarray) -> None:
        half_step = 0.5 * 10.0**-self.decimals
        if not self.signed and (shown < -half_step).any():
            step, channel = (int(i) for i in np.argwhere(shown < -half_step)[0])
            raise CodecError(
                f"codec {self.name!r}: got {x[step, channel]:g} at step {step}, channel {channel}; "
                "expected no negative values, use the option signed=True or codec 'compact'"
            )
        over = np.abs(shown) >= 10.0**self.integer_digits - half_step
        if over.any():
            step, channel = (int(i) for i in np.argwhere(over)[0])
            raise CodecError(
                f"codec {self.name!r}: got {x[step, channel]:g} at step {step}, channel {channel}, "
                f"shown as {shown[step, channel]:g}; expected at most {self.integer_digits} digits "
                "before the point, use codec 'compact'"
            )

    def _start(self) -> Hashable:
        return ("value", 0)

    def _moves(
        self, state: Hashable, n_channels: int, missing: bool
    ) -> dict[str, tuple[Hashable, bool]]:
        # States: ("value", c) before a number; ("first", c) after its sign; ("int", c, n) after n
        # integer digits; ("point", c, z) and ("dec", c, k, z) around the decimals, where z means
        # 'negative and zero so far', as "-0.00" is not a number that encode() writes;
        # ("may_end", c, k, z) behind a decimal that a number without trailing zeros may end with;
        # ("run", c, n) in a number without point; ("after", c) behind a number.
        assert isinstance(state, tuple)
        kind, c = state[0], state[1]
        after = ("after", c)
        separator: dict[str, tuple[Hashable, bool]] = (
            {",": (("value", c + 1), False)} if c + 1 < n_channels else {";": (("value", 0), True)}
        )
        if kind == "after":
            return separator
        if kind in ("value", "first"):
            negative = kind == "first"
            small: Hashable = ("point", c, negative) if self.point else ("dec", c, 0, negative)
            large: Hashable = ("int", c, 1) if self.point else ("run", c, 1)
            moves: dict[str, tuple[Hashable, bool]] = {"0": (small, False)}
            moves |= dict.fromkeys(DIGITS[1:], (large, False))
            if kind == "value" and self.signed:
                moves["-"] = (("first", c), False)
            if kind == "value" and missing:
                moves[MISSING] = (after, False)
            return moves
        if kind == "int":
            more = dict.fromkeys(DIGITS, (("int", c, state[2] + 1), False))
            return (more if state[2] < self.integer_digits else {}) | {
                self.point: (("dec", c, 0, False), False)
            }
        if kind == "point":
            return {self.point: (("dec", c, 0, state[2]), False)}
        if kind == "run":
            n = state[2]
            more = dict.fromkeys(DIGITS, (("run", c, n + 1), False))
            return (more if n < self.integer_digits + self.decimals else {}) | (
                separator if n > self.decimals else {}
            )
        k, zero = state[2] + 1, state[3]
        moves = dict(separator) if kind == "may_end" else {}
        for digit in DIGITS:
            still_zero = zero and digit == "0"
            # Without trailing zeros a number ends with another digit, or with the only decimal.
            ends = not still_zero and (self.trailing_zeros or digit != "0" or k == 1)
            if k < self.decimals:
                stop = ends and not self.trailing_zeros
                moves[digit] = (("may_end" if stop else "dec", c, k, still_zero), False)
            elif ends:
                moves[digit] = (after, False)
        return moves


class MaoCodec(DecimalCodec):
    """One scale for the whole data set: its 99.7th percentile is shown as 10, two decimals.

    The study's round-trip error of 0.002167 is that of the one series its table prints, the first
    ten steps of system 0 (`tests/codec/test_golden.py`); over the 900 systems it is 0.001978.

    Args:
        global_scale: what values are multiplied with (10 / 7.9297 on the full published data);
            None until `calibrate` has seen the training values. A scale that was given stays.
        percentile: which percentile of |value| `calibrate` maps to 10.
    """

    name = "mao"

    def __init__(
        self,
        global_scale: float | None = None,
        percentile: float = 99.7,
        decimals: int = 2,
        signed: bool = False,
        missing: bool = False,
        integer_digits: int = 6,
    ) -> None:
        super().__init__(decimals, signed, missing, integer_digits)
        if global_scale is not None and not (np.isfinite(global_scale) and global_scale > 0.0):
            raise CodecError(f"codec 'mao': got global_scale={global_scale!r}; expected above 0")
        if not 0.0 < percentile <= 100.0:
            raise CodecError(f"codec 'mao': got percentile={percentile!r}; expected 0 to 100")
        self.global_scale = None if global_scale is None else float(global_scale)
        self.percentile = float(percentile)

    def scaled_for(self, values: Sequence[np.ndarray]) -> MaoCodec:
        """The codec with its scale set from training values, each (T, C); a scale given stays.

        Raises:
            CodecError: no values, or only zeros.
        """
        if self.global_scale is not None:
            return self
        arrays = [np.abs(as_values(v, self.name)).ravel() for v in values]
        flat = np.concatenate(arrays) if arrays else np.empty(0)
        flat = flat[~np.isnan(flat)]
        level = float(np.percentile(flat, self.percentile)) if flat.size else 0.0
        if level <= 0.0:
            raise CodecError(
                f"codec 'mao': got training values whose percentile {self.percentile:g} of |value| "
                f"is 0 ({flat.size} values); expected a positive one, use codec 'compact'"
            )
        options = self.config() | {"global_scale": _NOMINAL / level}
        del options["name"]
        return MaoCodec(**options)  # type: ignore[arg-type]

    def config(self) -> dict[str, object]:
        own = {"global_scale": self.global_scale, "percentile": self.percentile}
        return super().config() | own

    def _fit_scale(self, x: np.ndarray) -> np.ndarray:
        if self.global_scale is None:
            raise CodecError(
                "codec 'mao': got no global scale; call calibrate(training values) first, "
                "or give the option global_scale"
            )
        return np.full(x.shape[1], 1.0 / self.global_scale)


class FungCodec(DecimalCodec):
    """A fixed scale: values are shown as x * 10 / alpha with three decimals.

    The preset writes every number with all its decimals, `2.510`, so that a time step has a steady
    width. The study's own listing prints floats, which drop trailing zeros: `2.51`, and `2.0` for
    2; `trailing_zeros=False` writes that form.

    Args:
        alpha: the value that is shown as 10.
        trailing_zeros: whether zeros at the end of the decimals are written.
    """

    name = "fung"

    def __init__(
        self,
        alpha: float = 5.0,
        decimals: int = 3,
        signed: bool = False,
        missing: bool = False,
        integer_digits: int = 6,
        trailing_zeros: bool = True,
    ) -> None:
        super().__init__(decimals, signed, missing, integer_digits)
        if not (np.isfinite(alpha) and alpha > 0.0):
            raise CodecError(f"codec 'fung': got alpha={alpha!r}; expected a number above 0")
        self.alpha = float(alpha)
        self.trailing_zeros = bool(trailing_zeros)

    def config(self) -> dict[str, object]:
        own = {"alpha": self.alpha, "trailing_zeros": self.trailing_zeros}
        return super().config() | own

    def _fit_scale(self, x: np.ndarray) -> np.ndarray:
        return np.full(x.shape[1], self.alpha / _NOMINAL)


class MillerCodec(DecimalCodec):
    """One scale per series, its 90th percentile shown as 10; two decimals, the point dropped.

    1.23 is `123` and 0.05 is `005`: always at least three digits, so that the text reads back. The
    percentile is over all channels of |value|; where it is 0, the largest |value| takes its
    place, and 1 where all are 0. (Assumptions: the source says per series and point dropped.)

    Args:
        percentile: which percentile of the context is shown as 10.
    """

    name = "miller"
    point = ""

    def __init__(
        self,
        percentile: float = 90.0,
        decimals: int = 2,
        signed: bool = False,
        missing: bool = False,
        integer_digits: int = 6,
    ) -> None:
        super().__init__(decimals, signed, missing, integer_digits)
        if not 0.0 < percentile <= 100.0:
            raise CodecError(f"codec 'miller': got percentile={percentile!r}; expected 0 to 100")
        self.percentile = float(percentile)

    def config(self) -> dict[str, object]:
        return super().config() | {"percentile": self.percentile}

    def _fit_scale(self, x: np.ndarray) -> np.ndarray:
        level = float(np.nanpercentile(np.abs(x), self.percentile))
        if level <= 0.0:
            level = float(np.nanmax(np.abs(x))) or 1.0
        return np.full(x.shape[1], level / _NOMINAL)
