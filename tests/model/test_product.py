"""A forecaster and an annotator behave alike: second fits, fits that fail, what is saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from loracast import Forecaster
from loracast.annotation import Annotator, describe_chunk
from loracast.errors import BudgetExceeded, ConfigError, ModelError, StorageError
from loracast.ledger import Ledger
from loracast.model import FitRecord

WEIGHTS = "adapter_model.safetensors"


class Killed(BaseException):
    """Stands for Ctrl-C."""


@dataclass(frozen=True)
class Kind:
    """One of the products, as these tests drive it."""

    open: Callable[..., Any]
    load: Callable[..., Any]
    data: tuple[Any, Any]
    ask: Callable[[Any], Any]


def _rows(seed: int) -> list[Any]:
    return list(describe_chunk(seed, 0, 4, lengths=(20, 30)))


def _annotate(made: Annotator) -> list[str]:
    said = made.annotate([r.values for r in _rows(9)])
    return [a.model_dump_json(exclude={"annotator"}) for a in said]


@pytest.fixture(params=["forecaster", "annotator"])
def kind(request: pytest.FixtureRequest, base: str, few: pd.DataFrame) -> Kind:
    if request.param == "annotator":
        return Kind(
            lambda **o: Annotator.from_pretrained(base, **o),
            Annotator.load,
            (_rows(1), _rows(2)),
            _annotate,
        )
    other = few.assign(y=50 + 9 * few.y)  # a codec with one scale for all must take it anew
    return Kind(
        lambda **o: Forecaster.from_pretrained(base, {"name": "mao", "signed": True}, **o),
        Forecaster.load,
        (few, other),
        lambda made: made.sample(3, few, n_samples=5).tolist(),
    )


def _fit(made: Any, data: Any, out: Path | None = None, **options: Any) -> Any:
    dials: dict[str, Any] = {"batch_size": 2, "learning_rate": 0.02}
    wanted = {"budget": 1e11, "max_steps": 2, "training": dials} | options
    return made.fit(data, out=out, **wanted)


def test_a_second_fit_starts_from_what_was_opened(kind: Kind, tmp_path: Path) -> None:
    once = _fit(kind.open(), kind.data[1], tmp_path / "once")
    twice = _fit(kind.open(), kind.data[0], tmp_path / "first")
    _fit(twice, kind.data[1], tmp_path / "second")
    bytes_of = {n: (tmp_path / n / "adapter" / WEIGHTS).read_bytes() for n in ("once", "second")}
    assert bytes_of["once"] == bytes_of["second"]
    assert kind.ask(once) == kind.ask(twice)
    _fit(twice, kind.data[1], adapter={"rank": 2})
    assert twice.engine.model.adapter.rank == 2


def test_a_loaded_one_can_be_fitted_any_number_of_times(kind: Kind, tmp_path: Path) -> None:
    _fit(kind.open(), kind.data[0], tmp_path / "first")
    once = _fit(kind.load(tmp_path / "first"), kind.data[1])
    twice = _fit(_fit(kind.load(tmp_path / "first"), kind.data[0]), kind.data[1])
    assert kind.ask(once) == kind.ask(twice)


@pytest.mark.parametrize(
    ("fitted", "how"),
    [(False, "refused"), (False, "unusable folder"), (False, "killed"), (True, "killed")],
)
def test_a_fit_that_fails_leaves_all_as_it_was(
    kind: Kind, tmp_path: Path, fitted: bool, how: str
) -> None:
    made = kind.open()
    if fitted:
        _fit(made, kind.data[0], tmp_path / "first")
    before, report = kind.ask(made), made.fit_report

    def kill(progress: Any) -> None:
        if progress.step == 2:
            raise Killed

    out = tmp_path / "out"
    if how == "refused":
        with pytest.raises(BudgetExceeded, match="one training step costs"):
            _fit(made, kind.data[1], out, budget=10)
        assert not out.exists()
    elif how == "killed":
        with pytest.raises(Killed):
            _fit(made, kind.data[1], out, progress=kill, max_steps=3)
        assert not (out / "adapter").exists()
    else:
        out.write_text("a file stands where the folder should be")
        with pytest.raises(StorageError):
            _fit(made, kind.data[1], out)
    assert made.fit_report is report
    assert kind.ask(made) == before
    if fitted:
        first = (tmp_path / "first" / "adapter" / WEIGHTS).read_bytes()
        assert (made.save(tmp_path / "saved") / WEIGHTS).read_bytes() == first
    else:
        with pytest.raises(ModelError, match="nothing to save: the base is as it came"):
            made.save(tmp_path / "saved")
    # And it can be fitted all the same.
    again, alone = _fit(made, kind.data[1]), _fit(kind.open(), kind.data[1])
    assert kind.ask(again) == kind.ask(alone)


def test_what_can_be_saved(kind: Kind, tmp_path: Path) -> None:
    made = kind.open()
    with pytest.raises(ModelError, match="call fit first") as caught:
        made.save(tmp_path / "nothing")
    assert "\n" not in str(caught.value)
    _fit(made, kind.data[0])
    folder = made.save(tmp_path / "mine")
    assert (made.save(folder) / WEIGHTS).is_file()  # the same again
    loaded = kind.load(folder)
    assert loaded.fit_report is None
    assert loaded.save(folder) == folder  # onto itself
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(StorageError):
        made.save(other)


def test_reports_stand_on_the_object_and_say_the_same_of_both(kind: Kind, tmp_path: Path) -> None:
    made = kind.open()
    assert made.fit_report is None
    _fit(made, kind.data[0], tmp_path / "out")
    report = made.fit_report
    assert isinstance(report, FitRecord)
    with Ledger(tmp_path / "out" / "ledger.sqlite") as ledger:
        assert ledger.spent_flops == report.flops <= report.limit_flops == 1e11
        assert ledger.by_kind()["train"] == pytest.approx(2 * report.step_flops, rel=0.2)
    assert report.repeated_flops == 0
    assert report.training.steps == report.config.steps == 2
    assert report.seconds > 0 and report.machine["cpu"]


def test_a_negative_seed_is_refused(kind: Kind) -> None:
    with pytest.raises(ConfigError, match="got seed -1; expected 0 or more"):
        kind.open(seed=-1)
