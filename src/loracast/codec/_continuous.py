"""`continuous`: one position a time step, its values shown as numbers instead of digits.

Per channel z = (f(x) - offset) / scale, where f is the identity, log or asinh, chosen from the
context, and offset and scale are the mean and standard deviation of f over the context. A model
reads z through a value embedding and answers with a distribution of the next z, so no value has a
ceiling and none is rounded to a code (xVal, Golkar et al. 2023, shows numbers so; the published
studies' authors name it as the way on). In a sequence of tokens a ';' holds the place of each step.

Beside z the model is told, per channel, what the scaling took away: `statics`.
"""

from __future__ import annotations

import numpy as np

from loracast.codec._base import Codec, State
from loracast.codec._checks import as_context, as_values, require_state
from loracast.codec._statics import VALUE_CHANNELS, Statics
from loracast.codec._transform import TRANSFORMS, asinh_width, forward, inverse
from loracast.errors import CodecError

__all__ = ["ContinuousCodec"]

_STEP_FLOOR = 1e-4  # of z: a smoother series than this is beyond float32
_JERK_FLOOR = 1e-3  # of a step
_LARGEST = 1e4  # |z| that is still turned back into a value


def _rms(values: np.ndarray) -> np.ndarray:
    """Root mean square over the steps, per channel; 0 where nothing is observed."""
    seen = np.isfinite(values)
    total = np.where(seen, values, 0.0) ** 2
    return np.asarray(np.sqrt(total.sum(axis=0) / np.maximum(seen.sum(axis=0), 1)))


def _skewness(x: np.ndarray) -> np.ndarray:
    """|Third standardised moment| per channel (C,); 0 for a constant one."""
    centred = x - np.nanmean(x, axis=0)
    deviation = np.sqrt(np.nanmean(centred**2, axis=0))
    safe = np.where(deviation > 0, deviation, 1.0)
    return np.asarray(np.abs(np.nanmean((centred / safe) ** 3, axis=0)))


class ContinuousCodec(Codec):
    """Values as numbers, up to 8 channels, missing values allowed.

    Args:
        transform: 'linear', 'log' (strictly positive series), 'asinh' (any sign, heavy tails), or
            'auto': log for a positive series whose logs are no more skewed than its values and
            that spans a factor of 1.5, asinh where the farthest value lies 30 typical deviations
            from the median, else linear. The choice is made once a series and kept in its state.

    Raises:
        CodecError: another transform.
    """

    name = "continuous"
    alphabet = (";",)

    def __init__(self, transform: str = "auto") -> None:
        if transform not in ("auto", *TRANSFORMS):
            raise CodecError(
                f"codec 'continuous': got transform={transform!r}; expected 'auto' or one of "
                f"{TRANSFORMS}"
            )
        self.transform = transform

    def config(self) -> dict[str, object]:
        return {"name": self.name, "transform": self.transform}

    def _choose(self, x: np.ndarray) -> str:
        if self.transform != "auto":
            return self.transform
        low, high = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
        wide = (low > 0).all() and (high / np.maximum(low, 5e-324)).max() >= 1.5
        if wide and _skewness(np.log(x)).sum() <= _skewness(x / high).sum() + 0.25:
            return "log"
        median = np.nanmedian(x, axis=0)
        typical = np.nanmedian(np.abs(x - median), axis=0)
        farthest = np.maximum(high - median, median - low)
        return "asinh" if (farthest > 30.0 * typical).any() and (typical > 0).all() else "linear"

    def fit(self, context: np.ndarray) -> State:
        """The state of one series.

        Raises:
            CodecError: no steps, a channel without values, an infinity, more than 8 channels,
                or values <= 0 under 'log'.
        """
        x = as_context(context, self.name)
        if x.shape[1] > VALUE_CHANNELS:
            raise CodecError(
                f"codec 'continuous': got {x.shape[1]} channels; expected at most "
                f"{VALUE_CHANNELS}: forecast them apart, or use a digit codec"
            )
        transform = self._choose(x)
        if transform == "log" and np.nanmin(x) <= 0:
            raise CodecError(
                f"codec 'continuous': got a value of {np.nanmin(x):g} under transform 'log'; "
                "expected values above 0: use 'auto', 'asinh' or 'linear'"
            )
        width = asinh_width(x) if transform == "asinh" else np.ones(x.shape[1])
        with np.errstate(all="ignore"):
            y = forward(x, transform, width)
            largest = np.maximum(np.nanmax(np.abs(y), axis=0), 1e-300)
            offset = np.nanmean(y / largest, axis=0) * largest
            scale = np.sqrt(np.nanmean((y / largest - offset / largest) ** 2, axis=0)) * largest
        # A constant channel: deviations are measured against its own size.
        size = np.maximum(np.abs(offset), 1e-300) if transform == "linear" else 1.0
        tiny = scale <= 1e-9 * np.maximum(np.abs(offset), 1e-290)
        scale = np.where(tiny, np.where(offset == 0.0, 1.0, size), scale)
        z = (y - offset) / scale
        steps = np.diff(z, axis=0)
        step = np.maximum(_rms(steps), _STEP_FLOOR)
        jerk = np.maximum(_rms(np.diff(steps, axis=0)) / step, _JERK_FLOOR)
        extra = [("transform", float(TRANSFORMS.index(transform)))]
        for c in range(x.shape[1]):
            extra += [(f"step_{c}", float(step[c])), (f"jerk_{c}", float(jerk[c]))]
            if transform == "asinh":
                extra.append((f"width_{c}", float(width[c])))
        return State(self.name, tuple(map(float, scale)), tuple(map(float, offset)), tuple(extra))

    def _unpack(self, state: State) -> tuple[str, np.ndarray]:
        require_state(state, self.name)
        extra = dict(state.extra)
        transform = TRANSFORMS[int(extra["transform"])]
        width = np.array([extra.get(f"width_{c}", 1.0) for c in range(len(state.scale))])
        return transform, width

    def shows_logs(self, state: State) -> bool:
        return self._unpack(state)[0] == "log"

    def forward(self, values: np.ndarray, state: State) -> np.ndarray:
        """Values (T, C) as they are shown: z (T, C) float32, NaN where a value is missing.

        Raises:
            CodecError: another number of channels, an infinity, or values <= 0 under transform
                'log' ('auto' shows them as missing where the context chose logs).
        """
        transform, width = self._unpack(state)
        x = as_values(values, self.name, len(state.scale))
        if transform == "log" and self.transform == "auto":
            # Logs were chosen from the context; a later value without one is shown as missing.
            x = np.where(x <= 0, np.nan, x)
        elif transform == "log" and (x <= 0).any():
            step, channel = (int(i) for i in np.argwhere(x <= 0)[0])
            raise CodecError(
                f"codec 'continuous': got {x[step, channel]:g} at step {step}, channel {channel} "
                "of a series shown in logs; expected values above 0: use transform 'asinh'"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            z = (forward(x, transform, width) - np.array(state.offset)) / np.array(state.scale)
        return np.clip(z, -_LARGEST, _LARGEST).astype(np.float32)

    def inverse(self, z: np.ndarray, state: State) -> np.ndarray:
        """Finite values (..., C) in original units of z (..., C)."""
        transform, width = self._unpack(state)
        bounded = np.clip(np.asarray(z, dtype=np.float64), -_LARGEST, _LARGEST)
        with np.errstate(over="ignore"):
            y = np.array(state.offset) + bounded * np.array(state.scale)
        return inverse(y, transform, width)

    def statics(self, state: State) -> Statics[np.ndarray]:
        """What the scaling took away, each (C,)."""
        extra, channels = dict(state.extra), range(len(state.scale))
        logs = np.full(len(channels), self.shows_logs(state))
        return Statics(
            is_log=logs.astype(np.float64),
            log_scale=np.where(logs, np.log(np.clip(state.scale, 1e-4, 1e4)), 0.0),
            log_step=np.log([extra[f"step_{c}"] for c in channels]),
            log_jerk=np.log([extra[f"jerk_{c}"] for c in channels]),
        )
