"""To Label Studio: a labeling configuration, and annotations as predictions to correct.

The series itself travels in the task (`valueType="json"`), so that an export is enough to train
on. A place is a region with start = end, in the time column's own values; trend, noise and period
of the whole series are two choices and a number beside it. After labelstud.io/guide/task_format
and the tags TimeSeries, TimeSeriesLabels, Choices and Number. Each region has an id of its own:
without, only the last one is drawn (HumanSignal/label-studio#2843).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loracast.annotation._fields import FIELDS, LABELLED, VALUED
from loracast.annotation._records import AnnotatedSeries
from loracast.annotation._schema import Annotation
from loracast.errors import AnnotationError

__all__ = [
    "CHOICES",
    "MARKS",
    "NUMBERS",
    "label_studio_config",
    "label_studio_task",
    "stamps",
    "write_label_studio",
]

# The label of a region -> its field; those of single points first.
_BY_SPANS = sorted(FIELDS.values(), key=lambda field: field.spans)
MARKS = {mark: field for field in _BY_SPANS for mark in field.marks}
# The name of a control for the whole series -> its field.
CHOICES = {field.name: field for field in LABELLED.values() if not field.marks}
NUMBERS = {field.control: field for field in VALUED.values() if field.control}
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%L"  # of d3, which draws the axis


def label_studio_config(timestamps: bool = False) -> str:
    """The labeling configuration (XML) of a project that the tasks are imported into.

    Args:
        timestamps: whether the time column holds timestamps rather than numbers.
    """
    time = f' timeFormat="{_TIME_FORMAT}"' if timestamps else ""
    labels = "".join(f'\n    <Label value="{label}"/>' for label in MARKS)
    choices = "".join(
        f'\n  <Choices name="{name}" toName="ts">'
        + "".join(f'\n    <Choice value="{label}"/>' for label in field.labels)
        + "\n  </Choices>"
        for name, field in CHOICES.items()
    )
    numbers = "".join(f'\n  <Number name="{name}" toName="ts" min="0"/>' for name in NUMBERS)
    return (
        f'<View>\n  <TimeSeriesLabels name="label" toName="ts">{labels}\n  </TimeSeriesLabels>\n'
        f'  <TimeSeries name="ts" valueType="json" value="$ts" timeColumn="time"{time}>\n'
        f'    <Channel column="value"/>\n  </TimeSeries>{choices}{numbers}\n</View>\n'
    )


def label_studio_task(record: AnnotatedSeries) -> dict[str, Any]:
    """One task with its prediction, as JSON values.

    Args:
        record: the series, its index and its annotation (made from its facts where there is none).

    Raises:
        AnnotationError: an infinity, text in the index that is no timestamp, or timestamps that
            are the same to the millisecond, which is as fine as Label Studio's axis goes.
    """
    values = np.asarray(record.values, dtype=np.float64)
    if np.isinf(values).any():
        raise AnnotationError(
            f"series {record.id!r}: got an infinite value; expected finite numbers, or NaN where "
            "missing"
        )
    times = _shown_times(record)
    annotation = record.annotation or Annotation.from_facts(record.facts, record.index)
    facts = annotation.facts()
    results: list[dict[str, Any]] = []

    def add(from_name: str, kind: str, value: dict[str, Any], field: str) -> None:
        result: dict[str, Any] = {
            "id": f"r{len(results)}",
            "from_name": from_name,
            "to_name": "ts",
            "type": kind,
            "value": value,
        }
        # The confidence of a list is not that of each of its marks.
        if field in annotation.confidence and not (kind == "timeserieslabels" and field in VALUED):
            result["score"] = annotation.confidence[field]
        results.append(result)

    for field in dict.fromkeys(MARKS.values()):
        for start, end, mark in field.marked(facts):
            span = {"start": times[start], "end": times[end], "instant": start == end}
            add("label", "timeserieslabels", {**span, "timeserieslabels": [mark]}, field.name)
    for name, chosen in CHOICES.items():
        label = chosen.label(facts)
        if label is not None:
            add(name, "choices", {"choices": [label]}, chosen.name)
    for name, counted in NUMBERS.items():
        number = counted.number(facts)
        if number is not None:
            add(name, "number", {"number": number}, counted.name)
    prediction: dict[str, Any] = {"model_version": "loracast", "result": results}
    if annotation.confidence:
        prediction["score"] = min(annotation.confidence.values())
    shown = [None if np.isnan(v) else float(v) for v in values]
    return {
        "data": {"id": record.id, "ts": {"time": times, "value": shown}},
        "predictions": [prediction],
    }


def _shown_times(record: AnnotatedSeries) -> list[int | float | str]:
    if record.index is None:
        return list(range(len(record.values)))
    if not any(isinstance(v, str) for v in record.index):
        return list(record.index)
    where = f"series {record.id!r}: index"
    times = stamps(record.index, where)
    different, counts = np.unique(times, return_counts=True)
    if len(different) < len(times):
        raise AnnotationError(
            f"{where}: got {different[counts.argmax()]} for {counts.max()} points when rounded "
            "down to milliseconds; expected different times, or labels would move: count "
            "positions or milliseconds"
        )
    return [str(v) for v in np.datetime_as_string(times, unit="ms")]


def stamps(times: Sequence[Any], where: str) -> np.ndarray:
    """ISO 8601 text, or milliseconds since 1970, as datetime64[ms]; a time zone becomes UTC."""
    out = []
    for time in times:
        try:
            if isinstance(time, str):
                text = time.removesuffix("Z").removesuffix("+00:00")
                stamp = np.datetime64(text, "ms")
            else:
                stamp = np.datetime64(round(time), "ms")
            if np.isnat(stamp):
                raise ValueError("no time")
            out.append(stamp)
        except (ValueError, TypeError, OverflowError) as error:
            raise AnnotationError(
                f"{where}: got {time!r:.60}; expected numbers only, or ISO 8601 text in UTC only"
            ) from error
    return np.array(out, dtype="datetime64[ms]")


def write_label_studio(path: str | Path, records: Iterable[AnnotatedSeries]) -> int:
    """Write a file of tasks with predictions to import; returns how many.

    Raises:
        AnnotationError: as `label_studio_task`, or a path that cannot be written.
    """
    tasks = [label_studio_task(record) for record in records]
    try:
        Path(path).write_text(json.dumps(tasks, ensure_ascii=False, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be written ({error})") from error
    except UnicodeEncodeError as error:
        names = [task["data"]["id"] for task in tasks]
        wrong = next((n for n in names if n.encode("utf-8", "replace").decode() != n), "")
        raise AnnotationError(
            f"{path}: series {wrong!r}: cannot be written as UTF-8 ({error.reason})"
        ) from error
    return len(tasks)
