"""How the program starts and ends: light, one line for a mistake, the right exit code."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import loracast
from loracast.cli import _main, _output
from loracast.cli._progress import Watcher

HEAVY = ("torch", "transformers", "peft", "pandas", "numpy", "matplotlib", "sqlalchemy", "h5py")

GOES_ON = "interrupted; the same command goes on from what is whole"
STARTS_OVER = "interrupted; nothing of an unfinished run is kept, the same command starts over"


def process(*args: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loracast", *map(str, args)],
        text=True, capture_output="stdout" not in options, timeout=120, check=False, **options,
    )  # fmt: skip


def test_version(run: Any) -> None:
    assert run("--version").out == f"loracast {loracast.__version__}\n"


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, json; from loracast.cli import main; main(['--help']);"
        f"print('\\n' + json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, timeout=120, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert json.loads(found.stdout.splitlines()[-1]) == []
    for command in (
        "study", "plan", "forecast", "fit", "backtest", "flops", "ledger", "data", "pretrain",
        "adapters",
    ):  # fmt: skip
        assert command in found.stdout
    # Measured 0.25 s of CPU time; the bound leaves room for slow machines.
    assert seconds < 2.0


@pytest.mark.parametrize(
    "command",
    [(), ("study",), ("study", "run"), ("study", "report"), ("forecast",), ("fit",), ("backtest",),
     ("pretrain",), ("adapters",), ("adapters", "inspect"), ("adapters", "merge")],
)  # fmt: skip
def test_every_command_explains_itself(run: Any, command: tuple[str, ...]) -> None:
    outcome = run(*command, "--help")
    assert outcome.code == 0
    assert "Usage" in outcome.out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["divine"], "No such command 'divine'"),
        (["forecast"], "Missing argument 'FILE'"),
        (["--nonsense"], "--nonsense"),
        (["study", "report", "nowhere"], "nowhere"),
        (["study", "run", "no-such-recipe"], "no-such-recipe"),
        (["study", "run", "--budget", "plenty"], "got 'plenty'"),
        (["pretrain", "gone.yaml", "--out", "x"], "gone.yaml"),
    ],
)
def test_mistakes_are_one_line(run: Any, args: list[str], message: str) -> None:
    assert message in run(*args).message


def test_an_interrupt_is_one_line_and_130(
    run: Any, data: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("loracast.forecasting._digits.sample_paths", stop)
    outcome = run("forecast", data / "three.csv", "--horizon", 1, "--model", base)
    assert outcome.code == 130
    assert outcome.out == ""
    assert outcome.err.splitlines() == [STARTS_OVER]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("annotate a.csv --out fit.json", STARTS_OVER),
        ("annotations generate --out a.jsonl --teacher robust", STARTS_OVER),
        ("annotations generate --out a.jsonl --teacher openai --model m", GOES_ON),
        ("annotations generate --out a.jsonl --teacher=openai --model m", GOES_ON),
        ("annotations train --out a", GOES_ON),
        ("annotations evaluate train", STARTS_OVER),
        ("fit a.csv --out a", GOES_ON),
        ("pretrain tiny --out a", GOES_ON),
        ("study run", GOES_ON),
        ("study run --fresh", GOES_ON.replace("command", "command without --fresh")),
        ("study report out", STARTS_OVER),
        ("", STARTS_OVER),
    ],
)
def test_only_commands_that_go_on_say_so(
    run: Any, monkeypatch: pytest.MonkeyPatch, args: str, said: str
) -> None:
    def stop(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_main, "app", stop)
    assert run(*args.split()).err.splitlines() == [said]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "/x/y: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied"),
        (OSError("odd"), "odd"),
        (MemoryError(), "out of memory"),
    ],
)
def test_limits_of_the_machine_are_one_line(
    run: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, message: str
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise error

    monkeypatch.setattr(_main, "app", fail)
    assert message in run("anything").message


def test_a_bug_is_not_hidden(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(_main, "app", fail)
    with pytest.raises(ZeroDivisionError):
        run("anything")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_one_line(data: Path, base: str) -> None:
    with Path("/dev/full").open("w") as full:
        found = process(
            "forecast", data / "three.csv", "--horizon", 1, "--samples", 9, "--model", base,
            stdout=full, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert found.returncode == 2
    lines = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
    assert lines == ["error: No space left on device"]
    assert "Traceback" not in found.stderr


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        found = process("--version", stdout=pipe, stderr=subprocess.PIPE)
    assert found.returncode in (1, 141)  # typer's own, or ours
    assert found.stderr == ""


def test_a_file_size_limit_leaves_nothing_half_written(
    data: Path, base: str, tmp_path: Path
) -> None:
    """The real thing: the kernel refuses bytes in the middle of the file."""
    out = tmp_path / "out.csv"
    code = (
        "import resource, signal, sys; from loracast.cli import main;"
        "from loracast.cli import _output; whole = _output.write_whole;"
        "\ndef limited(path, write):"
        "\n    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
        "\n    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))"
        "\n    whole(path, write)"
        "\n_output.write_whole = limited"
        "\nsys.exit(main(sys.argv[1:]))"
    )
    args = ["forecast", data / "three.csv", "--horizon", "3", "--samples", "9", "--model", base]
    found = subprocess.run(
        [sys.executable, "-c", code, *map(str, args), "--out", str(out)],
        text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert found.returncode == 2
    assert "cannot be written (File too large)" in found.stderr
    assert "Traceback" not in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_json_has_no_nan() -> None:
    import numpy as np

    value = {
        "a": float("nan"),
        "b": [np.float64("inf"), np.int64(3), None, True],
        4: np.bool_(True),
    }
    assert _output.finite(value) == {"a": None, "b": [None, 3, None, True], "4": True}


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Stream:
    """Collects what is written; a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        self.text, self.terminal, self.encoding = "", terminal, "utf-8"

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


def test_progress_without_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, stream = Clock(), Stream(terminal=False)
    monkeypatch.setattr("loracast.cli._progress.time", clock)
    with Watcher(stream) as watcher:  # type: ignore[arg-type]
        watcher.stage("quick", 2)
        watcher.advance(2)
        watcher.stage("train", 100)
        for _ in range(50):
            clock.now += 0.5
            watcher.advance(1, "loss 2.0")
        watcher.stage("unknown", None)
        clock.now += 30
        watcher.advance(1)
    assert stream.text.splitlines() == [
        "train: 20/100  loss 2.0",
        "train: 40/100  loss 2.0",
        "train: done in 25 s",
        "unknown: 1",
        "unknown: done in 30 s",
    ]


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    from loracast.training import Progress

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    stream = Stream(terminal=True)
    with Watcher(stream) as watcher:  # type: ignore[arg-type]
        watcher.stage("reading", None)
        watcher.trained(Progress(8, 10, 1.234, 5678.0, 4.5e12))
        watcher.trained(Progress(9, 10, 1.2, 5678.0, 4.4e12))
    assert "9/10" in stream.text
    assert "loss 1.200" in stream.text
    assert "5,678 tokens/s" in stream.text
    assert "4.40e12 FLOPs left" in stream.text


def test_a_watcher_lets_errors_through() -> None:
    stream = Stream(terminal=False)
    with pytest.raises(KeyError), Watcher(stream) as watcher:  # type: ignore[arg-type]
        watcher.stage("doomed", 1)
        time.sleep(0)
        raise KeyError
    assert stream.text == ""
