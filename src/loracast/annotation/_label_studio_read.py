"""From Label Studio: corrected labels of an export become facts again, to score or train on."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._label_studio import CHOICES, MARKS, NUMBERS, stamps
from loracast.annotation._records import AnnotatedSeries
from loracast.errors import AnnotationError

__all__ = ["read_label_studio"]


def read_label_studio(path: str | Path) -> list[AnnotatedSeries]:
    """The labelled series of a Label Studio JSON export of such a project.

    Of each task the last annotation that was not cancelled counts; tasks without one have not
    been looked at and are left out. The ends of a region are the nearest time steps.

    Raises:
        AnnotationError: a file that cannot be read, an unknown label, a missing or wrong value,
            with task, result and key; or no annotated task at all.
    """
    try:
        tasks = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise AnnotationError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(tasks, list):
        raise AnnotationError(f"{path}: got {type(tasks).__name__}; expected a list of tasks")
    if tasks and all(isinstance(t, dict) and "schema_version" in t for t in tasks):
        raise AnnotationError(
            f"{path}: got {len(tasks)} descriptions without their series, as `loracast annotate "
            "--format json` writes them; expected a Label Studio export or JSON lines with values "
            "and facts; write --format label-studio, correct it there and export"
        )
    found = []
    for number, task in enumerate(tasks):
        where = f"{path}, task {number}"
        done = [
            a
            for a in _get(task, "annotations", list, where, [])
            if not _get(a, "was_cancelled", bool, f"{where}, annotations", False)
        ]
        if done:
            found.append(_read_task(task, done[-1], where))
    if not found:
        raise AnnotationError(
            f"{path}: got {len(tasks)} tasks, none annotated; export after at least one was "
            "submitted"
        )
    return found


_REQUIRED: Any = object()


def _get(
    data: Any, key: str, kind: type | tuple[type, ...], where: str, default: Any = _REQUIRED
) -> Any:
    if not isinstance(data, dict):
        raise AnnotationError(f"{where}: got {type(data).__name__}; expected a JSON object")
    value = data.get(key, default)
    if value is _REQUIRED:
        raise AnnotationError(f"{where}: missing key {key!r}")
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise AnnotationError(f"{where}: key {key!r}: got {value!r:.60}; expected another type")
    return value


def _is_number(value: Any) -> bool:
    """A finite number that float64 can hold (a comparison with NaN is false)."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max
    )


class _Axis:
    """Positions of times as an export writes them."""

    def __init__(self, times: list[Any], where: str) -> None:
        self.text = any(isinstance(t, str) for t in times)
        self.where = where
        self.times = self._numbers(times, where)
        self.step = float(np.median(np.abs(np.diff(self.times)))) if len(times) > 1 else 1.0

    def _numbers(self, times: list[Any], where: str) -> np.ndarray:
        if self.text:
            return stamps(times, where).astype(np.int64).astype(np.float64)
        if not all(map(_is_number, times)):
            raise AnnotationError(f"{where}: got a time that is no number; expected all numbers")
        return np.array(times, dtype=np.float64)

    def position(self, value: dict[str, Any], key: str, where: str) -> int:
        given = _get(value, key, (int, float, str), where)
        if isinstance(given, str) and not self.text:
            raise AnnotationError(f"{where}: key {key!r}: got {given!r:.60}; expected a number")
        time = self._numbers([given], f"{where}: key {key!r}")[0]
        low, high = self.times.min() - self.step, self.times.max() + self.step
        if not low <= time <= high:
            raise AnnotationError(
                f"{where}: key {key!r}: got {given!r:.60}, which lies outside the series"
            )
        return int(np.abs(self.times - time).argmin())


def _read_task(task: dict[str, Any], annotation: Any, where: str) -> AnnotatedSeries:
    data = _get(task, "data", dict, where)
    series = _get(data, "ts", dict, f"{where}, data")
    times = _get(series, "time", list, f"{where}, data.ts")
    cells = _get(series, "value", list, f"{where}, data.ts")
    if not cells or len(cells) != len(times):
        raise AnnotationError(
            f"{where}, data.ts: got {len(times)} times and {len(cells)} values; expected as many, "
            "at least one"
        )
    if not all(c is None or _is_number(c) for c in cells):
        raise AnnotationError(f"{where}, data.ts: key 'value': expected numbers or null")
    values = np.array([np.nan if c is None else c for c in cells], dtype=np.float64)
    axis = _Axis(times, f"{where}, data.ts: key 'time'")
    facts = _read_results(_get(annotation, "result", list, where), values, axis, where)
    name = str(data.get("id", task.get("id", "")))
    if name.encode("utf-8", "replace").decode() != name:
        raise AnnotationError(f"{where}, data: key 'id': got {name!r:.60}; expected valid Unicode")
    return AnnotatedSeries(
        values=values,
        facts=facts,
        id=name,
        index=tuple(times),
        provenance={"format": "label-studio", "task": task.get("id")},
    )


def _read_results(results: list[Any], values: np.ndarray, axis: _Axis, where: str) -> SeriesFacts:
    facts, seen = SeriesFacts(len(values)), set()
    for number, result in enumerate(results):
        here = f"{where}, result {number}"
        kind = _get(result, "type", str, here)
        value = _get(result, "value", dict, here)
        inside = f"{here}, value"
        if kind in ("choices", "number"):
            name = _get(result, "from_name", str, here)
            if name not in (CHOICES if kind == "choices" else NUMBERS) or name in seen:
                raise AnnotationError(
                    f"{here}: key 'from_name': got {name!r:.60}; expected each of "
                    f"{' and '.join(CHOICES)} (choices) and {' and '.join(NUMBERS)} (number) at "
                    "most once"
                )
            seen.add(name)
            if kind == "number":
                given = _get(value, "number", (int, float), inside)
                facts = NUMBERS[name].read_number(facts, given, inside)
            else:
                label = _one(value, "choices", CHOICES[name].labels, inside)
                facts = CHOICES[name].put(facts, label)
        elif kind == "timeserieslabels":
            start, end = axis.position(value, "start", inside), axis.position(value, "end", inside)
            mark = _one(value, "timeserieslabels", tuple(MARKS), inside)
            field = MARKS[mark]
            if start != end and not field.spans:
                raise AnnotationError(
                    f"{inside}: got {mark!r} from {value['start']} to {value['end']}; "
                    "expected a single point, start = end"
                )
            facts = field.read_mark(facts, start, end, mark, values, inside)
        else:
            raise AnnotationError(
                f"{here}: key 'type': got {kind!r:.60}; expected timeserieslabels, choices "
                "or number"
            )
    return facts


def _one(value: dict[str, Any], key: str, known: Sequence[str], where: str) -> str:
    labels = _get(value, key, list, where)
    wrong = [label for label in labels if label not in known]
    if len(labels) != 1 or wrong:
        raise AnnotationError(
            f"{where}: key {key!r}: got {labels!r:.60}; expected one of {', '.join(known)}"
        )
    return str(labels[0])
