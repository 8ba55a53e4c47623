"""A tiny untrained base, small files, and the program run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


@dataclass(frozen=True)
class Outcome:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one line of an error; fails when there is another number of lines."""
        assert self.code == 2, self
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), lines[0]
        return lines[0]


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `loracast` with the given arguments."""
    from loracast.cli import main

    def call(*args: object) -> Outcome:
        capsys.readouterr()
        code = main([str(a) for a in args])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with usable files: `monthly.csv`, `three.csv` and `pairs.h5`."""
    from loracast.series import Panel, write_hdf5

    folder = tmp_path_factory.mktemp("data")
    months = pd.date_range("2001-01-31", periods=30, freq="ME")
    t = np.arange(30)
    monthly = pd.DataFrame({"month": months, "sales": 10 + np.sin(t / 2)})
    monthly.to_csv(folder / "monthly.csv", index=False)
    three = [
        pd.DataFrame({"unique_id": f"s{i}", "ds": t, "y": i + np.cos(t / 3)}) for i in (1, 2, 3)
    ]
    pd.concat(three).to_csv(folder / "three.csv", index=False)
    t = np.arange(40)
    values = tuple(
        np.stack([2 + np.sin(t / (3 + i)), 3 + np.cos(t / (3 + i))], axis=1) for i in range(4)
    )
    write_hdf5(Panel((0, 1, 2, 3), values, (t,) * 4, ("prey", "predator")), folder / "pairs.h5")
    return folder
