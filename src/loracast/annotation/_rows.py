"""Training batches of described series: rows that are there, or a stream that never ends.

A batch is a function of (data, seed, step) alone, so that a killed fit resumes with the batches
an undisturbed one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from loracast.annotation._described import describe_chunk
from loracast.annotation._facts import UNKNOWN_INDEX, SeriesFacts
from loracast.annotation._field_extrema import placed
from loracast.annotation._fields import FIELDS
from loracast.annotation._length import fit_length, stretch_facts
from loracast.annotation._rules import published_rules
from loracast.annotation._task import AnnotationTask
from loracast.errors import AnnotationError, DataError
from loracast.training import Example

__all__ = [
    "DescribedRows",
    "DescribedStream",
    "LabelledSeries",
    "labelled_examples",
    "shortened",
    "tells",
]

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


def labelled_example(task: AnnotationTask, row: LabelledSeries, max_points: int) -> Example:
    """A training sequence; fields that the row does not tell carry no loss.

    Raises:
        AnnotationError: a row that tells nothing of what is asked, or cannot be written as an
            answer.
    """
    values, facts = shortened(row.values, row.facts, max_points)
    told = [name for name in task.fields if tells(row, name)]
    if not told:
        raise AnnotationError(
            f"got a row that tells none of {', '.join(task.fields)}; expected at least one"
        )
    if task.places and any(e.index == UNKNOWN_INDEX for e in facts.extrema):
        facts = placed(facts, values)
    if len(told) == len(task.fields):
        return task.example(values, facts)
    rules = published_rules(values)
    for name in task.fields:
        facts = FIELDS[name].fill(facts, rules)
    return task.example(values, facts, told)


def labelled_examples(
    task: AnnotationTask, rows: Sequence[LabelledSeries], max_points: int
) -> list[Example]:
    """`labelled_example` of N rows.

    Raises:
        AnnotationError: which row cannot be used, and why.
    """
    out = []
    for place, row in enumerate(rows):
        try:
            out.append(labelled_example(task, row, max_points))
        except (AnnotationError, DataError) as error:
            name = getattr(row, "id", "")
            named = f" (id {name!r})" if name else ""
            raise AnnotationError(f"labelled row {place + 1}{named}: {error}") from error
    return out


def tells(row: LabelledSeries, name: str) -> bool:
    """Whether a row speaks about a field; empty lists of a source that cannot speak say nothing."""
    known = FIELDS[name].known(row.facts)
    if known is not None:
        return known
    annotation = getattr(row, "annotation", None)
    if annotation is not None:
        return name not in annotation.abstained
    return getattr(row, "sentences", None) is None  # the published form has no room for them


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
        self.examples = labelled_examples(task, rows, max_points)

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
