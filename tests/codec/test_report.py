"""The round-trip report against figures worked out by hand and by a slow loop."""

from __future__ import annotations

import numpy as np
import pytest

from loracast.codec import make_codec
from loracast.errors import CodecError

from .round_trip import round_trip_report


def test_figures_by_hand() -> None:
    # mao with scale 1 keeps two decimals: errors 0.004 and 0.002, a NaN is not scored,
    # 9 is outside the seen range [1, 3], 2e6 is past six integer digits and cut to 999999.99.
    codec = make_codec("mao", global_scale=1.0, missing=True)
    context = np.array([[1.0], [3.0]])
    future = np.array([[2.004], [9.002], [np.nan], [2e6]])
    report = round_trip_report(codec, [context], [future])
    assert report.n_values == 3
    assert report.mae == pytest.approx((0.004 + 0.002 + 2e6 - 999999.99) / 3)
    assert report.max_error == pytest.approx(2e6 - 999999.99)
    assert report.relative_error == pytest.approx(report.mae / ((2.004 + 9.002 + 2e6) / 3))
    assert report.share_clipped == pytest.approx(1 / 3)
    assert report.share_outside == pytest.approx(2 / 3)
    n_symbols = len("1.00;3.00;") + len("2.00;9.00;?;999999.99;")
    assert report.symbols_per_step == pytest.approx(n_symbols / 6)


@pytest.mark.parametrize("name", ["compact", "llmtime", "fung", "miller"])
def test_against_a_slow_loop(name: str) -> None:
    rng = np.random.default_rng(3)
    codec = make_codec(name)
    contexts = [rng.lognormal(size=(20, 2)) for _ in range(5)]
    futures = [rng.lognormal(size=(7, 2)) for _ in range(5)]
    report = round_trip_report(codec, contexts, futures)
    errors, n_outside = [], 0
    for context, future in zip(contexts, futures, strict=True):
        state = codec.fit(context)
        for row in future:
            back = codec.decode(codec.encode(row[None], state), state)[0]
            errors += np.abs(back - row).tolist()
            for c, value in enumerate(row):
                n_outside += not context[:, c].min() <= value <= context[:, c].max()
    assert report.mae == pytest.approx(np.mean(errors))
    assert report.max_error == pytest.approx(np.max(errors))
    assert report.share_outside == pytest.approx(n_outside / 70)
    assert report.share_clipped == 0.0
    assert report.n_values == 70


def test_without_futures_the_contexts_are_scored() -> None:
    contexts = [np.array([[1.0], [2.0], [np.nan]])]
    report = round_trip_report(make_codec("compact", digits=3, headroom=0.2), contexts)
    assert report.n_values == 2
    assert report.share_outside == 0.0
    assert report.symbols_per_step == 4.0


def test_bad_lists() -> None:
    codec = make_codec("compact", digits=3, headroom=0.2)
    with pytest.raises(CodecError, match="got 1 contexts and 2 futures"):
        round_trip_report(codec, [np.ones((2, 1))], [np.ones((2, 1))] * 2)
    with pytest.raises(CodecError, match="no finite value"):
        round_trip_report(codec, [])
    with pytest.raises(CodecError, match="no finite value"):
        round_trip_report(codec, [np.ones((2, 1))], [np.full((2, 1), np.nan)])
