"""The package uses nothing that only some systems have, unless it says what is done elsewhere.

Linux on x86 and ARM and macOS are supported; on Windows nothing is assumed that is missing there.
"""

from __future__ import annotations

import ast
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from loracast.errors import ConfigError

SOURCE = Path(__file__).resolve().parent.parent / "src" / "loracast"
POSIX_ONLY = {
    "crypt",
    "fcntl",
    "grp",
    "posix",
    "pty",
    "pwd",
    "resource",
    "syslog",
    "termios",
    "tty",
}
POSIX_NAMES = {
    "os": {
        "fork", "forkpty", "getloadavg", "getuid", "geteuid", "killpg", "nice", "sched_getaffinity",
        "setsid", "statvfs", "sysconf", "uname", "wait", "waitpid",
    },
    "signal": {"SIGKILL", "SIGHUP", "SIGUSR1", "SIGALRM", "SIGPIPE", "alarm", "setitimer"},
}  # fmt: skip


def assumptions(tree: ast.Module) -> list[int]:
    """Lines that only work on POSIX systems and do not stand in a `try` that says otherwise."""
    guarded = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        and any("ImportError" in ast.unparse(h.type) for h in node.handlers if h.type)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found = []
    for node in ast.walk(tree):
        if node in guarded:
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if POSIX_ONLY & {name.split(".")[0] for name in names}:
            found.append(node.lineno)
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr in POSIX_NAMES.get(node.value.id, ())
        ):
            found.append(node.lineno)
        if isinstance(node, ast.Constant) and str(node.value).startswith(("/dev/", "/tmp")):
            found.append(node.lineno)
    return found


def test_no_module_assumes_one_system() -> None:
    for path in sorted(SOURCE.rglob("*.py")):
        assert assumptions(ast.parse(path.read_text("utf-8"))) == [], path
    sample = (
        "import os, fcntl\nos.fork()\nopen('/dev/full')\ntry:\n import pwd\nexcept ImportError: 1"
    )
    assert assumptions(ast.parse(sample)) == [1, 2, 3]


def test_a_folder_that_cannot_be_opened_is_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loracast.files import whole_folder, write_whole

    real = os.open

    def as_on_windows(path: Any, flags: int, *rest: Any) -> int:
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", as_on_windows)
    write_whole(tmp_path / "a", "x")
    with whole_folder(tmp_path / "b") as work:
        (work / "c").write_text("y")
    assert (tmp_path / "a").read_text() == "x"
    assert (tmp_path / "b" / "c").read_text() == "y"


def _without_amx(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "no private name":
        monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    elif how == "no torch.cpu":
        monkeypatch.delattr(torch, "cpu")
    else:

        def refuses() -> bool:
            raise RuntimeError("not built for this processor")

        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", refuses, raising=False)


@pytest.mark.parametrize("how", ["no private name", "no torch.cpu", "it raises"])
def test_a_torch_without_the_question_has_no_matrix_units(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    from loracast.training import bf16_pays, machine_facts, resolved_precision

    monkeypatch.delenv("LORACAST_PRECISION", raising=False)
    _without_amx(monkeypatch, how)
    assert not bf16_pays(torch.device("cpu"))
    assert resolved_precision("auto", torch.device("cpu")) == "fp32"
    assert machine_facts()["matrix_units"] is False


CPUINFO = {
    "x86": ("processor : 0\nmodel name : Brand X\n\nprocessor : 1\nmodel name : X\n", "Brand X"),
    "ARM": (
        "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd40\n",
        "implementer 0x41 part 0xd40",
    ),
    "a board": ("processor : 0\nCPU part : 0xd08\n\nModel : Raspberry Pi 4\n", "Raspberry Pi 4"),
    "says nothing": ("", "fallback"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CPUINFO)
def test_the_processor_is_named_on_linux(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    from loracast.training import machine_facts

    text, name = CPUINFO[kind]
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "processor", lambda: "fallback")
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert machine_facts()["cpu"] == name


@pytest.mark.parametrize("system", ["Linux", "Darwin", "Windows"])
def test_no_system_has_to_tell_anything(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    from loracast.training import machine_facts

    def gone(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(Path, "read_text", gone)
    monkeypatch.setattr(subprocess, "run", gone)
    monkeypatch.delattr(torch.backends.cpu, "get_cpu_capability")
    facts = machine_facts()
    assert (facts["system"], facts["cpu"], facts["capability"]) == (system, "", "")
    assert facts["threads"] == torch.get_num_threads()


def test_precision_is_forced_by_one_variable_and_only_where_nobody_chose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from loracast.training import resolved_precision

    cpu = torch.device("cpu")
    for amx in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx, raising=False)
        monkeypatch.delenv("LORACAST_PRECISION", raising=False)
        assert resolved_precision("auto", cpu) == ("bf16" if amx else "fp32")
        for forced in ("fp32", "bf16"):
            monkeypatch.setenv("LORACAST_PRECISION", forced)
            assert resolved_precision("auto", cpu) == forced
            assert resolved_precision("fp32", cpu) == "fp32"
            assert resolved_precision("bf16", cpu) == "bf16"
    monkeypatch.setenv("LORACAST_PRECISION", "fp64")
    with pytest.raises(ConfigError, match="got LORACAST_PRECISION='fp64'"):
        resolved_precision("auto", cpu)
