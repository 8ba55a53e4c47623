"""An annotator's calibration is part of what its digests watch, and its numbers must make sense."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from loracast.annotation import Annotator
from loracast.errors import AdapterError

OURS, SETTINGS = "loracast.json", "annotator.json"


@pytest.fixture
def folder(annotator: tuple[Any, Path], tmp_path: Path) -> Path:
    shutil.copytree(annotator[1] / "adapter", tmp_path / "a")
    return tmp_path / "a"


def _change(path: Path, **update: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | update))


def _refusal(folder: Path) -> str:
    with pytest.raises(AdapterError) as caught:
        Annotator.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_temperature_than_was_measured_is_refused(folder: Path) -> None:
    Annotator.load(folder)
    found = json.loads((folder / SETTINGS).read_text())["temperatures"]
    _change(folder / SETTINGS, temperatures={k: v * 1.01 for k, v in found.items()})
    assert f"{SETTINGS} is not what was written" in _refusal(folder)


@pytest.mark.parametrize(
    ("update", "names"),
    [
        ({"temperatures": {"trend": float("nan")}}, "temperatures"),
        ({"temperatures": {"trend": 0.0}}, "temperatures"),
        ({"temperatures": {"trend": -1.0}}, "temperatures"),
        ({"scales": {"outliers": [float("inf"), 0.0]}}, "scales"),
        ({"max_points": 1}, "max_points"),
    ],
)
def test_impossible_numbers_are_refused_without_digests_too(
    folder: Path, update: dict[str, Any], names: str
) -> None:
    said = json.loads((folder / OURS).read_text())
    del said["files"], said["sha256"]
    (folder / OURS).write_text(json.dumps(said | {"format_version": 1}))
    _change(folder / SETTINGS, **update)
    assert names in _refusal(folder)
