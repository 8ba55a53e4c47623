"""`loracast flops` and `loracast ledger` as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loracast.cli import main
from loracast.ledger import Ledger

QWEN = "Qwen/Qwen2.5-0.5B-Instruct"


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main([*arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(
    ("context", "flops"), [("128", 1.8962e12), ("512", 8.0009e12), ("768", 1.2418e13)]
)
def test_the_published_step(capsys: pytest.CaptureFixture[str], context: str, flops: float) -> None:
    options = ["--convention", "mao2025", "--batch", "4", "--context", context, "--rank", "4"]
    found = _json(capsys, "flops", "--model", QWEN, *options, "--mode", "train")
    assert found["flops"] == pytest.approx(flops, rel=5e-5)


@pytest.mark.parametrize("mode", ["train", "validate", "prefill", "decode", "forecast"])
@pytest.mark.parametrize("convention", ["exact", "coursework", "mao2025"])
def test_components_add_up(capsys: pytest.CaptureFixture[str], mode: str, convention: str) -> None:
    found = _json(capsys, "flops", "--mode", mode, "--convention", convention, "--vocab", "13")
    components = found["components"]
    assert isinstance(components, dict)
    assert found["flops"] == pytest.approx(sum(components.values()), rel=1e-12)
    assert found["flops"] == found["matmul"] + found["elementwise"]  # type: ignore[operator]


def test_a_training_step_has_its_update(capsys: pytest.CaptureFixture[str]) -> None:
    """One LoRA step with Muon, from the 5 (4 s^2 l + 2 s^3) of each factor by hand."""
    options = ("flops", "--model", "embedded", "--rank", "4", "--targets", "q,v")
    found = {o: _json(capsys, *options, "--optimizer", o) for o in ("none", "adamw", "muon")}
    products = 2 * 192 + 192 + 64  # A and B of q, and of v: their long sides
    by_hand = 5 * 5 * (4 * 16 * products + 4 * 2 * 4**3)
    assert found["muon"]["matmul"] == found["none"]["matmul"] + by_hand  # type: ignore[operator]
    assert found["adamw"]["matmul"] == found["none"]["matmul"]
    assert found["adamw"]["update"] == {"optimizer.adamw": 14 * 5 * 4 * products}
    assert found["none"]["update"] == {}
    assert main(["flops", "--optimizer", "muon"]) == 0
    assert "optimizer.newton_schulz" in capsys.readouterr().out


def test_a_model_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 100}
    config |= {"num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 50}
    (tmp_path / "config.json").write_text(json.dumps(config))
    options = ("--rank", "0", "--mode", "prefill", "--batch", "1", "--context", "1")
    found = _json(capsys, "flops", "--model", str(tmp_path), *options)
    assert found["matmul"] == 2 * (2 * (4 * 64 * 64 + 3 * 64 * 100 + 2 * 64) + 64 * 50)


def test_the_tables_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flops", "--table", "mao2025"]) == 0
    text = capsys.readouterr().out
    assert "52,743" in text
    assert "11.158" in text
    assert main(["flops", "--table", "steps"]) == 0
    assert main(["flops"]) == 0
    assert "mlp.down_proj" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mode", "dream"], "expected one of train"),
        (["--model", "gpt-5"], "built-in"),
        (["--convention", "fung"], "expected one of"),
        (["--targets", "q,x"], "'x'"),
        (["--table", "miller"], "mao2025"),
        (["--optimizer", "sgd"], "adamw, muon"),
        (["--mode", "forecast", "--forced", "60"], "sampled"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["flops", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_ledger_commands(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite", 1e15) as ledger:
        with ledger.charge("final/train/0", 4e14, "final", "train"):
            pass
        ledger.reserve("final/train/1", 1e14, "final", "train")
    shown = _json(capsys, "ledger", "show", str(tmp_path))
    assert (shown["spent_flops"], shown["remaining_flops"]) == (4e14, 5e14)
    assert shown["by_stage"] == {"final": 4e14}
    assert main(["ledger", "show", str(tmp_path)]) == 0
    assert "reserved  final/train/1" in capsys.readouterr().out
    assert _json(capsys, "ledger", "verify", str(tmp_path))["sound"] is True
    assert shown["overdraft_flops"] == 0
    released = _json(capsys, "ledger", "release", str(tmp_path), "final/train/1")
    assert released["remaining_flops"] == 6e14
    assert main(["ledger", "release", str(tmp_path), "final/train/0"]) == 2
    assert main(["ledger", "show", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_the_ledger_shows_what_ran_twice_and_what_is_overdrawn(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with Ledger(tmp_path / "ledger.sqlite", 1e15) as ledger:
        for flops in (4e14, 4e14):
            with ledger.charge("final/train/0", 4e14, "final", "train") as charge:
                charge.flops = flops
        ledger.begin("test/generate", 1e14, "test", "generate")
        ledger.settle("test/generate", 3e14)
    shown = _json(capsys, "ledger", "show", str(tmp_path))
    assert (shown["spent_flops"], shown["overdraft_flops"]) == (1.1e15, 1e14)
    assert (shown["repeated_flops"], shown["n_rerun"]) == (4e14, 1)
    assert main(["ledger", "show", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "ran again after an interruption: 4.00e14" in text
    assert "overdrawn by 1.00e14" in text
    assert _json(capsys, "ledger", "verify", str(tmp_path))["sound"] is True


def test_the_room_imports_nothing_heavy() -> None:
    code = "import sys, loracast.flops, loracast.cli._flops, loracast.cli._ledger; "
    code += (
        "print([m for m in ('torch', 'transformers', 'sqlalchemy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
