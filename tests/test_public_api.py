"""The public face: short, sorted, importable, documented, and light."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest

import loracast

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "loracast"
ROOMS = sorted(p.parent.name for p in PACKAGE.glob("*/__init__.py"))


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest (ruff's RUF022)."""
    return 0 if name.isupper() else 1 if name[0].isupper() else 2, name


@pytest.mark.parametrize("room", ["loracast", *(f"loracast.{room}" for room in ROOMS)])
def test_all_is_sorted_importable_and_documented(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__doc__, f"{room} needs a docstring"
    names = list(module.__all__)
    assert names == sorted(set(names), key=_as_ruff_sorts), f"{room}.__all__ is not sorted"
    for name in names:
        value = getattr(module, name)
        if callable(value):
            assert value.__doc__, f"{room}.{name} needs a docstring"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_every_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{path.relative_to(ROOT)} needs a module docstring"


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Forcaster'"):
        _ = loracast.Forcaster  # type: ignore[attr-defined]


def test_dir_shows_the_lazy_names() -> None:
    assert set(loracast.__all__) <= set(dir(loracast))


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert project["version"] == loracast.__version__
    assert f"version: {loracast.__version__}\n" in citation
    assert re.search(rf"^## {re.escape(loracast.__version__)}\b", changelog, re.MULTILINE)


def test_constraints_pin_what_the_project_asks_for() -> None:
    """Each declared package has one exact version, and it lies within the declared bounds."""
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[name.lower().replace("_", "-")] = version
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(line for extra in extras for line in extra)]
    for requirement in map(Requirement, wanted):
        if requirement.name == "loracast":
            continue
        pin = pins[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(pin), f"{requirement} against {pin}"
