"""`compact`: D digits a value, no point, no comma; scaled by the context, without a ceiling.

Per channel the context's [min, max] maps onto the codes [low, high] = [headroom, 1 - headroom] of
0..10^D - 1, one code per step. Beyond, each further step is exp(growth) times wider, with growth
such that the last code lies `reach` context ranges (default 1000) beyond what was seen. So a
forecast may leave the seen range by three orders of magnitude; past that it is cut, and
`benchmarks/codecs.py` counts it. With D=3 and headroom 0.2 a tail step grows by 5.3 % a code.
The defaults, two digits and headroom 0.1, were chosen by what a small network learns at equal FLOPs
(docs/log.md); three or four digits show more of a number and take longer to learn.
"""

from __future__ import annotations

import numpy as np

from loracast.codec._base import Grammar, State, TextCodec
from loracast.codec._checks import as_context, as_symbols, as_values, require_state
from loracast.codec._tail import compress, expand, growth_for_reach
from loracast.codec._transform import HUGE, TINY, TRANSFORMS, asinh_width, forward, inverse
from loracast.errors import CodecError

__all__ = ["CompactCodec"]

MISSING = "?"
_EPS = float(np.finfo(np.float64).eps)


class CompactCodec(TextCodec):
    """Fixed-width digits with headroom, per series and channel.

    A constant channel is scaled as if its range were |value| (1 for a constant 0, and 1 in log
    units under transform='log'). The step is never finer than 16 float64 spacings of the largest
    seen |value|, so that every code is a different number. A missing value is '?' repeated D times.

    Args:
        digits: D, digits per value, 2 to 4.
        headroom: share of the codes kept below the seen minimum, and as many above the maximum.
        separator: ';' ends each time step; '' for none.
        transform: 'linear', 'log' (strictly positive series) or 'asinh' (any sign, heavy tails).
        reach: how many context ranges beyond the seen range the last code lies at least; under
            'log' the tails span the factor 1 + reach above the maximum and below the minimum.

    Raises:
        CodecError: an option outside what is named here.
    """

    name = "compact"

    def __init__(
        self,
        digits: int = 2,
        headroom: float = 0.1,
        separator: str = ";",
        transform: str = "linear",
        reach: float = 1000.0,
    ) -> None:
        if digits not in (2, 3, 4):
            raise CodecError(f"codec 'compact': got digits={digits!r}; expected 2, 3 or 4")
        if separator not in (";", ""):
            raise CodecError(f"codec 'compact': got separator={separator!r}; expected ';' or ''")
        if transform not in TRANSFORMS:
            raise CodecError(
                f"codec 'compact': got transform={transform!r}; expected one of {TRANSFORMS}"
            )
        if not 0.05 <= headroom <= 0.45:
            raise CodecError(f"codec 'compact': got headroom={headroom!r}; expected 0.05 to 0.45")
        if not 1.0 <= reach <= 1e6:
            raise CodecError(f"codec 'compact': got reach={reach!r}; expected 1 to 1e6")
        self.digits = int(digits)
        self.headroom = float(headroom)
        self.separator = separator
        self.transform = transform
        self.reach = float(reach)
        self.alphabet = (*"0123456789", *separator, MISSING)
        self._missing_id = len(self.alphabet) - 1
        self._n_codes = 10**self.digits
        self._low = round(self.headroom * self._n_codes)
        self._centre = self._n_codes // 2
        self._half = self._centre - self._low  # codes from the centre to the seen extremes
        self._n_tail = self._n_codes - 1 - self._centre - self._half  # above; one more below
        self._powers = 10 ** np.arange(self.digits - 1, -1, -1)
        self._linear_growth = float(
            growth_for_reach(self._n_tail, np.array(2.0 * self._half * self.reach))
        )

    def config(self) -> dict[str, object]:
        return {
            "name": self.name,
            "digits": self.digits,
            "headroom": self.headroom,
            "separator": self.separator,
            "transform": self.transform,
            "reach": self.reach,
        }

    def fit(self, context: np.ndarray) -> State:
        """The state of one series: step and centre in transformed units, tail growth, options.

        Raises:
            CodecError: a channel without values, an infinity, or values <= 0 under 'log'.
        """
        x = as_context(context, self.name)
        self._check_positive(x)
        n_channels = x.shape[1]
        low, high = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
        width = asinh_width(x) if self.transform == "asinh" else np.ones(n_channels)
        z_low, z_high = (forward(v, self.transform, width) for v in (low, high))
        offset = 0.5 * z_low + 0.5 * z_high  # halves first: the sum of two 1e308 is not finite
        largest = np.maximum(np.abs(z_low), np.abs(z_high))
        if self.transform == "linear":
            constant = np.where(largest > 0.0, largest, 1.0)
        else:
            constant = np.ones(n_channels)
        steps = 2.0 * self._half
        scale = np.where(z_low == z_high, constant / steps, z_high / steps - z_low / steps)
        scale = np.maximum(scale, np.maximum(16.0 * _EPS * largest, 4.0 * TINY))
        up, down = self._growths(low, high, z_low, z_high, scale, width)
        extra = [
            ("transform", float(TRANSFORMS.index(self.transform))),
            ("digits", float(self.digits)),
            ("headroom", self.headroom),
        ]
        for c in range(n_channels):
            extra += [(f"growth_up_{c}", float(up[c])), (f"growth_down_{c}", float(down[c]))]
            if self.transform == "asinh":
                extra.append((f"width_{c}", float(width[c])))
        return State(self.name, tuple(map(float, scale)), tuple(map(float, offset)), tuple(extra))

    def shows_logs(self, state: State) -> bool:  # noqa: ARG002
        return self.transform == "log"

    def encode(self, values: np.ndarray, state: State) -> np.ndarray:
        """Symbols (T * (D*C [+1]),); values past the last code take the last code."""
        x = as_values(values, self.name, len(state.scale))
        position = self.positions(x, state)
        missing = np.isnan(position)
        codes = np.where(missing, 0.0, np.rint(position)).astype(np.int64)
        codes = np.clip(codes, 0, self._n_codes - 1)
        ids = codes[:, :, None] // self._powers % 10
        ids[missing] = self._missing_id
        rows = ids.reshape(x.shape[0], self.digits * x.shape[1])
        if self.separator:
            rows = np.concatenate([rows, np.full((x.shape[0], 1), 10)], axis=1)
        return rows.reshape(-1)

    def decode(self, symbols: np.ndarray, state: State) -> np.ndarray:
        ids = as_symbols(symbols, self.name, len(self.alphabet))
        n_channels = len(state.scale)
        width = self.digits * n_channels + len(self.separator)
        if self.separator:
            expected = np.arange(ids.size) % width == width - 1
            wrong = (ids == 10) != expected
            if wrong.any():
                at = int(np.argmax(wrong))
                raise CodecError(
                    f"codec 'compact': got {self.alphabet[ids[at]]!r} at symbol {at}; expected "
                    + ("';'" if expected[at] else "a digit")
                    + f" ({n_channels} x {self.digits} digits and ';' per step)"
                )
        n_steps = ids.size // width
        rows = ids[: n_steps * width].reshape(n_steps, width)[:, : self.digits * n_channels]
        digits = rows.reshape(n_steps, n_channels, self.digits)
        holes = digits == self._missing_id
        missing = holes.all(axis=2)
        if (holes.any(axis=2) & ~missing).any():
            raise CodecError(
                f"codec 'compact': got a value that mixes digits and {MISSING!r}; "
                f"expected {self.digits} digits or {MISSING * self.digits!r}"
            )
        codes = np.where(missing, self._centre, (digits * self._powers).sum(axis=2))
        return np.where(missing, np.nan, self.values_at(codes, state))

    def positions(self, values: np.ndarray, state: State) -> np.ndarray:
        """Where values (T, C) fall on the code axis, unrounded; NaN stays NaN.

        A result below -0.5 or above 10^D - 0.5 is outside what any code stands for.
        """
        up, down, width = self._unpack(state)
        x = as_values(values, self.name, len(state.scale))
        self._check_positive(x)
        scale, offset = np.array(state.scale), np.array(state.offset)
        z = forward(x, self.transform, width)
        with np.errstate(over="ignore"):
            steps = (0.5 * z - 0.5 * offset) / (0.5 * scale)
        steps = np.clip(steps, -1e30, 1e30)
        growth = np.where(steps > 0.0, up, down)
        return self._centre + compress(steps, self._half, growth)

    def values_at(self, codes: np.ndarray, state: State) -> np.ndarray:
        """The values (T, C) that code positions (T, C) stand for, always finite."""
        up, down, width = self._unpack(state)
        position = np.asarray(codes, dtype=np.float64) - self._centre
        steps = expand(position, self._half, np.where(position > 0.0, up, down))
        with np.errstate(over="ignore"):
            z = np.array(state.offset) + steps * np.array(state.scale)
        return inverse(z, self.transform, width)

    def limits(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        ends = np.array([[0.0], [self._n_codes - 1.0]]) * np.ones(len(state.scale))
        low, high = self.values_at(ends, state)
        return low, high

    def grammar(self, n_channels: int) -> Grammar:
        n_digits = self.digits * n_channels
        n_states = n_digits + len(self.separator)
        if n_channels < 1 or n_states > np.iinfo(np.int16).max:
            raise CodecError(
                f"codec 'compact': got {n_channels} channels; "
                f"expected 1 to {np.iinfo(np.int16).max // self.digits - 1}"
            )
        next_state = np.full((n_states, len(self.alphabet)), -1, dtype=np.int16)
        ends_step = np.zeros(next_state.shape, dtype=bool)
        for state in range(n_digits):
            next_state[state, :10] = (state + 1) % n_states
        if self.separator:
            next_state[n_digits, 10] = 0
            ends_step[n_digits, 10] = True
        else:
            ends_step[n_digits - 1, :10] = True
        return Grammar(next_state, ends_step, 0, n_states)

    def _growths(
        self,
        low: np.ndarray,
        high: np.ndarray,
        z_low: np.ndarray,
        z_high: np.ndarray,
        scale: np.ndarray,
        width: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.transform == "linear":
            growth = np.full(low.shape, self._linear_growth)
            return growth, growth
        if self.transform == "log":
            up = down = np.full(low.shape, np.log1p(self.reach))
        else:
            with np.errstate(over="ignore"):
                span = np.where(low == high, np.maximum(np.abs(high), width), high - low)
                top = np.clip(high + self.reach * span, -HUGE, HUGE)
                bottom = np.clip(low - self.reach * span, -HUGE, HUGE)
            up = forward(top, self.transform, width) - z_high
            down = z_low - forward(bottom, self.transform, width)
        return (
            growth_for_reach(self._n_tail, up / scale),
            growth_for_reach(self._n_tail, down / scale),
        )

    def _unpack(self, state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        require_state(state, self.name)
        extra = dict(state.extra)
        fitted = (extra.get("transform"), extra.get("digits"), extra.get("headroom"))
        own = (float(TRANSFORMS.index(self.transform)), float(self.digits), self.headroom)
        if fitted != own:
            raise CodecError(
                "codec 'compact': got a state fitted with other options "
                f"(transform, digits, headroom = {fitted}); expected {own}"
            )
        channels = range(len(state.scale))
        up = np.array([extra[f"growth_up_{c}"] for c in channels])
        down = np.array([extra[f"growth_down_{c}"] for c in channels])
        width = np.array([extra.get(f"width_{c}", 1.0) for c in channels])
        return up, down, width

    def _check_positive(self, x: np.ndarray) -> None:
        if self.transform == "log" and (x <= 0.0).any():
            step, channel = (int(i) for i in np.argwhere(x <= 0.0)[0])
            raise CodecError(
                f"codec 'compact' with transform='log': got {x[step, channel]:g} at step {step}, "
                f"channel {channel}; expected values above 0, use transform='asinh' or 'linear'"
            )
