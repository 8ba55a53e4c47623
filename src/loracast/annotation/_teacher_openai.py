"""A teacher behind any server that speaks OpenAI's chat API: many questions, none sent twice.

Series -> questions -> (cache | server) -> replies -> labels. How a server is asked is in
`_teacher_run.py`; what a failure means is in `_teacher_failure.py`.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import accumulate

from loracast.annotation._records import AnnotatedSeries
from loracast.annotation._teacher_cache import AnswerCache
from loracast.annotation._teacher_config import (
    KEY_VARIABLE,
    ServerConfig,
    TeacherPlan,
    TeacherStats,
)
from loracast.annotation._teacher_failure import Failure
from loracast.annotation._teacher_reply import Reply, facts_of_reply
from loracast.annotation._teacher_request import SeriesQuestion
from loracast.annotation._teacher_run import Run
from loracast.annotation._teachers import TeacherLabel
from loracast.errors import AnnotationError, CodecError, ConfigError

__all__ = ["OpenAITeacher"]


class OpenAITeacher:
    """Asks a model behind a server about each series.

    The key comes from the environment variable OPENAI_API_KEY and is neither written nor printed.

    Args:
        config: server, model, caps.
        advance: called with 1 after each series, when its answer is safely in the cache.

    Raises:
        ConfigError: a package that it needs is not installed.
    """

    def __init__(self, config: ServerConfig, advance: Callable[[int], None] | None = None) -> None:
        for package in ("openai", "diskcache", "filelock", "tenacity"):
            if find_spec(package) is None:
                raise ConfigError(
                    f"a teacher behind a server needs {package}, which is not installed; "
                    "pip install 'loracast[teacher]'"
                )
        self.config, self._advance = config, advance
        self.stats = TeacherStats()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.model

    def plan(self, items: Sequence[AnnotatedSeries]) -> TeacherPlan:
        """A dry run: nothing is sent, or needed from the environment, and no folder is made."""
        config = self.config
        keys, questions, unreadable = self._questions(items)
        with AnswerCache(config.cache, read_only=True) as cache:
            known = {key for key in questions if cache.get(key, config.answer_tokens)}
            spent = cache.spent
        worst = [config.worst_case(q) for key, q in questions.items() if key not in known]
        totals = list(accumulate(worst, initial=spent))
        most = totals[-1] - spent
        return TeacherPlan(
            requests=len(worst),
            cached=sum(key in known for key in keys),
            unreadable=len(unreadable),
            tokens_at_most=most.tokens,
            cost_at_most=float(most.cost),
            spent_tokens=spent.tokens,
            spent_cost=float(spent.cost),
            within_caps=sum(map(config.allows, totals[1:])),
        )

    def describe(self, items: Sequence[AnnotatedSeries]) -> list[TeacherLabel]:
        """One label for each of N series; equal series are asked about once.

        Where a cap ends the run, the rest is not asked (`TeacherLabel.asked`).

        Raises:
            ConfigError: no key in the environment.
            AnnotationError: a server that refuses the key or the model, answers something else
                than the API, or does not answer; what it had answered is in the cache.
            StorageError: a cache that cannot be used.
        """
        secret = _api_key()
        self.stats = TeacherStats()
        keys, questions, replies = self._questions(items)
        work = self._ask_all(questions, Counter(keys), replies, secret)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(work)
        else:  # as in a notebook
            with ThreadPoolExecutor(1) as thread:
                thread.submit(asyncio.run, work).result()
        labels = [
            self._label(replies.get(key), len(item.values))
            for key, item in zip(keys, items, strict=True)
        ]
        self.stats.not_asked = sum(not label.asked for label in labels)
        return labels

    def _questions(
        self, items: Sequence[AnnotatedSeries]
    ) -> tuple[list[str], dict[str, SeriesQuestion], dict[str, Reply | str]]:
        """A key for each row, questions by key, and by key why another row has none."""
        keys: list[str] = []
        questions: dict[str, SeriesQuestion] = {}
        unreadable: dict[str, Reply | str] = {}
        for row, item in enumerate(items):
            try:
                question = SeriesQuestion(item.values, picture=self.config.picture)
            except (AnnotationError, CodecError) as error:
                keys.append(f"row {row}")
                unreadable[keys[-1]] = str(error)
                continue
            keys.append(question.key(self.config.model, self.config.seed))
            questions[keys[-1]] = question
        return keys, questions, unreadable

    async def _ask_all(
        self,
        questions: Mapping[str, SeriesQuestion],
        rows: Counter[str],
        replies: dict[str, Reply | str],
        secret: str,
    ) -> None:
        """Add the replies, from the cache or the server, to those there are."""

        def done(key: str, reply: Reply | str) -> None:
            replies[key] = reply
            if self._advance:
                self._advance(rows[key])

        config, stats = self.config, self.stats
        with AnswerCache(config.cache) as cache:
            before = cache.spent
            for key in questions:
                if known := cache.get(key, config.answer_tokens):
                    stats.cached += 1
                    done(key, known)
            waiting = {key: q for key, q in questions.items() if key not in replies}
            try:
                if waiting:
                    await Run(config, secret, cache, stats, done).ask(waiting)
            except Failure as failure:
                had = sum(isinstance(reply, Reply) for reply in replies.values())
                kept = "; no cache was named, so the answers of this run are lost" if had else ""
                if config.cache is not None:
                    kept = (
                        f"; the answers so far ({had}) are kept in {config.cache}, the same "
                        "command goes on from there"
                    )
                raise AnnotationError(f"{failure.reason}{kept}") from failure
            finally:
                spent = cache.spent
                stats.total_tokens, stats.total_cost = spent.tokens, float(spent.cost)
                stats.tokens = (spent - before).tokens
                stats.cost = float((spent - before).cost)

    def _label(self, reply: Reply | str | None, length: int) -> TeacherLabel:
        if reply is None:
            return TeacherLabel(None, "not asked: a cap ended the run", asked=False)
        if isinstance(reply, str):
            return TeacherLabel(None, reply)
        try:
            facts = facts_of_reply(reply, length)
        except AnnotationError as error:
            return TeacherLabel(None, str(error))
        shown = "picture" if self.config.picture else "numbers"
        origin = {"model": self.config.model, "teacher_seed": self.config.seed, "shown": shown}
        return TeacherLabel(facts, provenance=origin)


def _api_key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise ConfigError(
            f"no key: the environment variable {KEY_VARIABLE} is not set; export it (any word for "
            "a server that asks for none)"
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(f"the value of {KEY_VARIABLE} holds characters that no key has")
    return key
