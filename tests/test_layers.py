"""A room imports only earlier rooms; light rooms stay light; every import is declared.

The imports are read from the syntax tree, so those inside functions and `TYPE_CHECKING` blocks
count too: a type hint that needs a later room is a dependency on it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "loracast"

LEVELS = (
    ("series", "flops"),
    ("codec",),
    ("tasks", "evaluation", "backbone"),
    ("adapters",),
    ("training", "decoding"),
    ("api",),
    ("studies",),
    ("cli", "server"),
    ("__main__",),
)
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
FOR_ALL = {"errors"}  # modules that every room may import, and that import no room
LIGHT_ROOMS = {"series", "flops", "codec", "errors", "cli"}
HEAVY = {
    "llguidance",
    "openai",
    "pymannkendall",
    "ruptures",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "matplotlib",
    "statsforecast",
    "statsmodels",
}


def imports_of(path: Path, package: Path) -> Iterator[tuple[int, str, bool]]:
    """(line, dotted name, at module level at run time) of every import of a file.

    `from a.b import c` gives `a.b.c`, so that `from loracast import cli` is seen as well.
    """
    parts = (package.name, *path.relative_to(package).with_suffix("").parts)
    lazy: set[ast.AST] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if typing_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lazy.update(ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, node not in lazy
        elif isinstance(node, ast.ImportFrom):
            base = list(parts[: -node.level]) if node.level else []
            base += (node.module or "").split(".") if node.module else []
            for alias in node.names:
                yield node.lineno, ".".join([*base, alias.name]), node not in lazy
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("import_module")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, str(node.args[0].value), False


def files_of(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


def room_of(path: Path, package: Path) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


def layer_violations(package: Path) -> list[str]:
    """One line per import that goes to a later room, or sideways to one of the same level."""
    found = []
    for path in files_of(package):
        room = room_of(path, package)
        if room == "__init__":
            continue  # the package's face names what it offers, lazily
        where = path.relative_to(package.parent)
        if room not in LEVEL_OF and room not in FOR_ALL:
            found.append(f"{where}: no room of that name in the house order")
            continue
        for line, name, _ in imports_of(path, package):
            top, *rest = name.split(".")
            if top != package.name or not rest or rest[0] == room:
                continue
            target = rest[0]
            if target in FOR_ALL or target == "__version__":
                continue
            if target not in LEVEL_OF:
                found.append(f"{where}:{line}: imports {name}, which is in no room")
            elif room in FOR_ALL or LEVEL_OF[target] >= LEVEL_OF[room]:
                found.append(f"{where}:{line}: {room} imports {name}, a room that is not earlier")
    return found


def heavy_violations(package: Path) -> list[str]:
    """One line per heavy import at module level in a room that has to stay light."""
    return [
        f"{path.relative_to(package.parent)}:{line}: imports {name} at module level"
        for path in files_of(package)
        if room_of(path, package) in LIGHT_ROOMS | {"__init__"}
        for line, name, at_import in imports_of(path, package)
        if at_import and name.split(".")[0] in HEAVY
    ]


def test_rooms_import_only_earlier_rooms() -> None:
    assert layer_violations(PACKAGE) == []


def test_light_rooms_import_nothing_heavy() -> None:
    assert heavy_violations(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("series/_x.py", "from loracast.codec import make_codec"),
        ("series/_x.py", "import loracast.codec._base"),
        ("series/_x.py", "from loracast import training"),
        ("series/_x.py", "from ..codec import make_codec"),
        ("series/_x.py", "from .. import cli"),
        ("series/_x.py", "from loracast.flops import Ledger"),  # sideways
        ("codec/_x.py", "def f():\n    from loracast.backbone import load_backbone"),
        ("codec/_x.py", "if TYPE_CHECKING:\n    from loracast.studies import Recipe"),
        ("evaluation/_x.py", "import importlib\nimportlib.import_module('loracast.api')"),
        ("evaluation/_x.py", "try:\n    import loracast.decoding\nexcept ImportError:\n    raise"),
        ("api.py", "from loracast import Forecaster, studies"),
        ("errors.py", "from loracast.series import Panel"),
        ("helpers.py", "x = 1"),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, file: str, code: str) -> None:
    package = tmp_path / "loracast"
    path = package / file
    path.parent.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    path.write_text("from typing import TYPE_CHECKING\n" + code + "\n")
    assert layer_violations(package)
    path.write_text("import numpy as np\nfrom loracast.errors import LoracastError\n")
    assert bool(layer_violations(package)) == (file == "helpers.py")


def test_allowed_directions_pass(tmp_path: Path) -> None:
    package = tmp_path / "loracast"
    (package / "training").mkdir(parents=True)
    good = "from loracast import __version__\nfrom loracast.adapters import attach_lora\n"
    good += "from loracast.training._loop import step\nfrom . import _state\n"
    (package / "training" / "_x.py").write_text(good)
    assert layer_violations(package) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import torch", True),
        ("from torch import nn", True),
        ("class A:\n    import torch", True),
        ("def f():\n    import torch", False),
        ("if TYPE_CHECKING:\n    import torch", False),
    ],
)
def test_a_planted_heavy_import_is_found(tmp_path: Path, code: str, found: bool) -> None:
    package = tmp_path / "loracast"
    (package / "codec").mkdir(parents=True)
    (package / "codec" / "_x.py").write_text(f"from typing import TYPE_CHECKING\n{code}\n")
    assert bool(heavy_violations(package)) == found


@pytest.mark.parametrize("room", ["", ".errors", ".series", ".flops", ".codec", ".cli"])
def test_importing_a_light_room_loads_nothing_heavy(room: str) -> None:
    """The same at run time, so that what a light room imports is light as well."""
    code = (
        f"import sys, loracast{room}; print(sorted(set(sys.modules).intersection({sorted(HEAVY)})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_every_third_party_import_is_declared() -> None:
    """Core for what is imported with a module, core or an extra for what a function imports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=\[;~! ]", r)[0].lower().replace("_", "-") for r in requirements}

    core = names(project["dependencies"])
    extras = set().union(*map(names, project["optional-dependencies"].values()))
    distributions = packages_distributions()
    missing = []
    for path in files_of(PACKAGE):
        for line, name, at_import in imports_of(path, PACKAGE):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top == "loracast":
                continue
            providers = {d.lower().replace("_", "-") for d in distributions.get(top, [top])}
            if not providers & (core if at_import else core | extras):
                missing.append(f"{path.relative_to(ROOT)}:{line}: {top} is not declared")
    assert missing == []
