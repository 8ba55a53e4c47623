"""`loracast forecast --adapter` on a folder that is not what was written: one line, code 2."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def fit(base: str, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from loracast.cli import main

    out = tmp_path_factory.mktemp("fit") / "out"
    args = ["fit", data / "three.csv", "--out", out, "--budget", "1e10", "--max-steps", 2]
    assert main([str(a) for a in [*args, "--model", base, "--batch-size", 2]]) == 0
    return out


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 4
    path.write_bytes(content)


def _edit(path: Path, **update: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | update))


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a bit of a weight": (lambda f: _flip(f / "adapter_model.safetensors"), "not what was written"),
    "alpha": (lambda f: _edit(f / "adapter_config.json", lora_alpha=1), "not what was written"),
    "kind": (lambda f: _edit(f / "adapter_config.json", peft_type="IA3"), "not what was written"),
    "spread": (lambda f: _edit(f / "loracast.json", spread=[float("nan")]), "NaN"),
    "codec": (lambda f: _edit(f / "loracast.json", codec={"name": "mao"}), "its own sha256"),
    "weights gone": (lambda f: (f / "adapter_model.safetensors").unlink(), "holds no adapter_"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_adapter_forecasts_nothing(
    run: Any, fit: Path, data: Path, tmp_path: Path, damage: str
) -> None:
    shutil.copytree(fit / "adapter", tmp_path / "a")
    args = ["forecast", data / "three.csv", "--horizon", 2, "--samples", 9]
    change, says = DAMAGES[damage]
    change(tmp_path / "a")
    outcome = run(*args, "--adapter", tmp_path / "a")
    assert says in outcome.message
    assert outcome.out == ""


def test_a_whole_one_does(run: Any, fit: Path, data: Path) -> None:
    args = ["forecast", data / "three.csv", "--horizon", 2, "--samples", 9]
    assert run(*args, "--adapter", fit).code == 0
