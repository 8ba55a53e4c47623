"""The report: whole, self-contained, escaped, and honest about what was not run.

The numbers here are made up for the page's sake; no claim is read from them.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from loracast.errors import StorageError
from loracast.evaluation import METHODS, METRICS
from loracast.studies._drawing import format_amount, format_value
from loracast.studies._report import render_report, write_report
from loracast.studies._report_data import (
    Column,
    ContextRow,
    ExampleForecast,
    GradientNorms,
    GridCell,
    LossCurve,
    LossPoint,
    ReportData,
    SpentBlock,
    Table,
    write_report_data,
)
from loracast.studies._schema import StudyResult, make_verdict, write_result

H30 = {
    "adapted": 0.0212,
    "zero_shot": 0.118,
    "random_start": 0.0467,
    "naive": 0.3859,
    "seasonal_naive": 0.1120,
    "var5_log": 0.0679,
    "quadratic_growth": 0.0077,
    "global_mlp": 0.0375,
}


def made_up_result(**changes: Any) -> StudyResult:
    test: dict[str, Any] = {}
    for method, h30 in H30.items():
        sampled = method in ("adapted", "zero_shot", "random_start")
        test[method] = {
            f"h{h}": {
                "mae": h30 * share,
                "mse": (1.6 * h30 * share) ** 2,
                "rmse": 1.6 * h30 * share,
                "mape": 0.4 * h30 * share,
                "mase": 1.9 * h30 * share,
                "crps": 0.71 * h30 * share if sampled else None,
                "coverage80": 0.84 - 0.1 * share if sampled else None,
            }
            for h, share in ((5, 0.31), (20, 0.74), (30, 1.0))
        }
        test[method]["seconds"] = 3 + 100 * h30
        test[method]["flops"] = 2.3e12 if sampled else None
    test["auto_arima"] = {"note": "not installed: pip install loracast[baselines]"}
    by_stage = {"baseline": 2.3e12, "default": 4.1e13, "grid": 1.9e14, "context": 8.8e13}
    by_stage |= {"final": 3.6e14, "test": 6.9e12}
    content: dict[str, Any] = {
        "created": datetime(2025, 3, 14, 15, 9, tzinfo=UTC),
        "versions": {"loracast": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
        "seed": 0,
        "data": {
            "kind": "file",
            "path": "data/lotka_volterra_dev.h5",
            "sha256": "0f" * 32,
            "n_train": 800,
            "n_val": 100,
            "n_test": 0,
            "evaluated_on": "validation",
            "n_steps": 100,
            "channels": ["prey", "predator"],
            "context": 70,
        },
        "model": {
            "name": "embedded",
            "base_hash": "a1" * 32,
            "n_parameters": 2_812_416,
            "n_trainable": 98_304,
            "vocab_kept": 13,
            "codec": {"name": "compact", "digits": 3},
            "adapter": {"rank": 8, "alpha": 16, "targets": ["q_proj", "v_proj"]},
            "architecture": {"layers": 6, "hidden": 192, "heads": 6, "kv_heads": 2},
            "pretraining_flops": 1.4e15,
        },
        "budget": {
            "convention": "exact",
            "limit_flops": 1e15,
            "spent_flops": sum(by_stage.values()),
            "by_stage": by_stage,
            "by_kind": {"train": 5.9e14, "validate": 8.1e13, "generate": 1.72e13},
        },
        "stages": [
            {
                "name": name,
                "config": {"lr": 1e-3, "rank": 8},
                "train_loss": 1.1,
                "val_loss": 1.15,
                "metrics": {"h20": {"mae": 0.02}},
                "flops": flops,
                "seconds": 3e-13 * flops,
            }
            for name, flops in by_stage.items()
        ],
        "test": test,
        "verdict": make_verdict(test),
    }
    return StudyResult.model_validate(content | changes)


def made_up_curve(stage: str, label: str, n: int, floor: float, rng: Any) -> LossCurve:
    points = []
    for step in range(0, n + 1, 5):
        loss = floor + 1.1 * math.exp(-step / (0.18 * n))
        points.append(
            LossPoint(
                step=step,
                train_loss=loss + 0.05 * rng.normal(),
                val_loss=loss + 0.02 if step % (n // 10) == 0 else None,
                lr=1e-3,
            )
        )
    return LossCurve(stage=stage, label=label, points=tuple(points))


def made_up_data() -> ReportData:
    rng = np.random.default_rng(7)
    rates, ranks = (3e-4, 1e-3, 3e-3), (4, 8, 16)
    grid = [
        GridCell(
            lr=lr,
            rank=rank,
            val_mae=0.03 + 0.008 * abs(math.log10(lr / 1e-3)) + 0.02 / rank,
            val_loss=1.1 + 0.1 / rank,
            flops=2.1e13,
            chosen=(lr, rank) == (1e-3, 16),
        )
        for lr in rates
        for rank in ranks
    ]
    curves = [made_up_curve("default", "", 200, 1.2, rng)]
    curves += [
        made_up_curve("grid", f"lr {c.lr:g}, r {c.rank}", 100, 0.9 + 10 * (c.val_mae or 0), rng)
        for c in grid[::2]
    ]
    curves += [made_up_curve("final", "", 1000, 1.0, rng)]

    t = np.arange(-69, 31)
    examples = []
    for k, (regime, decay) in enumerate(
        {"oscillatory": 0.0, "decaying": 0.012, "growing": -0.012, "stable": 0.09}.items()
    ):
        wave = np.exp(-decay * (t + 69))[:, None] * np.sin(
            t[:, None] / (2.3 + 0.4 * k) + np.array([0.0, 1.4])
        )
        values = 1 + 0.35 * wave
        ahead = values[70:]
        width = 0.01 + 0.004 * np.arange(30)[:, None] * np.ones((1, 2))
        median = ahead + 0.4 * width * np.sin(np.arange(30))[:, None]
        examples.append(
            ExampleForecast(
                series_id=str(803 + 17 * k),
                regime=regime,
                channels=("prey", "predator"),
                context=values[:70].tolist(),
                truth=ahead.tolist(),
                median=median.tolist(),
                lo=(median - width).tolist(),
                hi=(median + width).tolist(),
            )
        )

    steps = tuple(range(0, 1000, 10))
    norms = {}
    for layer in range(6):
        for target in ("q_proj", "v_proj"):
            for part, scale in (("lora_A", 0.2), ("lora_B", 1.0)):
                values = scale * (0.1 + np.exp(-np.array(steps) / 300)) * rng.lognormal(0, 0.3, 100)
                values *= 1 + 0.2 * layer
                if part == "lora_A":
                    values[0] = 0
                norms[f"layers.{layer}.self_attn.{target}.{part}"] = tuple(values)

    ledger, now = [], 1_741_960_000.0
    for stage, kind, flops, n in (
        ("baseline", "generate", 2.3e12, 2),
        ("default", "train", 3.6e13, 8),
        ("default", "validate", 5e12, 2),
        ("grid", "train", 1.7e14, 20),
        ("grid", "validate", 2e13, 6),
        ("context", "train", 8e13, 9),
        ("context", "validate", 8e12, 3),
        ("final", "train", 3.2e14, 24),
        ("final", "validate", 4e13, 6),
        ("test", "generate", 6.9e12, 2),
    ):
        for _ in range(n):
            now += 3e-13 * flops * 2 / n + 1
            ledger.append(SpentBlock(time=now, stage=stage, kind=kind, flops=flops / n))
    return ReportData(
        loss_curves=tuple(curves),
        grid=tuple(grid),
        contexts=tuple(
            ContextRow(
                context=n,
                tokens=8 * n,
                val_mae=0.05 - 0.0004 * n,
                val_loss=1.3 - 0.002 * n,
                flops=4e11 * n,
                chosen=n == 70,
            )
            for n in (20, 40, 70)
        ),
        gradient_norms=(GradientNorms(stage="final", steps=steps, norms=norms),),
        examples=tuple(examples),
        running_error={
            m: tuple(2 * h30 * (k / 30) ** 0.8 * (1 + 0.1 * math.sin(k)) for k in range(1, 31))
            for m, h30 in H30.items()
        },
        series_mae={m: tuple(h30 * rng.lognormal(-0.3, 0.7, 100)) for m, h30 in H30.items()},
        ledger=tuple(ledger),
        recipe="# a recipe\nbudget: 1e15\nstages: [baseline, default, grid, context, final]\n",
        config={"budget": 1e15, "seed": 0},
    )


class Outline(HTMLParser):
    """What a browser would fetch, and whether tags close as they open."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "hr", "use", "path"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.svgs = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.svgs += tag == "svg"
        assert tag not in ("script", "link", "iframe", "object", "embed"), tag
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "srcset") and not (value or "").startswith(
                "#"
            ):
                self.fetched.append(f"{tag} {name}={value}")
            assert not name.startswith("on"), f"{tag} has a handler {name}"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids)), "an id occurs twice"
    return parser


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(made_up_result(), made_up_data())


def test_page_is_one_file_that_fetches_nothing(page: str) -> None:
    seen = outline(page)
    assert seen.fetched == []
    assert not re.search(r"@import|url\((?!#)", page)
    assert seen.svgs == 8
    assert "Not run" not in page


def test_every_reference_within_the_figures_has_its_target(page: str) -> None:
    wanted = set(re.findall(r'(?:href="#|url\(#)([\w-]+)', page))
    assert wanted
    assert wanted <= set(outline(page).ids)


def test_figures_are_valid_xml(page: str) -> None:
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ET.fromstring(svg)


def test_verdict_comes_before_any_table_or_figure(page: str) -> None:
    place = page.index("loses to 1 of the 7 methods compared")
    assert place < page.index("<table") < page.index("<svg")
    assert 'class="verdict lost"' in page


def test_best_of_each_column_is_marked_and_own_row_highlighted(page: str) -> None:
    table = page[page.index("<table") : page.index("</table>")]
    body = [re.findall(r"<t[dh].*?</t[dh]>", row, re.DOTALL) for row in table.split("<tr")[2:]]
    quadratic = next(row for row in body if "quadratic growth" in row[0])
    assert [c for row in body for c in row if " best" in c] == [
        c for c in quadratic if " best" in c
    ]
    for share, cell in zip((0.31, 0.74, 1), quadratic[1:4], strict=True):
        assert f">{format_value(0.0077 * share)}<" in cell
    order = [re.search(r'scope="row">([^<]+)', row[0])[1] for row in body]  # type: ignore[index]
    assert order[:3] == ["quadratic growth", "adapted", "global MLP"]
    assert order[-1] == "AutoARIMA"
    own = next(row for row in table.split("<tr")[2:] if ">adapted<" in row)
    assert own.startswith(' class="own"')


def test_a_table_of_a_stage_is_shown_whole_and_escaped(page: str) -> None:
    shown = Table(
        title="Tried <twice>",
        lead="As it was.",
        columns=(Column(title="Setting"), Column(title="MAE"), Column(title="Cost", unit="FLOPs")),
        rows=(("a & b", 0.01234, 2.5e12), ("c", math.nan, None)),
    )
    changed = made_up_data().model_copy(update={"tables": (shown,)})
    with_table = render_report(made_up_result(), changed)
    outline(with_table)
    section = with_table[with_table.index("<h2>Tried &lt;twice&gt;</h2>") :].partition("</table>")[
        0
    ]
    cells = [re.sub("<[^>]+>", "", c) for c in re.findall(r"<t[dh].*?</t[dh]>", section)]
    assert cells == ["Setting", "MAE", "Cost", "a &amp; b", "0.0123", "2.5 TFLOPs", "c", "–", "–"]
    assert "Tried" not in page
    with pytest.raises(ValueError, match="row of 1 cells; expected 2"):
        Table(title="t", columns=(Column(title="a"), Column(title="b")), rows=(("x",),))


def test_missing_parts_are_named_not_run() -> None:
    bare = made_up_result(
        test={}, stages=[], budget={"convention": "exact", "limit_flops": 0, "spent_flops": 0}
    )
    page = render_report(bare, ReportData())
    assert outline(page).svgs == 0
    # methods, examples, steps, series, stages' FLOPs, burn-down, losses, grid, context,
    # gradients, stages
    assert page.count("Not run.") == 11


def test_null_scores_and_diverged_runs_are_drawn_as_gaps() -> None:
    nan = math.nan
    data = ReportData(
        loss_curves=(
            LossCurve(stage="final", points=(LossPoint(step=1, train_loss=nan),)),
            LossCurve(stage="default", points=()),
        ),
        grid=(GridCell(lr=1e-3, rank=4, val_mae=nan), GridCell(lr=1e-2, rank=8)),
        gradient_norms=(GradientNorms(stage="final", steps=(1, 2), norms={"x.lora_A": (0, nan)}),),
        examples=(
            ExampleForecast(
                series_id="s", channels=("y",), context=((nan,), (1,)), median=((nan,),)
            ),
        ),
        running_error={"adapted": (nan, 0.0, 1.0), "naive": (nan, nan, nan)},
        series_mae={"adapted": (nan, 0.0), "naive": (1.0, nan)},
        ledger=(SpentBlock(time=0, stage="a", kind="train", flops=0),),
    )
    test = {"adapted": {"h5": {"mae": nan}}, "naive": {"h5": {"mae": 0.0}}}
    result = made_up_result(test=test, verdict=make_verdict(test))
    outline(render_report(result, data))


@pytest.mark.parametrize(
    ("maes", "losses", "caption", "shades"),
    [
        (
            (0.2, 0.1),
            (1, 2),
            "Validation MAE, the loss below it; darker is better.",
            ["1.0", "0.0"],
        ),
        (
            (0.2, None, 0.1),
            (1, 2, 3),
            "Validation MAE, the loss below it; darker is better, – where there is no value.",
            ["1.0", "1.0", "0.0"],
        ),
        ((None, None), (2, 1), "Validation loss; darker is better.", ["1.0", "0.0"]),
        ((0.1,), (1,), "Validation MAE, the loss below it.", ["1.0"]),
        ((None, None), (None, None), "Validation loss; – where there is no value.", ["1.0", "1.0"]),
    ],
)
def test_the_grid_claims_no_shade_that_it_does_not_have(
    maes: tuple[float | None, ...],
    losses: tuple[float | None, ...],
    caption: str,
    shades: list[str],
) -> None:
    grid = tuple(
        GridCell(lr=10.0**-i, rank=4, val_mae=mae, val_loss=loss)
        for i, (mae, loss) in enumerate(zip(maes, losses, strict=True))
    )
    page = render_report(made_up_result(), ReportData(grid=grid))
    assert caption in page
    assert ("darker is better" in page) == ("darker" in caption)
    assert re.findall(r"--shade: ([\d.]+)", page) == shades[::-1]  # by learning rate


def test_all_text_from_outside_is_escaped() -> None:
    evil = '<script>alert("$\\bad{$")</script>&'
    result = made_up_result(
        verdict=f"{evil}\n{evil}",
        versions={evil: evil},
        test={"adapted": {"h5": {"mae": 1.0}}, evil: {"h5": {"mae": 2.0}, "note": evil}},
        model={"name": evil, "codec": {evil: evil}, "adapter": {"x": [evil]}},
        details={evil: evil},
        stages=[{"name": evil, "note": evil, "config": {evil: evil}}],
        budget={
            "convention": evil,
            "limit_flops": 10,
            "spent_flops": 1,
            "by_stage": {evil: 1},
            "by_kind": {evil: 1},
        },
        data={
            "kind": "generated",
            "path": evil,
            "generator": {evil: evil},
            "sha256": "0" * 64,
            "n_train": 1,
            "n_val": 1,
            "n_test": 1,
            "evaluated_on": "test",
            "channels": [evil],
        },
    )
    data = ReportData(
        loss_curves=(
            LossCurve(stage=evil, label=evil, points=(LossPoint(step=0, val_loss=1),)),
            LossCurve(stage=evil, label=evil, points=(LossPoint(step=0, val_loss=1),)),
        ),
        examples=(
            ExampleForecast(
                series_id=evil, regime=evil, channels=(evil,), context=((1,),), median=((1,),)
            ),
        ),
        running_error={evil: (1.0, 2.0)},
        series_mae={evil: (1.0, 2.0)},
        gradient_norms=(GradientNorms(stage=evil, steps=(1, 2), norms={f"{evil}.lora_A": (1, 2)}),),
        ledger=(SpentBlock(time=0, stage=evil, kind=evil, flops=1),),
        value_unit=evil,
        recipe=evil,
        config={evil: evil},
    )
    page = render_report(result, data)
    outline(page)  # refuses script elements and event handlers
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 20


def test_names_outside_latin_are_no_obstacle() -> None:
    data = ReportData(running_error={"猎物": (1.0, 2.0)}, value_unit="μg · 個")
    assert "猎物" in render_report(made_up_result(), data)


def test_same_input_gives_the_same_bytes() -> None:
    data = ReportData(running_error={"adapted": (1.0, 2.0)}, series_mae={"naive": (1.0, 2.0)})
    assert len({render_report(made_up_result(), data) for _ in range(2)}) == 1


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    render_report(made_up_result(), ReportData())
    assert dict(mpl.rcParams) == before


def test_write_report_reads_the_folder(tmp_path: Path) -> None:
    write_result(made_up_result(), tmp_path / "result.json")
    assert write_report(tmp_path) == tmp_path / "report.html"
    without = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Not run." in without
    write_report_data(made_up_data(), tmp_path / "report_data.json")
    write_report(tmp_path)
    with_data = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Not run." not in with_data
    assert len(with_data) < 3_000_000


def test_write_report_says_what_is_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"result\.json: got no such file; expected"):
        write_report(tmp_path)
    write_result(made_up_result(), tmp_path / "result.json")
    (tmp_path / "report_data.json").write_text('{"schema_version": 1, "surprise": 2}')
    with pytest.raises(StorageError, match=r"report_data\.json: at surprise: Extra inputs"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (math.nan, "–"),
        (0, "0"),
        (0.00291234, "0.00291"),
        (0.00014321, "0.000143"),
        (0.2634, "0.2634"),
        (-3.14159, "-3.142"),
        (12.345, "12.35"),
        (123.45, "123.5"),
        (98765.4, "98,765"),
        (1.5e-7, "1.50e-07"),
        (2e9, "2.00e+09"),
    ],
)
def test_numbers_read_well(value: float | None, text: str) -> None:
    assert format_value(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 FLOPs"),
        (12, "12 FLOPs"),
        (1.234e14, "123 TFLOPs"),
        (9.999e14, "1 PFLOPs"),
        (1e17, "100 PFLOPs"),
        (1e25, "10,000 ZFLOPs"),
    ],
)
def test_amounts_carry_a_prefix(value: float | None, text: str) -> None:
    assert format_amount(value, "FLOPs") == text


def test_every_registered_method_and_metric_reaches_the_page_and_the_verdict() -> None:
    score = dict.fromkeys(METRICS, 0.1)
    test = {
        name: {"h5": score | {"mae": 1.0 + place}, "seconds": 1.0}
        for place, name in enumerate(METHODS)
    }
    page = render_report(made_up_result(test=test, verdict=make_verdict(test)), ReportData())
    table = page[page.index('<section id="methods">') : page.index('<section id="examples">')]
    verdict = page[: page.index('<section id="methods">')]
    for name, method in METHODS.items():
        assert f'<th scope="row">{method.label}<small>{method.hint}</small></th>' in table
        assert method.colour.lower() in table.lower(), name
        if name != "adapted":
            line = next(x for x in verdict.split("<li>") if f"beats {method.spoken} (MAE" in x)
            assert line.startswith(f"Against {method.group}: "), name
    assert "other methods" not in verdict
    for name, metric in METRICS.items():
        assert f'<th class="num">{metric.label}</th>' in table, name
        assert f"{metric.label} is {metric.meaning}" in unescape(table) or not metric.meaning
