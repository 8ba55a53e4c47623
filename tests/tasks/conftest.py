"""Facts as Hypothesis makes them, for the tests of the annotation task."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from loracast.series._facts import (
    NOISE_LEVELS,
    TREND_LABELS,
    Extremum,
    SeriesFacts,
    TrendSegment,
    region_of,
)

numbers = st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-6)


@st.composite
def _facts(draw: st.DrawFn, complete: bool = True) -> SeriesFacts:
    """Facts of a series of 1 to 1,200 points; not complete ones leave fields out."""
    length = draw(st.one_of(st.integers(1, 40), st.integers(1, 1200)))
    positions = st.integers(0, length - 1)
    cuts = (
        sorted(draw(st.sets(st.integers(1, max(1, length - 1)), max_size=3))) if length > 1 else []
    )
    edges = [0, *cuts, length]
    segments = tuple(
        TrendSegment(a, b - 1, draw(st.sampled_from(TREND_LABELS)), draw(numbers))
        for a, b in itertools.pairwise(edges)
    )
    extrema = []
    for kind in ("max", "min"):
        index = draw(positions)
        extrema.append(Extremum(kind, index, draw(numbers), region_of(index, length)))
    period = draw(st.one_of(st.none(), st.floats(2, length))) if length > 1 else None

    def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
        return strategy if complete else st.one_of(st.none(), strategy)

    return SeriesFacts(
        length=length,
        trend=draw(maybe(st.sampled_from(TREND_LABELS))),
        slope=draw(st.one_of(st.none(), numbers)),
        segments=segments if complete or draw(st.booleans()) else (),
        noise=draw(maybe(st.sampled_from(NOISE_LEVELS))),
        sigma=draw(st.one_of(st.none(), st.floats(0, 1))),
        extrema=tuple(e for e in extrema if complete or draw(st.booleans())),
        period=period,
        strength=draw(st.one_of(st.none(), st.floats(0, 1))) if period is not None else None,
        change_points=tuple(cuts),
        outliers=tuple(sorted(draw(st.sets(positions, max_size=3)))),
        correlation=draw(st.one_of(st.none(), st.floats(-1, 1))),
    )


@pytest.fixture(scope="session")
def any_facts() -> Callable[..., st.SearchStrategy[SeriesFacts]]:
    """`any_facts()` or `any_facts(complete=False)`: a strategy."""
    return _facts
