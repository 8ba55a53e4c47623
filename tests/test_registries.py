"""A method, a metric, a codec and a convention are one object each, named in one table alone."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Collection
from pathlib import Path

import pytest

from loracast.codec import Codec
from loracast.evaluation import COMPARED, METHODS, METRICS
from loracast.flops import CONVENTIONS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "loracast"
CODECS = {"compact", "mao", "fung", "miller", "llmtime", "annotation", "continuous"}

# What a study compares unless its recipe says otherwise: a choice among the methods.
CHOICES = {"studies/_recipe.py"}


def tables_of(text: str, names: Collection[str]) -> list[tuple[int, list[str]]]:
    """(line, names) of every list, tuple, set or dictionary in which two of the names stand.

    The keys of a dictionary count, and not its values; an argument of a call does not.
    """
    found = []
    for node in ast.walk(ast.parse(text)):
        entries: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            entries = list(node.keys)
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            entries = list(node.elts)
        values = [e.value for e in entries if isinstance(e, ast.Constant)]
        named = [value for value in values if value in names]
        if len(named) > 1:
            found.append((node.lineno, named))
    return found


@pytest.mark.parametrize(
    ("names", "room"),
    [
        (METHODS, "evaluation"),
        (METRICS, "evaluation"),
        (CODECS, "codec"),
        (CONVENTIONS, "flops"),
    ],
    ids=["methods", "metrics", "codecs", "conventions"],
)
def test_no_other_room_keeps_a_table_of_names(names: Collection[str], room: str) -> None:
    found = {
        f"{where}:{line}": named
        for path in sorted(PACKAGE.rglob("*.py"))
        if (where := path.relative_to(PACKAGE).as_posix()).split("/")[0] != room
        and where not in CHOICES
        for line, named in tables_of(path.read_text(encoding="utf-8"), names)
    }
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        'LABELS = {"naive": "naive", "var5_log": "VAR(5)"}',
        'def f(m):\n    return m in ("zero_shot", "random_start")',
        'x: Literal["naive", "ode_fit"] = "naive"',
        'known = ["naive", *others, "global_mlp"]',
    ],
)
def test_a_planted_table_is_found(code: str) -> None:
    assert tables_of(code, METHODS)
    assert not tables_of('x = {"naive": 1}\ny = f("naive", "ode_fit")\nz = ["other"]', METHODS)


def test_all_that_is_said_of_a_method_is_on_it() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for name, method in METHODS.items():
        assert name == method.name
        assert re.fullmatch("[a-z][a-z0-9_]*", name)
        assert all((method.label, method.spoken, method.hint, method.group)), name
        assert re.fullmatch("#[0-9A-Fa-f]{6}", method.colour), name
        assert method.run is None or method.trained is None, name
        if method.needs.package:
            brought = [re.split("[<>=]", r)[0] for r in extras[method.needs.extra]]
            assert method.needs.package in brought, name
    for told in ("label", "spoken", "colour"):
        assert len({getattr(m, told) for m in METHODS.values()}) == len(METHODS), told
    assert [name for name in METHODS if name not in COMPARED] == [
        name for name, method in METHODS.items() if method.study_only
    ]


def test_all_that_is_said_of_a_metric_is_on_it() -> None:
    for name, metric in METRICS.items():
        assert name == metric.name
        assert re.fullmatch("[a-z][a-z0-9_]*", name)
        assert metric.label
        best = metric.best([0.1, 0.79, 5.0])
        expected = {"lower": 0.1, "higher": 5.0}.get(str(metric.better), 0.79)
        assert best == expected, name
        assert metric.best([]) is None
    assert len({m.label for m in METRICS.values()}) == len(METRICS)


def test_the_documentation_names_every_metric() -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [name for name in METRICS if f"`{name}`" not in text] == []


def test_the_codecs_named_here_are_those_there_are() -> None:
    kinds = list(Codec.__subclasses__())
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert {getattr(kind, "name", "") for kind in kinds} >= CODECS


RECIPES = {
    "codec": ("codec/_registry.py", "TextCodec"),
    "baseline": ("evaluation/_methods.py", "Method"),
    "metric": ("evaluation/_metrics.py", "Metric"),
    "FLOPs convention": ("flops/_conventions.py", "Convention"),
}


@pytest.mark.parametrize("thing", RECIPES)
def test_the_recipe_names_the_right_files(thing: str) -> None:
    """Every path is there, every name stands in the code, and the registry is named."""
    registry, kind = RECIPES[thing]
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split(f"## Add a {thing}\n")[1].split("\n## ")[0]
    quoted = re.findall("`([^`]+)`", section)
    paths = [name for name in quoted if "/" in name]
    for name in paths:
        path = ROOT / name
        assert (path.parent if path.name == "_mine.py" else path).exists(), name
    assert f"src/loracast/{registry}" in paths
    code = " ".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    names = [name for name in quoted if name.isidentifier()]
    assert kind in names
    assert [name for name in names if not re.search(rf"\b{name}\b", code)] == []
    assert "_LISTED" in (PACKAGE / registry).read_text()
    assert "_LISTED" in names
