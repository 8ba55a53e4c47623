"""Facts as Hypothesis makes them, and an annotator that was fitted for two steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from loracast.annotation._facts import (
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


@pytest.fixture(scope="session")
def alike() -> Callable[[list[Any], list[Any]], None]:
    """Asserts that two lists of annotations say the same, from weights that went two ways.

    Labels and places to the letter; confidences to 1e-5, since sums of float32 depend on how
    memory lies and on the processor (measured: 3e-9 between a fitted and a loaded model; float32
    has 1e-7, and a few hundred such sums stand between the weights and a probability).
    """

    def check(found: list[Any], wanted: list[Any]) -> None:
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            assert a.confidence == pytest.approx(b.confidence, abs=1e-5)
            assert a.model_copy(update={"confidence": b.confidence}) == b

    return check


@pytest.fixture(scope="module")
def annotator(base: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Fitted for two steps on the generated stream."""
    from loracast.annotation import Annotator

    out = tmp_path_factory.mktemp("annotator") / "fit"
    made = Annotator.from_pretrained(base, seed=5)
    made.fit(
        budget=1e12,
        max_steps=2,
        lengths=(20, 40),
        out=out,
        calibration=24,
        training={"batch_size": 4},
    )
    return made, out
