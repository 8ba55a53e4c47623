"""A tiny random base and small frames; nothing here depends on what a model has learned."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture(scope="session")
def fitted(base: str, many: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory):
    """A forecaster fitted on `many` for a few steps, and the folder of its fit."""
    from loracast import Forecaster

    out = tmp_path_factory.mktemp("fit") / "out"
    forecaster = Forecaster.from_pretrained(base, seed=3, n_samples=9)
    forecaster.fit(many, budget=2e10, max_steps=4, out=out, training={"batch_size": 2})
    return forecaster, Path(out)
