"""Amounts of computation: read as people write them, written so that they read back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loracast.errors import ConfigError
from loracast.flops import format_flops, parse_flops


@pytest.mark.parametrize(
    ("text", "flops"),
    [
        ("1e17", 1e17),
        ("100PF", 1e17),
        ("100 PFLOPs", 1e17),
        ("1e15 FLOP", 1e15),
        ("1e15 FLOPS", 1e15),
        ("2.5T", 2.5e12),
        ("3 GFLOP", 3e9),
        ("1_000", 1e3),
        (".5k", 5e2),
        ("7", 7.0),
        (12, 12.0),
        (1.5e3, 1.5e3),
    ],
)
def test_amounts(text: str | float, flops: float) -> None:
    assert parse_flops(text) == pytest.approx(flops, rel=1e-15)


TEXTS = ("", "much", "1e17/s", "-5", "0", "nan", "1e999", "1 XF", "1..2", "PF", "1e17 FLOPs please")
OTHERS = (True, None, math.inf, math.nan, -1, 0, 10**400)


@pytest.mark.parametrize("bad", [*TEXTS, *OTHERS])
def test_refused_in_one_line(bad: object) -> None:
    with pytest.raises(ConfigError, match=r"^FLOPs: got .*expected") as caught:
        parse_flops(bad)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flops", "text"),
    [
        (0, "0 FLOPs"),
        (12, "12 FLOPs"),
        (1.23e14, "1.23e14 FLOPs (123 TFLOPs)"),
        (1e17, "1.00e17 FLOPs (100 PFLOPs)"),
        (9.999e14, "1.00e15 FLOPs (1 PFLOPs)"),
        (5e23, "5.00e23 FLOPs (500 ZFLOPs)"),
    ],
)
def test_written(flops: float, text: str) -> None:
    assert format_flops(flops) == text


@given(st.floats(min_value=1e-3, max_value=1e24))
def test_both_halves_of_what_is_written_read_back(flops: float) -> None:
    text = format_flops(flops)
    outside, _, inside = text.removesuffix(")").partition(" (")
    assert parse_flops(outside) == pytest.approx(flops, rel=6e-3)
    if inside:
        assert parse_flops(inside) == pytest.approx(flops, rel=6e-3)
