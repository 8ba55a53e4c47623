#!/usr/bin/env python3
"""Draw the rooms of the house and who imports whom, as the code has it.

    scripts/draw-house.py [--out docs/house.png]     the picture
    scripts/draw-house.py --sheet                    a table of the rooms and their modules

Levels and imports are read by `tests/test_layers.py`. An arrow goes from a room to one that it
imports; one that follows from others is left out (cli imports studies and studies imports ledger:
none from cli to ledger). A layered drawing after Sugiyama, Tagawa and Toda (1981): a long arrow
has a lane of its own through each level that it passes, so it runs through no box.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BOX, LANE, GAP = 1.7, 0.3, 0.28  # widths of a room and of a lane, and the space between two
HIGH, STEP = 0.62, 1.3  # height of a room, and from one level to the next
COLOURS = {
    "kernel": "#dbe7f3",
    "products": "#fde3c8",
    "studies and doors": "#dfeedd",
}
PRODUCTS = {"forecasting", "annotation"}

Edge = tuple[str, str]


def layers() -> Any:
    """The module that reads the imports."""
    spec = importlib.util.spec_from_file_location("test_layers", ROOT / "tests/test_layers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class House:
    """Rooms by level, lowest first; lines of every module; who imports whom."""

    levels: list[list[str]]
    modules: dict[str, dict[str, int]]
    imports: dict[str, set[str]] = field(default_factory=dict)

    def lines(self, room: str) -> int:
        """Of a room's modules, together."""
        return sum(self.modules[room].values())

    def reached(self, room: str) -> set[str]:
        """What a room imports, and what that imports, and so on."""
        near = self.imports.get(room, set())
        return near.union(*(self.reached(other) for other in near))

    def arrows(self) -> list[Edge]:
        """The imports that do not follow from others."""
        return [
            (room, other)
            for room, near in sorted(self.imports.items())
            for other in sorted(near)
            if not any(other in self.reached(between) for between in near - {other})
        ]


def read_house(package: Path | None = None) -> House:
    """The house as its files are."""
    reader = layers()
    package = package or reader.PACKAGE
    modules: dict[str, dict[str, int]] = {}
    imports: dict[str, set[str]] = {}
    for path in reader.files_of(package):
        room = reader.room_of(path, package)
        name = str(path.relative_to(package))
        text = path.read_text(encoding="utf-8")
        modules.setdefault(room, {})[name] = text.count("\n")
        for _, dotted, _ in reader.imports_of(path, package):
            top, *rest = dotted.split(".")
            if top == package.name and rest and rest[0] in reader.LEVEL_OF and rest[0] != room:
                imports.setdefault(room, set()).add(rest[0])
    doors = {"__init__", "__main__"}
    levels = [[r for r in level if r in modules and r not in doors] for level in reader.LEVELS]
    rooms = {room for level in levels for room in level}
    return House(
        [level for level in levels if level],
        modules,
        {room: near & rooms for room, near in imports.items() if room in rooms},
    )


@dataclass
class Drawing:
    """Where everything stands: rooms and lanes by level, and each arrow's stations."""

    rows: list[list[str]]  # of each level, rooms and lanes from left to right
    centre: dict[str, float]
    paths: dict[Edge, list[str]]  # room, lanes, room

    def width(self, name: str) -> float:
        """Of a room or a lane."""
        return LANE if ">" in name else BOX


def lay_out(house: House) -> Drawing:
    """Lanes for long arrows, an order with few crossings, and places without overlap."""
    level_of = {room: i for i, level in enumerate(house.levels) for room in level}
    rows = [list(level) for level in house.levels]
    paths: dict[Edge, list[str]] = {}
    for start, end in house.arrows():
        between = range(level_of[start] - 1, level_of[end], -1)
        paths[start, end] = [start, *(f"{start}>{end}>{i}" for i in between), end]
        for i in between:
            rows[i].append(f"{start}>{end}>{i}")
    steps = [pair for path in paths.values() for pair in itertools.pairwise(path)]
    near: dict[str, list[str]] = {name: [] for row in rows for name in row}
    for a, b in steps:
        near[a].append(b)
        near[b].append(a)
    best, fewest = [list(row) for row in rows], _crossings(rows, steps)
    for sweep in range(60):  # each level follows the one below it, then the one above it
        shift = -1 if sweep % 2 == 0 else 1
        for i in range(len(rows))[::-shift]:
            if 0 <= i + shift < len(rows):
                rows[i] = _following(rows[i], rows[i + shift], near)
        rows = _swapped(rows, steps)
        if (count := _crossings(rows, steps)) < fewest:
            best, fewest = [list(row) for row in rows], count
    drawing = Drawing(best, {}, paths)
    _place(drawing, near)
    return drawing


def _following(row: list[str], other: list[str], near: dict[str, list[str]]) -> list[str]:
    """A row in the order of the means of its neighbours in another one."""
    place = {name: k / len(other) for k, name in enumerate(other)}
    means = {}
    for k, name in enumerate(row):
        beside = [place[o] for o in near[name] if o in place]
        means[name] = _mean(beside) if beside else k / len(row)
    return sorted(row, key=lambda name: (means[name], name))


def _crossings(rows: list[list[str]], steps: list[Edge]) -> int:
    place = {name: (i, k) for i, row in enumerate(rows) for k, name in enumerate(row)}
    total = 0
    for (a, b), (c, d) in itertools.combinations(steps, 2):
        if place[a][0] == place[c][0]:
            total += (place[a][1] - place[c][1]) * (place[b][1] - place[d][1]) < 0
    return total


def _swapped(rows: list[list[str]], steps: list[Edge]) -> list[list[str]]:
    """Neighbours change places wherever that leaves fewer crossings."""
    fewest = _crossings(rows, steps)
    for row in rows:
        for k in range(len(row) - 1):
            row[k], row[k + 1] = row[k + 1], row[k]
            count = _crossings(rows, steps)
            if count < fewest:
                fewest = count
            else:
                row[k], row[k + 1] = row[k + 1], row[k]
    return rows


def _place(drawing: Drawing, near: dict[str, list[str]]) -> None:
    """Everything as near below its neighbours as the order and the spaces between allow."""
    centre = drawing.centre
    for row in drawing.rows:
        for k, name in enumerate(row):
            centre[name] = k * (BOX + GAP) - len(row) * (BOX + GAP) / 2
    for _ in range(400):
        for row in drawing.rows:
            wanted = [
                sum(centre[o] for o in near[n]) / len(near[n]) if near[n] else centre[n]
                for n in row
            ]
            pairs = itertools.pairwise(row)
            spaces = [(drawing.width(a) + drawing.width(b)) / 2 + GAP for a, b in pairs]
            # The nearest places in this order (least squares under gaps): pool those that collide.
            offsets = list(itertools.accumulate(spaces, initial=0.0))
            pools: list[list[float]] = []
            for value, offset in zip(wanted, offsets, strict=True):
                pools.append([value - offset])
                while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
                    pools[-2:] = [pools[-2] + pools[-1]]
            shifts = [_mean(pool) for pool in pools for _ in pool]
            for name, shift, offset in zip(row, shifts, offsets, strict=True):
                centre[name] += 0.5 * (shift + offset - centre[name])
    for row in drawing.rows:  # the last halves may have left a little too little space
        for a, b in itertools.pairwise(row):
            least = centre[a] + (drawing.width(a) + drawing.width(b)) / 2 + GAP
            centre[b] = max(centre[b], least)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def draw(house: House, path: Path) -> None:
    """The picture, in the format of the path's suffix."""
    from matplotlib.figure import Figure

    drawing = lay_out(house)
    rows = drawing.rows
    left, right = min(drawing.centre.values()) - BOX, max(drawing.centre.values()) + BOX
    top = (len(rows) - 1) * STEP + HIGH
    figure = Figure(figsize=(0.78 * (right - left + 1), 0.78 * (top + 1.6)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left - 1, right), ylim=(-1.2, top + 0.4), aspect="equal")
    axes.axis("off")
    product = next(i for i, row in enumerate(rows) if PRODUCTS & set(row))
    starts = {"kernel": 0, "products": product, "studies and doors": product + 1}
    for name, first in starts.items():
        last = min((i for i in starts.values() if i > first), default=len(rows)) - 1
        low, high = first * STEP - 0.25 * STEP, last * STEP + HIGH + 0.15 * STEP
        axes.fill_between([left - 0.9, right - 0.1], low, high, color=COLOURS[name], alpha=0.35)
        axes.text(
            left - 0.65, (low + high) / 2, name, rotation=90, va="center", ha="center", size=10
        )  # fmt: skip
        for level in range(first, last + 1):
            for room in (n for n in rows[level] if ">" not in n):
                _draw_room(axes, drawing.centre[room], level * STEP, COLOURS[name], room, house)
    _draw_arrows(axes, drawing)
    total = sum(house.lines(room) for room in house.modules)
    shared = " and ".join(f"{r} ({house.lines(r)})" for r in ("errors", "files"))
    axes.text(
        left - 0.9, -0.5,
        f"{total:,} lines in {sum(map(len, house.modules.values()))} modules. An arrow goes from a "
        f"room to one that it imports; one that follows\nfrom others is left out. Open to all: "
        f"{shared}.",
        va="top", size=8.5, linespacing=1.4,
    )  # fmt: skip
    figure.savefig(path, dpi=100)


def _draw_room(axes: Any, x: float, y: float, colour: str, room: str, house: House) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner, size = (x - BOX / 2 + 0.06, y + 0.06), (BOX - 0.12, HIGH - 0.12)
    style = "round,pad=0.06"
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=style, ec="#33404d", fc=colour, zorder=3))
    middle = {"ha": "center", "va": "center", "zorder": 4}
    axes.text(x, y + 0.62 * HIGH, room, size=10.5, weight="bold", **middle)
    axes.text(x, y + 0.26 * HIGH, f"{house.lines(room):,} lines", size=8, **middle)


def _draw_arrows(axes: Any, drawing: Drawing) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    floor = {name: i * STEP for i, row in enumerate(drawing.rows) for name in row}
    ends = _ends(drawing)
    for (start, end), stations in drawing.paths.items():
        points, codes = [(ends[start, end, "from"], floor[start])], [Curve.MOVETO]
        for name in stations[1:]:
            across = ends[start, end, "to"] if name == end else drawing.centre[name]
            ceiling = floor[name] + HIGH
            x, half = points[-1][0], (points[-1][1] + ceiling) / 2
            points += [(x, half), (across, half), (across, ceiling)]
            codes += [Curve.CURVE4] * 3
            if name != end:
                points.append((across, floor[name]))
                codes.append(Curve.LINETO)
        axes.add_patch(
            FancyArrowPatch(
                path=Curve(points, codes), arrowstyle="-|>", mutation_scale=9, color="#55606b"
            )
        )


def _ends(drawing: Drawing) -> dict[tuple[str, str, str], float]:
    """Where each arrow leaves its room and meets the other, in the order of what is next."""
    out: dict[tuple[str, str, str], float] = {}
    for side in ("from", "to"):
        at: dict[str, list[tuple[float, Edge]]] = {}
        for edge, stations in drawing.paths.items():
            room, following = (
                (stations[0], stations[1]) if side == "from" else (stations[-1], stations[-2])
            )
            at.setdefault(room, []).append((drawing.centre[following], edge))
        for room, found in at.items():
            for k, (_, edge) in enumerate(sorted(found)):
                spread = 0.75 * BOX * ((k + 0.5) / len(found) - 0.5)
                out[*edge, side] = drawing.centre[room] + spread
    return out


def sheet(house: House) -> str:
    """A Markdown table: each room with its modules, lines and what it imports."""
    rows = ["| room | modules | lines | imports | longest modules |", "|---|---|---|---|---|"]
    order = [room for level in house.levels for room in level]
    order += sorted(set(house.modules) - set(order))
    for room in order:
        sizes = house.modules[room]
        longest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
        told = ", ".join(f"{Path(name).name} {count}" for name, count in longest)
        imports = ", ".join(sorted(house.imports.get(room, ()))) or "-"
        rows.append(f"| {room} | {len(sizes)} | {house.lines(room):,} | {imports} | {told} |")
    total = sum(house.lines(room) for room in order)
    rows.append(f"| all | {sum(map(len, house.modules.values()))} | {total:,} | | |")
    return "\n".join(rows)


def main() -> None:
    """Draws the picture, or prints the sheet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "house.png")
    parser.add_argument("--sheet", action="store_true", help="print the table instead")
    args = parser.parse_args()
    house = read_house()
    if args.sheet:
        print(sheet(house))
    else:
        draw(house, args.out)
        print(args.out)


if __name__ == "__main__":
    main()
