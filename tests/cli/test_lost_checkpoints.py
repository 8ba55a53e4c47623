"""`loracast fit` run again after its checkpoints were lost: said in a line, or refused in one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any


def test_a_fit_says_what_is_lost_and_gives_the_adapter_that_was_asked_for(
    run: Any, base: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "f"
    args = ["fit", data / "three.csv", "--out", out, "--max-steps", 4, "--model", base]
    args += ["--batch-size", 2, "--budget"]
    first = run(*args, "2e9")
    assert first.code == 0
    assert "warning" not in first.err
    weights = out / "adapter" / "adapter_model.safetensors"
    whole = weights.read_bytes()
    newest = max((out / "checkpoints").glob("step-*")) / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    again = run(*args, "2e9")
    assert again.code == 0
    told = [line for line in again.err.splitlines() if line.startswith("warning: ")]
    assert len(told) == 2
    assert "is damaged and passed over: weights.safetensors is not what was written" in told[0]
    assert "what is trained again is charged again" in told[1]
    assert "UserWarning" not in again.err and "_loop.py" not in again.err
    assert weights.read_bytes() == whole

    for _ in range(20):  # until the budget ends
        shutil.rmtree(out / "checkpoints")
        last = run(*args, "2e9")
        assert weights.read_bytes() == whole
        if last.code:
            break
    errors = [line for line in last.err.splitlines() if line.startswith("error: ")]
    assert last.code == 2
    assert len(errors) == 1
    assert "training from there again costs" in errors[0]
