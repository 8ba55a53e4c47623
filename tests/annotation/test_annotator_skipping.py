"""A series that cannot be described is left out and named; the others are described."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loracast.errors import AnnotationError, DataError, LoracastWarning


def test_the_good_series_of_a_list_are_described(annotator) -> None:
    made, _ = annotator
    wave = np.sin(np.arange(40) / 3)
    bad = [np.full(30, 2.0), [1.0], np.sin(np.arange(5000)), ["a", "b"]]
    with pytest.warns(
        LoracastWarning, match=r"4 of 6 series left out: series '1': got the value 2"
    ):
        found = made.annotate([wave, *bad, wave[::-1]])
    assert [a.id for a in found] == ["0", "5"]
    assert made.annotation_report is not None
    assert [one.id for one in made.annotation_report.skipped] == ["1", "2", "3", "4"]
    (alone,) = made.annotate([wave])
    assert alone.extrema == found[0].extrema
    assert made.annotation_report.skipped == ()


def test_a_frame_loses_its_bad_series_only(annotator) -> None:
    made, _ = annotator
    t = np.arange(40)
    frame = pd.concat(
        [
            pd.DataFrame({"unique_id": "inf", "ds": t, "y": np.where(t == 3, np.inf, 1.0)}),
            pd.DataFrame({"unique_id": "flat", "ds": t, "y": 4.0}),
            pd.DataFrame({"unique_id": "good", "ds": t, "y": np.sin(t)}),
        ]
    )
    with pytest.warns(LoracastWarning, match="2 of 3 series left out"):
        found = made.annotate(frame)
    assert [a.id for a in found] == ["good"]
    with pytest.raises(DataError, match="series 'inf'"):
        made.annotate(frame, strict=True)


def test_where_none_can_be_described_the_first_reason_is_raised(annotator) -> None:
    made, _ = annotator
    with pytest.raises(DataError, match="series '0': got the value 2"):
        made.annotate([np.full(30, 2.0), [1.0]])
    with pytest.raises(AnnotationError, match="how='cut'"):
        made.annotate([np.sin(np.arange(5000))] * 2, how="cut")
