"""Pictures of annotated series: every mark stands where the annotation says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loracast.annotation import Annotation, prose
from loracast.annotation._facts import UNKNOWN_INDEX, Extremum, SeriesFacts, TrendSegment
from loracast.annotation._plot import draw_annotations, plot_annotations
from loracast.errors import AnnotationError

VALUES = np.array([0.0, 1.0, 5.0, np.nan, 2.0, 2.5, 3.0, 9.0])
FACTS = SeriesFacts(
    length=8,
    trend="increasing",
    segments=(TrendSegment(0, 3, "flat", 0.5), TrendSegment(4, 7, "increasing", 1.0)),
    noise="low",
    extrema=(Extremum("max", 7, 9.0, "end"), Extremum("min", 0, 0.0, "beginning")),
    change_points=(4,),
    outliers=(2,),
)


def test_marks_stand_at_their_places() -> None:
    at = np.arange(100.0, 108.0)
    annotation = Annotation.from_facts(FACTS, index=at, id="pump", value_unit="bar")
    axis = draw_annotations([VALUES], [annotation], index=[at]).axes[0]
    lines = {line.get_label(): line for line in axis.get_lines()}
    np.testing.assert_array_equal(lines["maximum"].get_xydata(), [[107.0, 9.0]])
    np.testing.assert_array_equal(lines["minimum"].get_xydata(), [[100.0, 0.0]])
    np.testing.assert_array_equal(lines["outlier"].get_xydata(), [[102.0, 5.0]])
    np.testing.assert_array_equal(lines["change point"].get_xdata(), [104.0, 104.0])
    strips = {p.get_label(): p.get_extents().get_points() for p in axis.patches if p.get_label()}
    assert set(strips) >= {"flat", "increasing"}
    drawn = {p.get_label(): (p.get_x(), p.get_x() + p.get_width()) for p in axis.patches}
    assert drawn["flat"] == (100.0, 103.0) and drawn["increasing"] == (104.0, 107.0)
    slopes = [
        np.diff(line.get_ydata())[0] for line in axis.get_lines() if len(line.get_xdata()) == 4
    ]
    np.testing.assert_allclose(slopes, [0.5, 1.0])
    assert axis.get_title("left") == "pump: increasing, low noise"
    assert axis.get_ylabel() == "bar"
    assert axis.get_xlabel().replace("\n", " ") == prose(annotation)


def test_an_extremum_known_by_its_region_is_hollow() -> None:
    facts = SeriesFacts(8, extrema=(Extremum("max", UNKNOWN_INDEX, float("nan"), "end"),))
    axis = draw_annotations([VALUES], [Annotation.from_facts(facts)]).axes[0]
    mark = next(line for line in axis.get_lines() if line.get_label() == "maximum")
    assert mark.get_markerfacecolor() == "white" and mark.get_xdata()[0] == 7


@pytest.mark.parametrize(("name", "head"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml")])
def test_four_series_in_one_picture(tmp_path: Path, name: str, head: bytes) -> None:
    dates = np.datetime64("2024-01-01") + np.arange(8)
    annotations = [
        Annotation.from_facts(FACTS),
        Annotation.from_facts(SeriesFacts(8), fields=("trend",)),
        Annotation.from_facts(SeriesFacts(1, trend="flat")),
        Annotation.from_facts(FACTS, index=dates),
    ]
    series = [VALUES, np.full(8, np.nan), np.ones(1), VALUES]
    index = [np.arange(8), np.arange(8), np.arange(1), dates]
    plot_annotations(series, annotations, tmp_path / name, index=index, language="fr")
    assert (tmp_path / name).read_bytes().startswith(head)


def test_dollars_are_dollars(tmp_path: Path) -> None:
    annotation = Annotation.from_facts(FACTS, id=r"x$\foo$", value_unit="$ or $/h")
    plot_annotations([VALUES], [annotation], tmp_path / "a.svg")
    axis = draw_annotations([VALUES], [annotation]).axes[0]
    for text in (axis.xaxis.label, axis.yaxis.label, axis._left_title):
        assert "$" in text.get_text() and not text.get_parse_math()


@pytest.mark.parametrize(
    ("language", "title", "legend"),
    [
        ("en", "pump: increasing, low noise", "increasing flat change point outlier"),
        ("fr", "pump: à la hausse, bruit faible", "à la hausse stable point de rupture valeur"),
        ("zh", "pump: 上升, 低噪声", "上升 平稳 变点 异常点 最大值 最小值"),
    ],
)
def test_titles_and_legend_speak_the_language_of_the_caption(
    language: str, title: str, legend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loracast.annotation._plot._CHINESE_FONTS", ("DejaVu Sans",))
    annotation = Annotation.from_facts(FACTS, id="pump")
    figure = draw_annotations([VALUES], [annotation], language=language)
    assert figure.axes[0].get_title("left") == title
    assert " ".join(t.get_text() for t in figure.legends[0].get_texts()).startswith(legend)


def test_what_cannot_be_drawn_is_one_clear_line(tmp_path: Path, monkeypatch) -> None:
    annotation = Annotation.from_facts(FACTS)
    for series, given, path, match in (
        ([], [], "a.png", "got 0 series"),
        ([VALUES], [], "a.png", "1 series, 0 annotations"),
        ([VALUES[:5]], [annotation], "a.png", "annotation of 8 points"),
        ([VALUES], [annotation], "a.gif", "expected a name in .png or .svg"),
        ([VALUES], [annotation], "no/a.png", "cannot be written"),
    ):
        with pytest.raises(AnnotationError, match=match):
            plot_annotations(series, given, tmp_path / path)
    monkeypatch.setattr("loracast.annotation._plot._CHINESE_FONTS", ("No Such Font",))
    with pytest.raises(AnnotationError, match="no font for a Chinese caption"):
        plot_annotations([VALUES], [annotation], tmp_path / "a.png", language="zh")
