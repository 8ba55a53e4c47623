"""The global maximum and minimum: the region of each, its position and its value.

Where they lie is arithmetic, whatever a model says of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from loracast.annotation._facts import (
    EXTREMUM_REGIONS,
    UNKNOWN_INDEX,
    Extremum,
    SeriesFacts,
    region_of,
)
from loracast.annotation._field import Cell, LabelField, found_words, in_order, quoted
from loracast.annotation._languages import Language
from loracast.annotation._parts import Described, ExtremumPoint
from loracast.annotation._places import (
    moved,
    nearest_code,
    place_codes,
    read_place,
    require_inside,
    share_text,
    shares_pattern,
)
from loracast.errors import AnnotationError

__all__ = ["MAX", "MIN", "extrema_of", "placed", "with_values"]

DIGITS = 3  # exact up to 1,000 points
NEAR = 0.05  # of the length: an index within this counts as a hit

# With an index, and without.
_SAID = {
    "en": (
        "The global {name}{value} is {region} (index {index}).",
        "The global {name}{value} is {region}.",
    ),
    "fr": (
        "Le {name} global{value} se trouve {region} (indice {index}).",
        "Le {name} global{value} se trouve {region}.",
    ),
    "zh": (
        "全局{name}{value}位于序列{region}，索引为 {index}。",
        "全局{name}{value}位于序列{region}。",
    ),
}
# Of the published sentences.
_REGIONS = {
    "beginning": r"beginning|begin|start|early|initial(?:ly)?|first|onset|left",
    "middle": r"middle|mid|mid-?point|cent(?:re|er)|halfway|half-way",
    "end": r"end|late|later|final|last|right",
}
_KINDS = {"max": r"max(?:imum|ima)?|highest|peak|top", "min": r"min(?:imum|ima)?|lowest|trough"}


class _ExtremumField(LabelField):
    labels = EXTREMUM_REGIONS
    words = {
        "en": ("at the beginning", "in the middle", "at the end"),
        "fr": ("au début", "au milieu", "à la fin"),
        "zh": ("开头", "中间", "末尾"),
    }
    arithmetic = by_trend = True

    def __init__(self, name: str, called: Mapping[str, str]) -> None:
        self.name, self.called = name, called
        self.marks = (called["en"],)
        self.stated = rf"global {called['en']}.*? is (?:at|in) the (beginning|middle|end)(?=[. ])"

    def _of(self, facts: SeriesFacts | None) -> Extremum | None:
        found = () if facts is None else facts.extrema
        return next((e for e in found if e.kind == self.name), None)

    def _told(self, annotation: Described) -> ExtremumPoint | None:
        return next((e for e in annotation.extrema if e.kind == self.name), None)

    def label(self, facts: SeriesFacts) -> str | None:
        found = self._of(facts)
        return None if found is None else found.region

    def put(self, facts: SeriesFacts, label: str | None) -> SeriesFacts:
        if label is None:
            return replace(facts, extrema=tuple(e for e in facts.extrema if e.kind != self.name))
        return self._with(facts, Extremum(self.name, UNKNOWN_INDEX, float("nan"), label))

    def _with(self, facts: SeriesFacts, one: Extremum) -> SeriesFacts:
        others = (e for e in facts.extrema if e.kind != self.name)
        return replace(facts, extrema=tuple(sorted([*others, one], key=lambda e: e.kind)))

    def fill(self, facts: SeriesFacts, rules: SeriesFacts) -> SeriesFacts:
        own = self._of(rules)
        return facts if own is None or self.known(facts) else self._with(facts, own)

    def stretch(self, facts: SeriesFacts, old: int, values: np.ndarray | None) -> SeriesFacts:
        found, length = self._of(facts), facts.length
        if found is None or found.index == UNKNOWN_INDEX:
            return facts
        at = moved(found.index, old, length)
        tries = (at + move for move in (0, 1, -1, 2, -2))
        inside = (i for i in tries if 0 <= i < length and region_of(i, length) == found.region)
        index = next(inside, at)
        value = found.value if values is None else float(values[index])
        return self._with(facts, Extremum(self.name, index, value, region_of(index, length)))

    def write(self, facts: SeriesFacts, places: bool) -> str:
        found, name = [e for e in facts.extrema if e.kind == self.name], self.name
        if len(found) != 1:
            raise AnnotationError(f"got {len(found)} extrema of kind {name!r}; expected 1")
        index, length, region = found[0].index, facts.length, found[0].region
        label = quoted(region, EXTREMUM_REGIONS, name)
        if not places:
            return f"[{label}]"
        if index == UNKNOWN_INDEX:
            raise AnnotationError(
                f"{name}: got a region without a place; write it with places=False"
            )
        require_inside(index, length)
        if region_of(index, length) != region:
            raise AnnotationError(
                f"{name}: got index {index} of {length} called {label}; that index lies in the "
                f"{region_of(index, length)}"
            )
        return f"[{label},{share_text(nearest_code(index, length, DIGITS, region), DIGITS)}]"

    def grammar(self, length: int, places: bool) -> str:
        if not places:
            return rf"\[{super().grammar(length, places)}\]"
        codes, base, options = place_codes(length, DIGITS), 10**DIGITS, []
        for region in EXTREMUM_REGIONS:
            inside = [c for c in codes if region_of(c * length // base, length) == region]
            if inside:
                options.append(f'"{region}",{shares_pattern(inside, DIGITS)}')
        return rf"\[({'|'.join(options)})\]"

    def read(self, value: Any, facts: SeriesFacts) -> SeriesFacts:
        name, length = self.name, facts.length
        if not isinstance(value, list) or len(value) not in (1, 2):
            raise AnnotationError(f'{name}: got {value!r:.60}; expected ["region", share]')
        region, *share = value
        quoted(region, EXTREMUM_REGIONS, name)
        if not share:
            return self.put(facts, region)
        index = read_place(share[0], length, name)
        if region_of(index, length) != region:
            raise AnnotationError(
                f"{name}: got {region!r} and the share {share[0]}, which is index {index} of "
                f"{length} and lies in the {region_of(index, length)}"
            )
        return self._with(facts, Extremum(name, index, float("nan"), region))

    def sentence_labels(self, sentences: Mapping[str, str]) -> tuple[str, ...]:
        text = sentences["extrema"]
        kinds, regions = found_words(_KINDS, text), found_words(_REGIONS, text)
        if not kinds or not regions:
            return ()
        if regions[0][0] < kinds[0][0]:  # "at the start lies the maximum"
            starts = [0, *(end for _, end, _ in kinds)]
            spans = [(a, b[0]) for a, b in zip(starts, kinds, strict=False)]
        else:
            ends = [start for start, _, _ in kinds[1:]] + [len(text)]
            spans = [(a[1], b) for a, b in zip(kinds, ends, strict=True)]
        told = [in_order([r[2] for r in regions if a <= r[0] < b]) for a, b in spans]
        # "maximum and minimum are both at the end": the first has the region of the next
        own = [i for i, (_, _, kind) in enumerate(kinds) if kind == self.name]
        return next((labels for i in own for labels in told[i:] if labels), ())

    def scores(
        self, truth: Sequence[SeriesFacts], answers: Sequence[SeriesFacts | None]
    ) -> dict[str, Any]:
        errors: list[float] = []
        n = 0
        for fact, answer in zip(truth, answers, strict=True):
            true, given = self._of(fact), self._of(answer)
            if true is None or true.index < 0:
                continue
            n += 1
            if given is not None and given.index >= 0:
                errors.append(abs(given.index - true.index) / fact.length)
        return {
            "index": {
                "n": n,
                "answered": len(errors),
                "mean_error": float(np.mean(errors)) if errors else None,
                "hit_rate": sum(error <= NEAR for error in errors) / n if n else None,
            }
        }

    def told(self, annotation: Described) -> bool:
        return self._told(annotation) is not None

    def columns(self, annotation: Described) -> dict[str, Cell]:
        point = self._told(annotation)
        names = ("region", "index", "value")
        return {f"{self.name}_{name}": getattr(point, name, None) for name in names}

    def prose(self, annotation: Described, words: Language) -> str | None:
        point, unit, value = self._told(annotation), annotation.value_unit, ""
        if point is None:
            return None
        if point.value is not None:
            number = words.number(point.value)
            value = words.value.format(value=f"{number} {unit}" if unit else number)
        placed, plain = _SAID[words.code]
        return (plain if point.index is None else placed).format(
            name=self.called[words.code],
            value=value,
            region=self.word(point.region, words),
            index=point.index,
        )

    def marked(self, facts: SeriesFacts) -> list[tuple[int, int, str]]:
        found = self._of(facts)
        if found is None or found.index == UNKNOWN_INDEX:  # known by its region alone
            return []
        return [(found.index, found.index, self.marks[0])]

    def read_mark(
        self, facts: SeriesFacts, start: int, end: int, mark: str, values: np.ndarray, where: str
    ) -> SeriesFacts:
        if self.known(facts):
            raise AnnotationError(f"{where}: got a second {mark}; expected one")
        region = region_of(start, facts.length)
        return self._with(facts, Extremum(self.name, start, float(values[start]), region))


MAX = _ExtremumField("max", {"en": "maximum", "fr": "maximum", "zh": "最大值"})
MIN = _ExtremumField("min", {"en": "minimum", "fr": "minimum", "zh": "最小值"})


def extrema_of(values: np.ndarray) -> tuple[Extremum, Extremum]:
    """The global maximum and minimum of a series: its first highest and first lowest known point.

    Args:
        values: (T,) numbers, NaN where missing, at least one of them known.
    """
    x = np.asarray(values, dtype=np.float64)
    highest, lowest = int(np.nanargmax(x)), int(np.nanargmin(x))
    return (
        Extremum("max", highest, float(x[highest]), region_of(highest, len(x))),
        Extremum("min", lowest, float(x[lowest]), region_of(lowest, len(x))),
    )


def with_values(facts: SeriesFacts, values: np.ndarray) -> SeriesFacts:
    """The facts with each extremum's value read from the series at its index.

    Args:
        facts: of a series of T points.
        values: (T,) its numbers; a missing one gives NaN.

    Raises:
        AnnotationError: another number of values.
    """
    if np.shape(values) != (facts.length,):
        raise AnnotationError(f"got values of shape {np.shape(values)}; expected ({facts.length},)")
    extrema = tuple(
        e if e.index == UNKNOWN_INDEX else replace(e, value=float(values[e.index]))
        for e in facts.extrema
    )
    return replace(facts, extrema=extrema)


def placed(facts: SeriesFacts, values: np.ndarray) -> SeriesFacts:
    """The facts with each extremum at its region's own extremum, whatever place they had.

    The first highest (lowest) observed point there: that is the place which the words mean, and
    it takes arithmetic, no judgement.

    Args:
        facts: of a series of T points.
        values: (T,) its numbers, NaN where missing.

    Raises:
        AnnotationError: a region without an observed point.
    """
    x = np.asarray(values, dtype=np.float64)
    regions = np.array([region_of(k, len(x)) for k in range(len(x))])

    def place(e: Extremum) -> Extremum:
        inside = np.flatnonzero((regions == e.region) & ~np.isnan(x))
        if not len(inside):
            raise AnnotationError(
                f"{e.kind}: got {e.region!r} of a series of {len(x)} points, which has no known "
                "point there"
            )
        best = np.argmax if e.kind == "max" else np.argmin
        index = int(inside[best(x[inside])])
        return replace(e, index=index, value=float(x[index]))

    return replace(facts, extrema=tuple(place(e) for e in facts.extrema))
