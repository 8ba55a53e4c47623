"""A room imports only earlier rooms, by their faces; light rooms stay light; imports are declared.

The imports are read from the syntax tree, so those inside functions and `TYPE_CHECKING` blocks
count too: a type hint that needs a later room is a dependency on it.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "loracast"

LEVELS = (
    ("series", "flops"),
    ("ledger", "codec", "synthetic", "evaluation"),
    ("backbone",),
    ("adapters",),
    ("training", "decoding"),
    ("model",),
    ("forecasting", "annotation"),  # the two products, which know nothing of each other
    ("pretraining", "studies"),
    ("cli", "server"),
    ("__main__",),
)
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
FOR_ALL = {"errors", "files"}  # modules that every room may import, and that import no room
LIGHT_ROOMS = {"series", "flops", "ledger", "codec", "synthetic", "errors", "files", "cli"}
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


def imports_of(path: Path, package: Path) -> tuple[tuple[int, str, bool], ...]:
    """(line, dotted name, at module level at run time) of every import of a file.

    `from a.b import c` gives `a.b.c`, so that `from loracast import cli` is seen as well.
    """
    inside = path.is_relative_to(package)
    parts = (package.name, *path.relative_to(package).with_suffix("").parts) if inside else ()
    return _imports(path.read_text(encoding="utf-8"), parts)


@functools.cache
def _imports(text: str, parts: tuple[str, ...]) -> tuple[tuple[int, str, bool], ...]:
    return tuple(_each_import(text, parts))


def _each_import(text: str, parts: tuple[str, ...]) -> Iterator[tuple[int, str, bool]]:
    lazy: set[ast.AST] = set()
    tree = ast.parse(text)
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


def face_violations(
    files: Iterable[Path], package: Path, owner: Callable[[Path], str]
) -> list[str]:
    """One line per import of another room's private module, or of a private name.

    Args:
        files: that are read.
        package: whose rooms they import.
        owner: of a file, the room that it belongs to.
    """
    found = []
    for path in files:
        for line, name, _ in imports_of(path, package):
            top, *rest = name.split(".")
            if top != package.name or len(rest) < 2 or rest[0] in ("__version__", owner(path)):
                continue
            if any(part.startswith("_") for part in rest[1:]):
                found.append(f"{path}:{line}: {name} is not on the face of {rest[0]}")
    return found


def circles(package: Path) -> list[str]:
    """The modules of a circle of imports; `from room import x` in a room itself is its face."""
    graph: dict[str, set[str]] = {}
    modules = {
        ".".join([package.name, *path.relative_to(package).with_suffix("").parts])
        for path in files_of(package)
    }
    for path in files_of(package):
        me = ".".join([package.name, *path.relative_to(package).with_suffix("").parts])
        for _, name, _ in imports_of(path, package):
            parts = name.split(".")
            while parts and ".".join(parts) not in modules:
                if ".".join([*parts, "__init__"]) in modules:
                    parts = [*parts, "__init__"]
                else:
                    parts = parts[:-1]
            if parts and len(parts) > 2 and path.name != "__main__.py":
                graph.setdefault(me, set()).add(".".join(parts))
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def unused_on_faces(package: Path, users: Iterable[Path]) -> list[str]:
    """Names that a room's face offers and nobody outside of the room imports."""
    used = set()
    for path in users:
        room = room_of(path, package) if path.is_relative_to(package) else ""
        used |= {name for _, name, _ in imports_of(path, package) if name.split(".")[1:2] != [room]}
    return [
        f"{face.parent.name}.{name}"
        for face in sorted(package.glob("*/__init__.py"))
        for name in _names_on(face)
        if f"{package.name}.{face.parent.name}.{name}" not in used
    ]


def _names_on(face: Path) -> list[str]:
    for node in ast.parse(face.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


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


def test_a_room_is_entered_by_its_face() -> None:
    inside = face_violations(files_of(PACKAGE), PACKAGE, lambda path: room_of(path, PACKAGE))
    assert inside == []


def test_tests_enter_only_the_room_they_mirror() -> None:
    def mirrored(path: Path) -> str:
        return path.relative_to(ROOT / "tests").parts[0]

    tests = [path for path in files_of(ROOT / "tests") if path != Path(__file__)]
    assert face_violations(tests, PACKAGE, mirrored) == []
    assert {path.parent.name for path in tests} - {"tests"} <= set(LEVEL_OF)


def test_scripts_and_benchmarks_enter_by_the_faces() -> None:
    files = [*files_of(ROOT / "scripts"), *files_of(ROOT / "benchmarks")]
    assert face_violations(files, PACKAGE, lambda path: "") == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(PACKAGE) == []


def test_faces_offer_what_somebody_uses() -> None:
    """Another room, its tests, a benchmark or a script; a room's own tests look inside."""
    folders = [ROOT / name for name in ("src", "benchmarks", "scripts")]
    users = [path for folder in folders for path in files_of(folder)]
    tests = {path: path.relative_to(ROOT / "tests").parts[0] for path in files_of(ROOT / "tests")}
    for room in sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")):
        others = [path for path, mirrored in tests.items() if mirrored != room]
        unused = [
            n for n in unused_on_faces(PACKAGE, [*users, *others]) if n.startswith(f"{room}.")
        ]
        assert unused == []


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
        ("series/_x.py", "from loracast.flops import LoraSpec"),  # sideways
        ("codec/_x.py", "def f():\n    from loracast.backbone import load_backbone"),
        ("codec/_x.py", "if TYPE_CHECKING:\n    from loracast.studies import Recipe"),
        ("evaluation/_x.py", "import importlib\nimportlib.import_module('loracast.model')"),
        ("forecasting/_x.py", "from loracast.annotation import Annotator"),  # sideways
        ("annotation/_x.py", "def f():\n    from loracast.forecasting import Forecaster"),
        ("model/_x.py", "from loracast.forecasting import Forecaster"),
        ("pretraining/_x.py", "from loracast.studies import Recipe"),
        ("evaluation/_x.py", "try:\n    import loracast.decoding\nexcept ImportError:\n    raise"),
        ("files.py", "from loracast import studies"),
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


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from loracast.series._panel import Panel", True),
        ("from loracast.series import _panel", True),
        ("import loracast.series._panel", True),
        ("if TYPE_CHECKING:\n    from loracast.series._panel import Panel", True),
        ("from ..series._panel import Panel", True),
        ("from loracast.series import Panel", False),
        ("from loracast.codec._base import Codec", False),
        ("from ._base import Codec", False),
    ],
)
def test_a_planted_side_door_is_found(tmp_path: Path, code: str, found: bool) -> None:
    package = tmp_path / "loracast"
    path = package / "codec" / "_x.py"
    path.parent.mkdir(parents=True)
    path.write_text(f"from typing import TYPE_CHECKING\n{code}\n")
    assert bool(face_violations([path], package, lambda p: room_of(p, package))) == found


@pytest.mark.parametrize(
    ("back", "found"),
    [
        ("from loracast.codec._a import f", True),
        ("def g():\n    from loracast.codec._a import f", True),
        ("if TYPE_CHECKING:\n    from loracast.codec._a import f", True),
        ("from . import _a", True),
        ("from loracast.codec import f", True),  # its own face, which imports it
        ("from loracast.series import Panel", False),
    ],
)
def test_a_planted_circle_is_found(tmp_path: Path, back: str, found: bool) -> None:
    package = tmp_path / "loracast"
    for room in ("codec", "series"):
        (package / room).mkdir(parents=True)
    (package / "series" / "__init__.py").write_text("class Panel: pass\n")
    (package / "codec" / "__init__.py").write_text("from loracast.codec._a import f\n")
    (package / "codec" / "_a.py").write_text("from loracast.codec._b import g\n")
    (package / "codec" / "_b.py").write_text(f"from typing import TYPE_CHECKING\n{back}\n")
    assert bool(circles(package)) == found


def test_a_name_nobody_imports_is_found_on_a_face(tmp_path: Path) -> None:
    package = tmp_path / "loracast"
    for room in ("codec", "series"):
        (package / room).mkdir(parents=True)
    (package / "series" / "__init__.py").write_text('__all__ = ["Panel", "Split"]\n')
    (package / "series" / "_x.py").write_text("from loracast.series import Split\n")
    (package / "codec" / "_x.py").write_text("from loracast.series import Panel\n")
    assert unused_on_faces(package, files_of(package)) == ["series.Split"]


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


@pytest.mark.parametrize(
    "room",
    ["", ".errors", ".files", ".series", ".flops", ".ledger", ".codec", ".synthetic", ".cli"],
)
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
