"""Figures followed from a real, tiny study's forecasts to the text of its page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loracast.backbone import build_embedded, embedded_config
from loracast.errors import ConfigError, DataError
from loracast.forecasting import Engine
from loracast.ledger import Ledger
from loracast.series import Panel, write_hdf5
from loracast.studies import Recipe, load_recipe, plan_study, read_result, run_study
from loracast.studies._data import load_data
from loracast.studies._drawing import format_amount, format_value

N_STEPS, CONTEXT, HORIZON = 34, 25, 5
N_TRAIN, N_VAL, N_TEST = 8, 5, 3


def write_waves(folder: Path, n: int) -> Path:
    rng = np.random.default_rng(0)
    turn = np.arange(N_STEPS)[:, None] / 5 + np.array([0.0, 1.0])
    values = [2 + np.sin(turn + rng.uniform(0, 6)) * rng.uniform(0.3, 1) for _ in range(n)]
    panel = Panel(
        ids=tuple(range(n)),
        values=tuple(values),
        times=tuple(np.arange(N_STEPS) for _ in values),
        channels=("prey", "predator"),
    )
    path = folder / "data.h5"
    write_hdf5(panel, path)
    return path


def a_recipe(folder: Path, **update: Any) -> Recipe:
    fields: dict[str, Any] = {
        "budget": "1e12",
        "model": str(folder / "base"),
        "data": {"path": str(folder / "data.h5"), "train": N_TRAIN, "validation": N_VAL},
        "context": CONTEXT,
        "horizons": [2, HORIZON],
        "samples": 9,  # the fewest of an 80 % band
        "training": {"steps": 1, "batch_size": 4, "learning_rate": 1e-2, "precision": "fp32"},
        "adapter": {"rank": 2, "alpha": 4},
        "default_steps": 2,
        "grid": {"steps": 4, "learning_rate": [1e-3, 2e-1], "rank": [2, 3]},
        "contexts": {"steps": 2, "windows": [20]},
        "validation_forecasts": {"series": 4, "samples": 3},
        "max_final_steps": 2,
        "baselines": ["naive", "seasonal_naive"],
    }
    return Recipe.model_validate(fields | update)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    build_embedded(folder / "base", embedded_config(64, 1, 64), seed=3)
    write_waves(folder, N_TRAIN + N_VAL + N_TEST)
    run_study(a_recipe(folder), folder / "out")
    return folder


class Tables(HTMLParser):
    """The text of every cell of every table, and the attributes of the cell."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[tuple[str, dict[str, str | None]]]]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(("", dict(attrs)))
            self.inside = True
        elif tag == "small" and self.inside:
            self.handle_data("|")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            text, attrs = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = (text + data.strip(), attrs)


def tables_of(page: str) -> list[list[list[tuple[str, dict[str, str | None]]]]]:
    parser = Tables()
    parser.feed(page)
    return parser.tables


def headed(page: str, *titles: str) -> list[dict[str, str]]:
    """The rows of the first table whose head holds these titles, title -> text."""
    for table in tables_of(page):
        head = [text for text, _ in table[0]]
        if all(title in head for title in titles):
            return [dict(zip(head, (t for t, _ in row), strict=True)) for row in table[1:]]
    raise AssertionError(f"no table with {titles}")


def page_of(home: Path) -> str:
    return (home / "out" / "report.html").read_text(encoding="utf-8")


def the_truth(home: Path) -> tuple[np.ndarray, np.ndarray]:
    """Contexts and truth of the test series, cut by hand."""
    import h5py

    with h5py.File(home / "data.h5") as file:
        values = np.asarray(file["trajectories"], dtype=np.float64)[N_TRAIN + N_VAL :]
    return values[:, :CONTEXT], values[:, CONTEXT : CONTEXT + HORIZON]


def test_every_metric_reaches_the_page_in_its_unit(home: Path) -> None:
    contexts, truth = the_truth(home)
    samples = np.load(home / "out" / "stages" / "test" / "forecast.npy")
    sums = dict.fromkeys(("mae", "mse", "mape", "mase", "crps"), 0.0)
    count, of_series = truth.size, np.zeros((N_TEST, 2))
    for n in range(N_TEST):
        for c in range(2):
            naive = np.mean([abs(contexts[n, t + 1, c] - contexts[n, t, c]) for t in range(24)])
            for h in range(HORIZON):
                draws, true = samples[n, :, h, c], truth[n, h, c]
                error = abs(float(np.median(draws)) - true)
                sums["mae"] += error / count
                sums["mse"] += error**2 / count
                sums["mape"] += 100 * error / abs(true) / count
                sums["mase"] += error / naive / count
                pairs = [abs(a - b) for i, a in enumerate(draws) for b in draws[:i]]
                fair = np.mean(abs(draws - true)) - np.mean(pairs) / 2
                sums["crps"] += fair / count
                of_series[n] += np.array([error, fair]) / (2 * HORIZON)
    result = read_result(home / "out" / "result.json")
    scores = result.test["adapted"].horizons[HORIZON]
    assert scores.coverage80 is not None
    page = page_of(home)
    rows = headed(page[page.index(f"<h3>{HORIZON} steps ahead</h3>") :], "MAPE", "CRPS")
    own = next(r for r in rows if r["Method"].startswith("adapted"))
    assert own == {
        "Method": "adapted",
        "MAE": format_value(sums["mae"]),
        "RMSE": format_value(sums["mse"] ** 0.5),
        "MSE": format_value(sums["mse"]),
        "MAPE": f"{format_value(sums['mape'])} %",
        "MASE": format_value(sums["mase"]),
        "CRPS": format_value(sums["crps"]),
        "MAE, median series": format_value(np.median(of_series[:, 0])),
        "CRPS, median series": format_value(np.median(of_series[:, 1])),
        "80 % coverage": f"{100 * scores.coverage80:.1f} %",
    }
    assert sums["mape"] < 100  # of values from 1 to 3; 100 times too large it would be above


def test_costs_reach_the_page_as_the_ledger_has_them(home: Path) -> None:
    page = page_of(home)
    with Ledger(home / "out" / "ledger.sqlite") as ledger:
        spent = ledger.by_stage()
        kinds = ledger.by_kind()
        total = ledger.spent_flops
    stages = {row["Stage"]: row for row in headed(page, "Stage", "Status")}
    for name in ("zero_shot", "default", "context.20", "final", "test", "random_start"):
        assert stages[name]["FLOPs"] == format_amount(spent[name], "FLOPs"), name
    assert stages["default"]["Val. MAE"] != "–"
    methods = {r["Method"].split("|")[0]: r for r in headed(page, "Method", "FLOPs to forecast")}
    assert methods["adapted"]["FLOPs to forecast"] == format_amount(spent["test"], "FLOPs")
    assert methods["naive"]["FLOPs to forecast"] == "–"
    by_kind = next(t for t in tables_of(page) if t[0][0][0] in kinds)
    assert {row[0][0]: row[1][0] for row in by_kind} == {
        kind: format_amount(flops, "FLOPs") for kind, flops in kinds.items()
    }
    shares = {row[0][0]: float(row[2][0].removesuffix(" %")) for row in by_kind}
    for kind, flops in kinds.items():
        assert shares[kind] == pytest.approx(100 * flops / total, abs=0.06)  # rounded to 0.1


def test_the_grid_shows_real_errors_and_shades_them(home: Path) -> None:
    page = page_of(home)
    result = read_result(home / "out" / "result.json")
    known = {s.name: s.val_mae for s in result.stages if s.name.startswith("grid.")}
    assert len(known) == 4
    assert all(known.values())
    grid = next(t for t in tables_of(page) if t[0][1][0].startswith("lr "))
    shades = {}
    for row in grid[1:]:
        for (rate, _), (text, attrs) in zip(grid[0][1:], row[1:], strict=True):
            name = f"grid.{rate.replace(' ', '=')},r={row[0][0].removeprefix('rank ')}"
            assert text.split("|")[0] == format_value(known[name])
            assert text.split("|")[1].startswith("loss ")
            shades[name] = float((attrs["style"] or "").removeprefix("--shade: "))
            assert (attrs.get("class") == "chosen") == (known[name] == min(known.values()))  # type: ignore[type-var]
    order = sorted(known, key=lambda n: known[n] or 0)
    assert [shades[n] for n in order] == pytest.approx([0, 0.333, 0.667, 1])
    assert (
        "Validation MAE, the loss below it; darker is better, the frame marks the choice." in page
    )
    assert "Chosen by validation MAE." in page
    assert "the median of 3 sampled paths of 4 validation series, 5 steps ahead" in page


def test_the_context_table_shows_real_errors(home: Path) -> None:
    result = read_result(home / "out" / "result.json")
    known = {s.name: s for s in result.stages if s.name.startswith("context.")}
    rows = headed(page_of(home), "Steps", "Val. MAE")
    assert [row["Steps"] for row in rows] == ["20", "30"]
    for row in rows:
        stage = known[f"context.{row['Steps']}"]
        assert row["Val. MAE"] == format_value(stage.val_mae) != "–"
        assert row["Val. loss"] == format_value(stage.val_loss)


def test_the_validation_mae_is_that_of_the_saved_model(home: Path) -> None:
    """The final adapter, loaded anew, forecasts the drawn series; a loop takes the error."""
    import h5py

    engine = Engine.load(home / "out" / "adapter", merge=False)
    with h5py.File(home / "data.h5") as file:
        values = np.asarray(file["trajectories"], dtype=np.float64)
    drawn = sorted(np.random.default_rng(0).choice(N_VAL, 4, replace=False))
    rows = [N_TRAIN + int(i) for i in drawn]
    samples = engine.sample(
        [values[i, :CONTEXT] for i in rows],
        [f"validation-{i}" for i in rows],
        HORIZON,
        samples=3,
        seed=0,
    )
    errors = [
        abs(float(np.median(samples[n, :, h, c])) - values[i, CONTEXT + h, c])
        for n, i in enumerate(rows)
        for h in range(HORIZON)
        for c in range(2)
    ]
    final = next(s for s in read_result(home / "out" / "result.json").stages if s.name == "final")
    # the same weights through another load: equal draws, unless a digit's chance lies on an edge
    assert final.val_mae == pytest.approx(np.mean(errors), rel=1e-6)


def test_validation_forecasts_are_charged_as_planned(home: Path) -> None:
    plan = plan_study(a_recipe(home)).plan
    planned = {stage.name: stage for stage in plan.stages}
    with Ledger(home / "out" / "ledger.sqlite") as ledger:
        spent = ledger.by_stage()
        entries = [e for e in ledger.entries() if e.key.startswith("default/generate/")]
    assert [e.kind for e in entries] == ["validation"]
    assert entries[0].settled_flops
    for name in ("default", "grid.lr=0.001,r=2", "context.20"):
        assert spent[name] == pytest.approx(planned[name].flops, rel=1e-6), name
    without = plan_study(a_recipe(home, select="val_loss", validation_forecasts=None)).plan
    less = next(s for s in without.stages if s.name == "default")
    assert planned["default"].flops - less.flops == pytest.approx(entries[0].settled_flops)


def test_a_budget_that_ends_at_a_validation_forecast_can_be_raised(home: Path) -> None:
    with Ledger(home / "out" / "ledger.sqlite") as ledger:
        entries = {e.key.rpartition("/")[0]: float(e.settled_flops or 0) for e in ledger.entries()}
        whole = ledger.by_stage()
    limit = whole["zero_shot"] + whole["default"] - 0.5 * entries["default/generate"]
    out = home / "short"
    stopped = run_study(a_recipe(home, budget=f"{limit:.0f}"), out)
    assert "not finished" in stopped.verdict
    assert "'default/generate/" in stopped.verdict
    assert "(validation)" in stopped.verdict
    assert 'class="verdict lost"' in (out / "report.html").read_text(encoding="utf-8")
    finished = run_study(a_recipe(home), out)
    first = read_result(home / "out" / "result.json")
    assert finished.test["adapted"].horizons == first.test["adapted"].horizons
    assert [s.val_mae for s in finished.stages] == [s.val_mae for s in first.stages]


def test_a_study_killed_after_a_validation_forecast_goes_on(home: Path) -> None:
    import shutil

    out = home / "killed"
    shutil.copytree(home / "out", out)
    (out / "stages" / "random_start" / "stage.json").unlink()  # its last act had not come
    before = read_result(out / "result.json")
    after = run_study(a_recipe(home), out)
    assert [(s.name, s.val_mae) for s in after.stages] == [
        (s.name, s.val_mae) for s in before.stages
    ]
    assert after.budget.repeated_flops > 0  # the forecast of the validation series
    assert after.budget.spent_flops == before.budget.spent_flops + after.budget.repeated_flops


def test_the_loss_can_choose_and_the_page_claims_no_mae_then(home: Path) -> None:
    recipe = a_recipe(
        home, select="val_loss", validation_forecasts=None, random_start=False, contexts=None
    )
    result = run_study(recipe, home / "by_loss")
    grid = {s.name: s.val_loss for s in result.stages if s.name.startswith("grid.")}
    chosen = result.details["chosen"]  # type: ignore[index]
    best = min(grid, key=lambda n: grid[n] or 0)
    assert best == f"grid.lr={chosen['learning_rate']:g},r={chosen['rank']}"  # type: ignore[call-overload,index]
    page = (home / "by_loss" / "report.html").read_text(encoding="utf-8")
    assert "Validation loss; darker is better, the frame marks the choice." in page
    assert "Chosen by validation loss." in page
    assert "Validation MAE" not in page
    shades = sorted(re.findall(r"--shade: ([\d.]+)", page))
    assert shades == ["0.0", "0.333", "0.667", "1.0"]


def test_choosing_by_what_is_not_measured_is_refused(home: Path) -> None:
    with pytest.raises(ValueError, match="val_mae without validation_forecasts"):
        a_recipe(home, validation_forecasts=None)
    path = home / "odd.yaml"
    path.write_text("training: {learning_rate: 0.1}\nselect: val_crps\n")
    with pytest.raises(ConfigError, match="select"):
        load_recipe(path)


def test_validation_series_too_short_to_forecast_are_said(tmp_path: Path) -> None:
    from loracast.studies._validation import validation_forecasts

    write_waves(tmp_path, 4)
    recipe = a_recipe(tmp_path, data={"path": str(tmp_path / "data.h5"), "train": 2})
    data = load_data(recipe)
    short = data.validation.steps(None, CONTEXT + 2)
    from dataclasses import replace

    with pytest.raises(DataError, match="no validation series of context \\+ horizon = 30 steps"):
        validation_forecasts(recipe, replace(data, validation=short))
    by_loss = recipe.model_copy(update={"select": "val_loss"})
    assert validation_forecasts(by_loss, replace(data, validation=short)) is None


def test_the_verdict_says_where_validation_series_were_scored(tmp_path: Path) -> None:
    build_embedded(tmp_path / "base", embedded_config(64, 1, 64), seed=3)
    write_waves(tmp_path, N_TRAIN + N_VAL)
    recipe = a_recipe(tmp_path, grid=None, contexts=None, random_start=False)
    result = run_study(recipe, tmp_path / "out")
    said = "Scored on the validation series, which also chose settings and checkpoint: the adapted"
    assert result.data.evaluated_on == "validation"
    assert result.verdict.splitlines()[0].startswith(said)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f'class="headline">{said}' in page


@pytest.mark.parametrize(
    ("part", "sizes"),
    [
        ({"train": 700, "validation": 100}, (700, 100, 100)),
        ({"train": 700}, (700, 100, 100)),
        ({}, (800, 100, 0)),
    ],
)
def test_a_split_that_chose_nothing_is_what_is_left(
    tmp_path: Path, part: dict[str, int], sizes: tuple[int, int, int]
) -> None:
    path = write_waves(tmp_path, 900)
    data = load_data(a_recipe(tmp_path, data={"path": str(path), **part}))
    assert (data.info.n_train, data.info.n_val, data.info.n_test) == sizes
    assert data.info.evaluated_on == ("test" if sizes[2] else "validation")
    assert [data.train.ids[0], data.validation.ids[0]] == [0, sizes[0]]
    assert data.keys == [str(i) for i in range(900 - 100, 900)]
