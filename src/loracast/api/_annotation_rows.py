"""Training batches of described series: rows that are there, or a stream that never ends.

A batch is a function of (data, seed, step) alone, so that a killed fit resumes with the batches
an undisturbed one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from loracast.errors import AnnotationError
from loracast.evaluation import published_rules
from loracast.series import Extremum, SeriesFacts, describe_chunk, region_of
from loracast.tasks import IGNORED, Example
from loracast.tasks.annotation import LABEL_FIELDS, UNKNOWN_INDEX, fit_length, stretch_facts
from loracast.tasks.annotation._task import AnnotationTask

__all__ = ["DescribedRows", "DescribedStream", "LabelledSeries", "labelled_example", "shortened"]

POOL = 8  # batches that are sorted by length together


class LabelledSeries(Protocol):
    """A series and what is known about it: `DescribedSeries`, `AnnotatedSeries`."""

    @property
    def values(self) -> np.ndarray:
        """(T,), NaN where missing."""
        ...

    @property
    def facts(self) -> SeriesFacts:
        """What is known."""
        ...


def shortened(values: np.ndarray, facts: SeriesFacts, max_points: int) -> tuple[Any, SeriesFacts]:
    """The series on at most `max_points` points, and the facts about that."""
    short = fit_length(np.asarray(values, dtype=np.float64), max_points, "resample")
    return short, stretch_facts(facts, len(short), short)


def labelled_example(task: AnnotationTask, values: np.ndarray, facts: SeriesFacts) -> Example:
    """A training sequence; label fields that the facts do not tell carry no loss.

    A region without a place gets the place of the extremum inside it, read off the values.

    Raises:
        AnnotationError: facts that cannot be written as an answer.
    """
    wanted = [name for name in task.fields if name in LABEL_FIELDS]
    told = {name for name in wanted if _tells(facts, name)}
    if not told:
        raise AnnotationError(f"got facts that tell none of {wanted}; expected at least one label")
    places_known = all(e.index != UNKNOWN_INDEX for e in facts.extrema)
    if len(told) == len(wanted) and places_known:
        return task.example(values, facts)
    rules = published_rules(values)
    extrema = []
    for guess in rules.extrema:
        given = next((e for e in facts.extrema if e.kind == guess.kind), guess)
        extrema.append(_placed(given, values) if given.index == UNKNOWN_INDEX else given)
    whole = replace(
        facts,
        trend=facts.trend or rules.trend,
        noise=facts.noise or rules.noise,
        extrema=tuple(extrema),
    )
    example = task.example(values, whole)
    unknown = [name for name in wanted if name not in told]
    return _without_loss(task, example, unknown) if unknown else example


def _tells(facts: SeriesFacts, name: str) -> bool:
    if name in ("max", "min"):
        return any(e.kind == name for e in facts.extrema)
    return (facts.trend if name == "trend" else facts.noise) is not None


def _placed(extremum: Extremum, values: np.ndarray) -> Extremum:
    """The extremum at the highest or lowest observed point of its region."""
    length = len(values)
    inside = [i for i in range(length) if region_of(i, length) == extremum.region]
    if not inside:
        raise AnnotationError(
            f"{extremum.kind}: got {extremum.region!r} for a series of {length} points, which has "
            "no such region"
        )
    part = np.asarray(values, dtype=np.float64)[inside]
    if np.isnan(part).all():
        index = inside[len(inside) // 2]
    else:
        find = np.nanargmax if extremum.kind == "max" else np.nanargmin
        index = inside[int(find(part))]
    return replace(extremum, index=index, value=float(values[index]))


def _without_loss(task: AnnotationTask, example: Example, fields: Sequence[str]) -> Example:
    """The example with the loss off where the values of these fields stand."""
    labels = example.labels.copy()
    asked = np.flatnonzero(labels != IGNORED)[:-1]
    pieces = [task.tokenizer.decode([int(i)]) for i in example.ids[asked]]
    text, ends = "".join(pieces), np.cumsum([len(p) for p in pieces])
    for name in fields:
        start = text.index(f'"{name}":') + len(name) + 3
        stop = text.index("]" if name in ("max", "min") else '"', start + 1)
        begins = ends - [len(p) for p in pieces]
        labels[asked[(ends > start) & (begins < stop)]] = IGNORED
    return Example(example.ids, labels, example.numbers)


class DescribedRows:
    """Batches from N labelled series, shuffled anew in every pass.

    Args:
        task: makes examples.
        rows: N labelled series; longer ones are resampled.
        batch_size: B.
        seed: of the order.
        max_points: of a series.
    """

    def __init__(
        self,
        task: AnnotationTask,
        rows: Sequence[LabelledSeries],
        batch_size: int,
        seed: int,
        max_points: int,
    ) -> None:
        self.batch_size, self.seed = batch_size, seed
        self.examples = [
            labelled_example(task, *shortened(r.values, r.facts, max_points)) for r in rows
        ]

    def batch(self, step: int) -> list[Example]:
        """The examples of training step `step`, from 0."""
        n = len(self.examples)
        out = []
        for k in range(step * self.batch_size, (step + 1) * self.batch_size):
            turn, place = divmod(k, n)
            order = np.random.default_rng([self.seed, turn]).permutation(n)
            out.append(self.examples[int(order[place])])
        return out


class DescribedStream:
    """An endless stream of generated described series; none is shown twice.

    Args:
        task: makes examples.
        batch_size: B.
        seed: of the stream.
        lengths: shortest and longest T.
        max_points: of a series as it is shown; longer ones are resampled.
    """

    def __init__(
        self,
        task: AnnotationTask,
        batch_size: int,
        seed: int,
        lengths: tuple[int, int],
        max_points: int,
    ) -> None:
        self.task, self.batch_size, self.seed = task, batch_size, seed
        self.lengths, self.max_points = lengths, max_points
        self._pool: tuple[int, list[list[Example]]] = (-1, [])

    def batch(self, step: int) -> list[Example]:
        """The examples of training step `step`, from 0."""
        pool, place = divmod(step, POOL)
        if self._pool[0] != pool:
            self._pool = (pool, self._drawn(pool))
        return self._pool[1][place]

    def _drawn(self, pool: int) -> list[list[Example]]:
        size = self.batch_size
        rows = describe_chunk(self.seed, pool, size * POOL, lengths=self.lengths)
        examples = sorted(
            (self.task.example(*shortened(r.values, r.facts, self.max_points)) for r in rows),
            key=len,
        )
        batches = [examples[i : i + size] for i in range(0, len(examples), size)]
        order = np.random.default_rng([self.seed, 1, pool]).permutation(len(batches))
        return [batches[i] for i in order]
