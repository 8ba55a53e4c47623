"""A whole study on a tiny base: what it writes, how it resumes, how its budget ends it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from loracast.backbone import build_embedded, embedded_config
from loracast.errors import BudgetExceeded, ConfigError, DataError, StorageError
from loracast.forecasting import backtest_panel
from loracast.ledger import Ledger
from loracast.series import Panel, read_panel, write_hdf5
from loracast.studies import Recipe, load_recipe, plan_study, read_result, run_study
from loracast.training import Quiet


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    build_embedded(folder / "base", embedded_config(64, 1, 64), seed=3)
    rng = np.random.default_rng(0)
    turn = np.arange(40)[:, None] / 5 + np.array([0.0, 1.0])
    values = [2 + np.sin(turn + rng.uniform(0, 6)) * rng.uniform(0.3, 1) for _ in range(14)]
    panel = Panel(
        ids=tuple(range(14)),
        values=tuple(values),
        times=tuple(np.arange(40) for _ in values),
        channels=("prey", "predator"),
    )
    write_hdf5(panel, folder / "data.h5")
    return folder


def _recipe(home: Path, **update: object) -> Recipe:
    fields: dict[str, object] = {
        "budget": "1e12",
        "model": str(home / "base"),
        "data": {"path": str(home / "data.h5"), "train": 8, "validation": 3},
        "context": 25,
        "horizons": [2, 5],
        "samples": 3,
        "training": {
            "steps": 1,
            "batch_size": 4,
            "learning_rate": 1e-2,
            "eval_every": 3,
            "checkpoint_every": 2,
            "log_every": 1,
            "precision": "fp32",
        },
        "adapter": {"rank": 2, "alpha": 4},
        "default_steps": 3,
        "grid": {"steps": 3, "learning_rate": [1e-2, 3e-2], "rank": [2]},
        "contexts": {"steps": 3, "windows": [20]},
        "max_final_steps": 6,
        "baselines": ["naive", "seasonal_naive"],
    }
    return Recipe.model_validate(fields | update)


@pytest.fixture(scope="module")
def whole(home: Path) -> Path:
    run_study(_recipe(home), home / "whole")
    return home / "whole"


def test_it_writes_result_report_and_adapter(whole: Path) -> None:
    result = read_result(whole / "result.json")
    assert set(result.test) == {"zero_shot", "adapted", "random_start", "naive", "seasonal_naive"}
    names = [s.name for s in result.stages]
    assert names[:2] == ["zero_shot", "default"]
    assert [n.split(".")[0] for n in names].count("grid") == 2
    assert {"context.20", "context.30"} <= set(names)
    assert all(row.horizons[5].mae is not None for row in result.test.values())
    assert result.data.n_test == 3
    assert result.data.evaluated_on == "test"
    assert result.verdict
    assert "<html" in (whole / "report.html").read_text().lower()
    assert (whole / "adapter" / "adapter_model.safetensors").exists()
    assert (whole / "adapter" / "loracast.json").exists()


def test_every_flop_stands_in_the_ledger(whole: Path) -> None:
    result = read_result(whole / "result.json")
    with Ledger(whole / "ledger.sqlite") as ledger:
        assert ledger.reserved_flops == 0
        assert ledger.spent_flops == result.budget.spent_flops
        kinds = ledger.by_kind()
    assert set(kinds) == {"train", "validation", "generate"}
    assert sum(result.budget.by_stage.values()) == pytest.approx(result.budget.spent_flops)


class _Counted(Quiet):
    """What torch's counter has seen when each stage begins."""

    def __init__(self, counter: FlopCounterMode) -> None:
        self.counter, self.begun = counter, [("", 0)]

    def stage(self, name: str, total: int | None) -> None:
        del total
        # What a stage forecasts of the validation series is the stage's.
        self.begun.append((name.removesuffix(", validation"), self.counter.get_total_flops()))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_ledger_holds_what_torch_counts_stage_by_stage(
    home: Path, tmp_path: Path, optimizer: str
) -> None:
    """Forward, backward, update, validation and sampling of every stage, as they ran."""

    def attention(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop_count(q, k, v))

    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # torch has no price for it
    dials = _recipe(home).training.model_copy(update={"optimizer": optimizer})
    with FlopCounterMode(display=False, custom_mapping={fused: attention}) as counter:
        watcher = _Counted(counter)
        result = run_study(
            _recipe(home, training=dials.model_dump()), tmp_path / "counted", watcher
        )
    ends = [at for _, at in watcher.begun[1:]] + [counter.get_total_flops()]
    counted: dict[str, int] = {}
    for (name, at), end in zip(watcher.begun, ends, strict=True):
        if end > at:
            counted[name] = counted.get(name, 0) + end - at
    with Ledger(tmp_path / "counted" / "ledger.sqlite") as ledger:
        charged = ledger.by_stage()
    assert set(charged) == set(counted)
    assert {"zero_shot", "default", "final", "test", "random_start"} <= set(counted)
    for name, products in counted.items():
        # The counter knows products alone; norms, activations and updates by element come to
        # 2.5 to 4.2 % of this small model's.
        assert products < charged[name] < 1.06 * products, name
    assert result.budget.spent_flops == sum(charged.values())
    # A rival gets as many whole steps as the final stage paid for, validations included.
    final, rival = (
        next(s for s in result.stages if s.name == n) for n in ("final", "random_start")
    )
    steps = rival.config["training"]["steps"]  # type: ignore[index, call-overload]
    assert rival.flops <= final.flops < rival.flops * (steps + 2) / steps  # type: ignore[operator]


def test_the_mae_is_that_of_the_kept_forecast(whole: Path, home: Path) -> None:
    import h5py

    samples = np.load(whole / "stages" / "test" / "forecast.npy")
    with h5py.File(home / "data.h5") as file:
        truth = file["trajectories"][11:14, 25:30]
    expected = np.mean(np.abs(np.median(samples, axis=1) - truth))
    result = read_result(whole / "result.json")
    assert result.test["adapted"].horizons[5].mae == pytest.approx(expected, rel=1e-9)


def test_a_backtest_of_the_same_file_scores_its_test_series_only(whole: Path, home: Path) -> None:
    """As README shows it: the adapter knows which series trained, calibrated or chose it."""
    panel = read_panel(home / "data.h5")
    options = {"adapter": whole / "adapter", "context": 25, "horizon": 5, "methods": ["naive"]}
    found = backtest_panel(panel, **options)
    alone = backtest_panel(panel.select([11, 12, 13]), **options)
    assert found.facts["seen"]["n_seen"] == 11
    assert found.facts["n_series"] == 3
    assert found.rows["naive"]["h5"] == alone.rows["naive"]["h5"]
    assert "the 3 of 14 forecasts" in found.facts["notes"][0]


def test_run_again_changes_nothing_and_spends_nothing(whole: Path, home: Path) -> None:
    before = read_result(whole / "result.json")
    after = run_study(_recipe(home), whole)
    assert after.test == before.test
    assert after.budget.spent_flops == before.budget.spent_flops


def test_the_same_recipe_elsewhere_gives_the_same_adapter(whole: Path, home: Path) -> None:
    run_study(_recipe(home), home / "again")
    one, two = (f / "adapter" / "adapter_model.safetensors" for f in (whole, home / "again"))
    assert one.read_bytes() == two.read_bytes()


def test_a_budget_that_ends_in_the_grid_is_reported_and_can_be_raised(
    whole: Path, home: Path
) -> None:
    spent = read_result(whole / "result.json").budget.by_stage
    limit = spent["zero_shot"] + spent["default"] + 0.7 * spent["grid"]
    out = home / "short"
    result = run_study(_recipe(home, budget=f"{limit:.0f}"), out)
    assert "not finished" in result.verdict
    assert "grid" in result.verdict
    assert result.budget.spent_flops <= limit
    assert result.stages[-1].status == "stopped"
    assert "adapted" not in result.test
    assert (out / "report.html").exists()
    finished = run_study(_recipe(home), out)
    assert "not finished" not in finished.verdict
    whole_result = read_result(whole / "result.json")
    assert finished.test["adapted"].horizons == whole_result.test["adapted"].horizons
    assert finished.budget.spent_flops == whole_result.budget.spent_flops


class Killed(BaseException):
    """Stands for a process that ends at once."""


class _KilledIn:
    """Progress that ends the process at a step of a stage."""

    def __init__(self, name: str, step: int) -> None:
        self.name, self.left, self.now = name, step, ""

    def stage(self, name: str, total: int | None) -> None:
        del total
        self.now = name

    def advance(self, n: int, text: str = "") -> None:
        del text
        if self.now == self.name:
            self.left -= n
            if self.left <= 0:
                raise Killed


def test_a_killed_study_ends_with_the_same_adapter_and_pays_what_ran_twice(
    home: Path, tmp_path: Path
) -> None:
    """The final stage takes all that is left, so what runs twice cannot fit beside it."""
    update: dict[str, object] = {
        "grid": None,
        "contexts": None,
        "random_start": False,
        "max_final_steps": 10_000,
        "final_share": 1.0,
        "baselines": ["naive"],
    }
    first = run_study(_recipe(home, **update, budget="6e9"), tmp_path / "whole")
    final = next(s for s in first.stages if s.name == "final")
    steps = final.config["training"]["steps"]  # type: ignore[index, call-overload]
    assert 5 < steps < 100  # the budget decides
    assert first.budget.repeated_flops == 0

    out, recipe = tmp_path / "broken", _recipe(home, **update, budget="6e9")
    for name, step in (("zero_shot", 1), ("default", 3), ("final", 4)):
        with pytest.raises(Killed):
            run_study(recipe, out, _KilledIn(name, step))
    stopped = run_study(recipe, out)
    assert stopped.budget.spent_flops <= 6e9
    assert stopped.budget.repeated_flops > 0
    assert "not finished" in stopped.verdict
    assert "ran twice" in stopped.verdict
    assert "\n" not in stopped.verdict.splitlines()[0]

    done = run_study(_recipe(home, **update, budget="9e9"), out)
    assert "not finished" not in done.verdict
    assert done.budget.spent_flops > 6e9
    assert done.budget.spent_flops - done.budget.repeated_flops == first.budget.spent_flops
    one, two = (f / "adapter" / "adapter_model.safetensors" for f in (tmp_path / "whole", out))
    assert one.read_bytes() == two.read_bytes()
    assert done.test["adapted"].horizons == first.test["adapted"].horizons
    assert done.test["adapted"].flops == first.test["adapted"].flops

    # The steps of the final stage are decided once: a budget raised later does not change them,
    # where a study that had it from the start takes more.
    later = run_study(_recipe(home, **update, budget="2e10"), tmp_path / "whole")
    assert later.test["adapted"].horizons == first.test["adapted"].horizons
    start = run_study(_recipe(home, **update, budget="1e10"), tmp_path / "more")
    more = next(s for s in start.stages if s.name == "final")
    assert more.config["training"]["steps"] > steps  # type: ignore[index, call-overload, operator]


def test_a_budget_without_room_for_anything_is_refused(home: Path) -> None:
    with pytest.raises(BudgetExceeded):
        run_study(_recipe(home, budget="1000"), home / "none")


def test_a_folder_holds_one_study(whole: Path, home: Path) -> None:
    with pytest.raises(StorageError, match="another recipe, data or base"):
        run_study(_recipe(home, seed=5), whole)
    (home / "mine").mkdir()
    (home / "mine" / "notes.txt").write_text("kept")
    with pytest.raises(ConfigError, match="refusing to remove"):
        run_study(_recipe(home), home / "mine", fresh=True)
    assert (home / "mine" / "notes.txt").exists()


def test_series_too_short_are_named(home: Path) -> None:
    with pytest.raises(DataError, match="shorter than context"):
        run_study(_recipe(home, context=38), home / "long")


@pytest.mark.parametrize(
    ("total", "split"),
    [(1000, (800, 100)), (900, (800, 100)), (50, (40, 5)), (3, (2, 1)), (5000, (4000, 500))],
)
def test_the_default_split_keeps_the_published_places(total: int, split: tuple[int, int]) -> None:
    from loracast.studies._data import _default_split

    assert _default_split(total) == split


@pytest.mark.parametrize("name", ["study", "best", "digits"])
def test_a_shipped_recipe_asks_for_no_more_than_there_is(name: str, home: Path) -> None:
    """The final training and its rivals share what is left; capped or not, the plan fits."""
    recipe = load_recipe(name)
    assert recipe.final_share * (1 + len(recipe.rivals)) <= 1
    small = recipe.model_copy(
        update={
            "model": str(home / "base"),
            "data": recipe.data.model_copy(update={"generate": 30}),
            "samples": 2,
            "calibration_series": 2,
            "max_final_steps": 10_000,
        }
    )
    whole = plan_study(small.model_copy(update={"budget": "1e15"})).plan
    shared = sum(s.flops for s in whole.stages if s.name in ("final", *recipe.rivals))
    budget = f"{whole.total_flops - 0.9 * shared:.0f}"  # the shares are not capped
    for plan in plan_study(small.model_copy(update={"budget": budget})).plans.values():
        final = next(s for s in plan.stages if s.name == "final")
        assert 1 < final.steps < 10_000
        assert plan.fits, plan.shares()


def test_shipped_recipes_are_valid_and_unknown_ones_are_listed() -> None:
    assert load_recipe().model == "embedded"
    with pytest.raises(ConfigError, match="study"):
        load_recipe("nothing")


@pytest.mark.parametrize(
    ("text", "says"),
    [("budget: lots", "budget"), ("seeds: 3", "seeds"), ("[1, 2", "not valid"), ("3", "not valid")],
)
def test_a_broken_recipe_is_one_clear_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


def test_result_is_plain_json(whole: Path) -> None:
    text = (whole / "result.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["schema_version"] == 1
