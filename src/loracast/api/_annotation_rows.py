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
from loracast.series import SeriesFacts, describe_chunk
from loracast.tasks import Example
from loracast.tasks.annotation import (
    LABEL_FIELDS,
    UNKNOWN_INDEX,
    fit_length,
    placed,
    stretch_facts,
)
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

    Raises:
        AnnotationError: facts that cannot be written as an answer.
    """
    wanted = [name for name in task.fields if name in LABEL_FIELDS]
    told = {name for name in wanted if _tells(facts, name)}
    if not told:
        raise AnnotationError(f"got facts that tell none of {wanted}; expected at least one label")
    if task.places and any(e.index == UNKNOWN_INDEX for e in facts.extrema):
        facts = placed(facts, values)
    if len(told) == len(wanted):
        return task.example(values, facts)
    rules = published_rules(values)
    kinds = {e.kind for e in facts.extrema}
    whole = replace(
        facts,
        trend=facts.trend or rules.trend,
        noise=facts.noise or rules.noise,
        extrema=facts.extrema + tuple(e for e in rules.extrema if e.kind not in kinds),
    )
    return task.example(values, whole, told | (set(task.fields) - set(wanted)))


def _tells(facts: SeriesFacts, name: str) -> bool:
    if name in ("max", "min"):
        return any(e.kind == name for e in facts.extrema)
    return (facts.trend if name == "trend" else facts.noise) is not None


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
