"""Numbers as numbers through the whole engine: fit, calibrate, save, load, merge, forecast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from loracast.adapters import AdapterConfig, merge_adapter, read_manifest
from loracast.backbone import build_embedded, embedded_config, load_backbone, numeric_head_of
from loracast.errors import AdapterError
from loracast.forecasting import Engine, FitPlan, Forecaster, calibrate_spread
from loracast.ledger import Ledger
from loracast.series import Panel
from loracast.training import TrainConfig

CODEC = {"name": "continuous", "transform": "log"}


def _panel(n: int, steps: int = 30) -> Panel:
    rng = np.random.default_rng(n)
    turn = np.arange(steps)[:, None] / 4 + np.array([0.0, 1.0])
    values = tuple(np.exp(np.sin(turn + rng.uniform(0, 6))) for _ in range(n))
    return Panel(
        ids=tuple(range(n)),
        values=values,
        times=tuple(np.arange(steps) for _ in range(n)),
        channels=("a", "b"),
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("base") / "tiny"
    build_embedded(folder, embedded_config(64, 1, 96), seed=0)
    return str(folder)


def _fitted(base: str, folder: Path, method: str) -> tuple[Engine, Ledger]:
    engine = Engine.open(base, CODEC)
    engine.model.attach(AdapterConfig(method=method, rank=4), 0)  # type: ignore[arg-type]
    ledger = Ledger(folder / "ledger.sqlite", 1e12)
    engine.fit(
        _panel(12),
        [],
        FitPlan(24, 3),
        TrainConfig(steps=6, batch_size=4, value_noise=0.02, eval_every=0),
        ledger=ledger,
        stage="fit",
        folder=folder / "checkpoints",
    )
    engine.backbone.model.eval()
    return engine, ledger


def _samples(engine: Engine) -> np.ndarray:
    contexts = [v[:20] for v in _panel(3).values]
    return engine.sample(contexts, ["a", "b", "c"], 6, samples=4, seed=1)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_saved_engine_forecasts_the_same_when_loaded(
    base: str, tmp_path: Path, method: str
) -> None:
    engine, ledger = _fitted(base, tmp_path, method)
    calibrate_spread(
        engine, _panel(20).values, 20, 6, samples=10, seed=0, ledger=ledger, stage="calibrate"
    )
    assert len(engine.spread) == 6
    assert ledger.by_stage()["calibrate"] > 0
    before = _samples(engine)
    assert before.shape == (3, 4, 6, 2)
    assert (before > 0).all()
    engine.save(tmp_path / "adapter", context_steps=20, n_channels=2)
    manifest = read_manifest(tmp_path / "adapter")
    assert manifest.values is not None
    assert manifest.spread == engine.spread
    loaded = Engine.load(tmp_path / "adapter")
    np.testing.assert_allclose(_samples(loaded), before, rtol=1e-4)
    beside = Engine.load(tmp_path / "adapter", merge=False)
    np.testing.assert_allclose(_samples(beside), before, rtol=1e-4)
    assert (beside.model.lora is None) == (method == "full")
    ledger.close()


def test_a_merged_folder_is_a_model_with_numbers(base: str, tmp_path: Path) -> None:
    engine, ledger = _fitted(base, tmp_path, "lora")
    engine.save(tmp_path / "adapter", context_steps=20, n_channels=2)
    merge_adapter(tmp_path / "adapter", tmp_path / "merged")
    assert numeric_head_of(load_backbone(str(tmp_path / "merged")).model) is not None
    merged = Engine.open(str(tmp_path / "merged"), CODEC)
    np.testing.assert_allclose(_samples(merged), _samples(engine), rtol=1e-4)
    ledger.close()


def test_an_adapter_without_its_interface_is_refused(base: str, tmp_path: Path) -> None:
    engine, ledger = _fitted(base, tmp_path, "lora")
    engine.save(tmp_path / "adapter", context_steps=20, n_channels=2)
    (tmp_path / "adapter" / "values.safetensors").unlink()
    with pytest.raises(AdapterError, match=r"values\.safetensors"):
        Engine.load(tmp_path / "adapter")
    ledger.close()


def test_the_forecast_costs_what_the_ledger_says(base: str, tmp_path: Path) -> None:
    engine = Engine.open(base, CODEC)
    contexts = [v[:20] for v in _panel(3).values]
    with Ledger(tmp_path / "ledger.sqlite", 1e12) as ledger:
        engine.sample(contexts, ["a", "b", "c"], 6, samples=4, seed=1, ledger=ledger)
        assert ledger.spent_flops == pytest.approx(engine.forecast_flops(contexts, 6, 4), rel=1e-9)


@pytest.mark.parametrize("n_series", [1, 12])
def test_a_forecaster_fits_gaps_and_negative_values(
    base: str, tmp_path: Path, n_series: int
) -> None:
    rng = np.random.default_rng(5)
    frame = pd.concat(
        [
            pd.DataFrame(
                {
                    "unique_id": f"s{i}",
                    "ds": np.arange(40),
                    "y": np.sin(np.arange(40) / 3 + i) + 0.1 * rng.normal(size=40),
                }
            )
            for i in range(n_series)
        ]
    )
    frame.loc[frame["ds"] == 7, "y"] = np.nan
    forecaster = Forecaster.from_pretrained(base, "continuous")
    forecaster.fit(frame, budget="1e10", max_steps=5)
    assert forecaster.fit_report is not None
    assert forecaster.fit_report.n_validation > 0
    assert forecaster.fit_report.training.best_val_loss is not None
    found = forecaster.predict(5, level=[80])
    assert np.isfinite(found[["loracast", "loracast-lo-80", "loracast-hi-80"]]).all().all()
    folder = forecaster.save(tmp_path / "mine")
    pd.testing.assert_frame_equal(
        Forecaster.load(folder).predict(5, frame=frame), found, check_exact=False, rtol=1e-4
    )


def test_numbers_are_the_default_where_the_model_takes_them(base: str, tmp_path: Path) -> None:
    assert Forecaster.from_pretrained("embedded").engine.codec.name == "continuous"
    assert Forecaster.from_pretrained(base).engine.codec.name == "compact"
