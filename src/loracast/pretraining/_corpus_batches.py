"""Batches of the pretraining stream: digits, numbers, and described series, each a kind of its own.

A batch is a function of (recipe, step) alone, so that a killed run resumes with the batches an
undisturbed one would have seen, and no series is ever shown twice. Every batch is of one kind.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator

from loracast.annotation import AnnotationTask, describe_chunk
from loracast.backbone import Backbone, symbol_ids
from loracast.codec import make_codec
from loracast.forecasting import ForecastTask, forecast_task
from loracast.synthetic import corpus_chunk
from loracast.training import Example

__all__ = ["Continuous", "CorpusBatches", "Described", "Digits", "Kind"]

_STEPS = 256  # T of the stream's series
_POOL = 8  # batches that are drawn from one chunk of the stream


class _Kind(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(gt=0, description="of all batches")


class Digits(_Kind):
    """Series as digit text, cut to `tokens`."""

    kind: Literal["digits"]
    rows: int = Field(default=8, ge=1)
    codec: dict[str, Any] = {"name": "compact"}
    tokens: int = Field(default=560, ge=32)


class Continuous(_Kind):
    """Series as numbers; every batch has one length, drawn from `steps`, and `positions` in all."""

    kind: Literal["continuous"]
    codec: dict[str, Any] = {"name": "continuous"}
    positions: int = Field(default=4096, ge=64)
    steps: tuple[PositiveInt, ...] = Field(default=(64, 100, 128, 192), min_length=1)


class Described(_Kind):
    """Described series as numbers, and their description as text."""

    kind: Literal["annotation"]
    rows: int = Field(default=24, ge=1)
    lengths: tuple[int, int] = (32, 256)
    fields: tuple[str, ...] = ("trend", "noise", "max", "min")

    @field_validator("lengths")
    @classmethod
    def _lengths(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 2 <= value[0] <= value[1]:
            raise ValueError(
                f"got {value[0]} to {value[1]} points; expected 2 or more, the smaller one first"
            )
        return value


Kind = Annotated[Digits | Continuous | Described, Field(discriminator="kind")]


class CorpusBatches:
    """The stream of a recipe.

    Args:
        base: the model whose tokens are used.
        kinds: what is shown, with shares.
        seed: of everything.
        context_range: share of a window that its scaling is fitted on.
    """

    def __init__(
        self,
        base: Backbone,
        kinds: tuple[Kind, ...],
        seed: int,
        context_range: tuple[float, float],
    ) -> None:
        self.base, self.kinds, self.seed, self.context_range = base, kinds, seed, context_range
        shares = np.array([k.share for k in kinds])
        # The kind whose due share is furthest behind comes next: a fixed pattern of 100 steps.
        due, pattern = np.zeros(len(kinds)), []
        for _ in range(100):
            due += shares / shares.sum()
            pattern.append(int(due.argmax()))
            due[pattern[-1]] -= 1
        self._pattern = np.array(pattern)
        self._pools: dict[int, tuple[int, list[list[Example]]]] = {}
        self._tasks = [self._task(k) for k in kinds]

    def _task(self, kind: Kind) -> ForecastTask[Any] | AnnotationTask:
        base = self.base
        if isinstance(kind, Described):
            return AnnotationTask(
                base.tokenizer,
                place_id=int(symbol_ids(base.tokenizer, (";",))[0]),
                end_id=int(base.tokenizer.eos_token_id),
                fields=kind.fields,
                bos=base.bos_full_id,
                places=True,
            )
        codec = make_codec(**kind.codec)
        ids = symbol_ids(base.tokenizer, codec.alphabet)
        return forecast_task(codec, [int(i) for i in ids], base.bos_full_id)

    def batch(self, step: int) -> list[Example]:
        """The examples of training step `step`, from 0."""
        cycle, place = divmod(step, len(self._pattern))
        which = int(self._pattern[place])
        before = int((self._pattern[:place] == which).sum())
        turn = cycle * int((self._pattern == which).sum()) + before
        pool, row = divmod(turn, _POOL)
        if self._pools.get(which, (-1, []))[0] != pool:
            self._pools[which] = (pool, self.pool(which, pool + 1))
        return self._pools[which][1][row]

    def pool(self, which: int, index: int) -> list[list[Example]]:
        """_POOL batches of one kind; pool 0 is kept for validation."""
        kind = self.kinds[which]
        rng = np.random.default_rng([self.seed, 7, which, index])
        if isinstance(kind, Described):
            return self._described(kind, which, index, rng)
        if isinstance(kind, Continuous):
            return self._numbers(kind, which, index, rng)
        return self._digits(kind, which, index, rng)

    def _windows(self, which: int, index: int, n: int) -> list[np.ndarray]:
        # Each kind reads a stream of its own.
        return corpus_chunk(self.seed + 1000 * which, index, n, steps=_STEPS)

    def _example(
        self, task: ForecastTask[Any], values: np.ndarray, steps: int, rng: np.random.Generator
    ) -> Example | None:
        start = int(rng.integers(0, max(1, len(values) - steps + 1)))
        window = values[start : start + steps]
        share = rng.uniform(*self.context_range)
        context = int(np.clip(round(share * len(window)), 2, len(window)))
        # A scaling wants two different values in every channel.
        seen = window[:context]
        if (np.isfinite(seen).sum(axis=0) < 2).any() or (np.nanstd(seen, axis=0) == 0).any():
            return None
        return task.example(window, context)

    def _digits(
        self, kind: Digits, which: int, index: int, rng: np.random.Generator
    ) -> list[list[Example]]:
        task = self._tasks[which]
        assert isinstance(task, ForecastTask)
        examples: list[Example] = []
        for values in self._windows(which, index, kind.rows * _POOL * 5 // 4):
            width = task.longest_step(values.shape[1])
            made = self._example(task, values, (kind.tokens - 1) // width, rng)
            if made is not None:
                examples.append(made)
        # Neighbours of one length make batches with little padding.
        examples = sorted(examples[: kind.rows * _POOL], key=len)
        return _dealt(examples, kind.rows, rng)

    def _numbers(
        self, kind: Continuous, which: int, index: int, rng: np.random.Generator
    ) -> list[list[Example]]:
        task = self._tasks[which]
        assert isinstance(task, ForecastTask)
        lengths = [int(n) for n in rng.choice(kind.steps, _POOL)]
        rows = [max(1, kind.positions // n) for n in lengths]
        series = iter(self._windows(which, index, sum(rows) * 5 // 4))
        batches: list[list[Example]] = []
        for steps, wanted in zip(lengths, rows, strict=True):
            batch: list[Example] = []
            while len(batch) < wanted and (values := next(series, None)) is not None:
                made = self._example(task, values, steps, rng)
                if made is not None:
                    batch.append(made)
            if batch:  # unusable windows are few; the last batch may be short
                batches.append(batch)
        return batches

    def _described(
        self, kind: Described, which: int, index: int, rng: np.random.Generator
    ) -> list[list[Example]]:
        task = self._tasks[which]
        assert isinstance(task, AnnotationTask)
        chunk = describe_chunk(
            self.seed + 1000 * which, index, kind.rows * _POOL, lengths=kind.lengths
        )
        examples = sorted((task.example(s.values, s.facts) for s in chunk), key=len)
        return _dealt(examples, kind.rows, rng)


def _dealt(examples: list[Example], rows: int, rng: np.random.Generator) -> list[list[Example]]:
    batches = [examples[i : i + rows] for i in range(0, len(examples), rows)]
    return [batches[i] for i in rng.permutation(len(batches))]
