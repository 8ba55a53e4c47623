"""The picture of the house: read from the imports, nothing over anything else."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "draw-house.py"


@pytest.fixture(scope="module")
def script() -> Any:
    if not SCRIPT.exists():
        pytest.skip("scripts/ not beside the tests")
    spec = importlib.util.spec_from_file_location("draw_house", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["draw_house"] = module  # its dataclasses look for themselves there
    spec.loader.exec_module(module)
    return module


def test_rooms_lines_and_imports_are_those_of_the_files(script: Any, tmp_path: Path) -> None:
    package = tmp_path / "loracast"
    files = {
        "errors.py": "x = 1\n",
        "__main__.py": "from loracast.cli import main\n",
        "flops/_a.py": "from loracast.errors import x\n",
        "ledger/_a.py": "def f():\n    from loracast.flops import a\n",
        "studies/_a.py": "from loracast.ledger import b\nfrom loracast.flops import a\n",
        "studies/_b.py": "from loracast.studies._a import b\n\n",
        "cli/_a.py": "from loracast import studies\nfrom loracast.flops import a\n",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    house = script.read_house(package)
    assert house.levels == [["flops"], ["ledger"], ["studies"], ["cli"]]
    assert house.lines("studies") == 4
    assert house.imports["cli"] == {"studies", "flops"}
    assert house.arrows() == [("cli", "studies"), ("ledger", "flops"), ("studies", "ledger")]
    table = script.sheet(house).splitlines()
    assert table[4].split("|")[1:5] == [" studies ", " 2 ", " 4 ", " flops, ledger "]
    assert table[-1].startswith("| all | 7 | 11 |")


def test_the_arrows_left_out_follow_from_those_drawn(script: Any) -> None:
    house = script.read_house()
    drawn: dict[str, set[str]] = {}
    for room, other in house.arrows():
        drawn.setdefault(room, set()).add(other)
    only = script.House(house.levels, house.modules, drawn)
    for room in house.imports:
        assert only.reached(room) == house.reached(room)
        assert house.imports[room] <= only.reached(room)


def test_nothing_overlaps_and_no_arrow_runs_through_a_room(script: Any) -> None:
    house = script.read_house()
    drawing = script.lay_out(house)
    level = {name: i for i, row in enumerate(drawing.rows) for name in row}
    assert {n for n in level if ">" not in n} == {r for row in house.levels for r in row}
    for row in drawing.rows:
        for a, b in itertools.pairwise(row):
            apart = drawing.centre[b] - drawing.centre[a]
            assert apart >= (drawing.width(a) + drawing.width(b)) / 2
    for (start, end), path in drawing.paths.items():
        assert (path[0], path[-1]) == (start, end)
        steps = [level[a] - level[b] for a, b in itertools.pairwise(path)]
        assert steps == [1] * (level[start] - level[end])  # a station on each level it passes


def test_the_picture_is_drawn(script: Any, tmp_path: Path) -> None:
    script.draw(script.read_house(), tmp_path / "house.svg")
    text = (tmp_path / "house.svg").read_text()
    assert text.count("<!-- forecasting -->") == 1
