"""A tiny random base and small frames; nothing here depends on what a model has learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an untrained Qwen2 of 2 layers, 64 wide."""
    from loracast.backbone import build_embedded, embedded_config

    folder = tmp_path_factory.mktemp("base") / "tiny"
    build_embedded(folder, embedded_config(64, 2, 128), seed=0)
    return str(folder)


def waves(n_series: int, n_steps: int = 40) -> pd.DataFrame:
    """Long frame of sine waves with their own periods and levels."""
    t = np.arange(n_steps)
    return pd.concat(
        [
            pd.DataFrame({"unique_id": f"s{i}", "ds": t, "y": i + np.sin(t / (2 + 0.3 * i))})
            for i in range(n_series)
        ],
        ignore_index=True,
    )


@pytest.fixture(scope="session")
def few() -> pd.DataFrame:
    """Three series of 40 steps."""
    return waves(3)


@pytest.fixture(scope="session")
def many() -> pd.DataFrame:
    """Twelve series of 40 steps."""
    return waves(12)


@pytest.fixture(scope="session")
def positive_panel():
    """Four series of two positive channels, 48 steps."""
    from loracast.series import Panel

    t = np.arange(48)
    values = tuple(
        np.stack([2 + np.sin(t / (3 + i)), 3 + np.cos(t / (3 + i))], axis=1) for i in range(4)
    )
    return Panel(("a", "b", "c", "d"), values, (t,) * 4, ("prey", "predator"))


@pytest.fixture(scope="session")
def fitted(base: str, many: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory):
    """A forecaster fitted on `many` for a few steps, and the folder of its fit."""
    from loracast import Forecaster

    out = tmp_path_factory.mktemp("fit") / "out"
    forecaster = Forecaster.from_pretrained(base, seed=3, n_samples=9)
    forecaster.fit(many, budget=2e10, max_steps=4, out=out, training={"batch_size": 2})
    return forecaster, Path(out)


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
    from loracast.api import Annotator

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
