"""Reading and writing amounts of computation.

Knows prefixes and spellings only; what an amount is spent on is not its business.
"""

from __future__ import annotations

import math
import re

from loracast.errors import ConfigError

__all__ = ["format_flops", "parse_flops"]

_PREFIXES = {"": 1e0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21}
_AMOUNT = re.compile(
    r"(?P<number>(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:e[+-]?\d+)?)\s*"
    r"(?P<prefix>[kmgtpez]?)(?P<unit>f(?:lops?)?)?",
    re.IGNORECASE,
)


def parse_flops(amount: str | float) -> float:
    """Read an amount of computation in FLOPs.

    Args:
        amount: a number, or text such as `1e17`, `100PF`, `1e15 FLOP`, `2.5 TFLOPs`, `3G`.

    Returns:
        FLOPs, positive and finite.

    Raises:
        ConfigError: the text is no amount, or the amount is not positive and finite.
    """
    if isinstance(amount, bool) or not isinstance(amount, str | int | float):
        raise ConfigError(f"FLOPs: got {amount!r}, expected a number or text such as 1e17 or 100PF")
    if isinstance(amount, str):
        match = _AMOUNT.fullmatch(amount.strip())
        if match is None:
            raise ConfigError(
                f"FLOPs: got {amount!r}, expected an amount such as 1e17, 100PF or '1e15 FLOP' "
                "(prefixes K M G T P E Z; no rate, so no '/s')"
            )
        number = float(match["number"].replace("_", ""))
        value = number * _PREFIXES[match["prefix"].lower()]
    else:
        try:
            value = float(amount)
        except OverflowError:
            value = math.inf
    if not math.isfinite(value) or value <= 0:
        raise ConfigError(f"FLOPs: got {amount!r}, expected a positive finite amount such as 1e17")
    return value


def format_flops(flops: float) -> str:
    """Write FLOPs for people: `1.23e14 FLOPs (123 TFLOPs)`."""
    if flops == 0:
        return "0 FLOPs"
    mantissa, exponent = f"{flops:.2e}".split("e")
    power = int(exponent)
    if power < 3:
        return f"{flops:.4g} FLOPs"
    thousands = min(power // 3, 7)
    scaled = float(mantissa) * 10.0 ** (power - 3 * thousands)
    return f"{mantissa}e{power} FLOPs ({scaled:.3g} {' KMGTPEZ'[thousands]}FLOPs)"
