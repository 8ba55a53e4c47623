"""A teacher behind any server that speaks OpenAI's chat API: many questions, none sent twice.

Series -> questions -> (cache | server) -> replies -> labels. Who asks again, and when, is in
`_crew.py`; what one request and one failure mean is in `_exchange.py`.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from loracast.annotation._records import AnnotatedSeries
from loracast.annotation._teacher_cache import AnswerCache
from loracast.annotation._teacher_config import (
    KEY_VARIABLE,
    ServerConfig,
    TeacherPlan,
    TeacherStats,
)
from loracast.annotation._teacher_crew import Crew
from loracast.annotation._teacher_exchange import Exchange, Fatal
from loracast.annotation._teacher_reply import Reply, facts_of_reply
from loracast.annotation._teacher_request import Question, ask_about
from loracast.annotation._teacher_spending import Spending
from loracast.annotation._teachers import TeacherLabel
from loracast.errors import AnnotationError, CodecError, ConfigError

__all__ = ["OpenAITeacher"]

T = TypeVar("T")


class OpenAITeacher:
    """Asks a model behind a server about each series.

    The key comes from the environment variable OPENAI_API_KEY and is neither written nor printed.

    Args:
        config: server, model, caps.
        advance: called with 1 after each series, when its answer is safely in the cache.
    """

    def __init__(self, config: ServerConfig, advance: Callable[[int], None] | None = None) -> None:
        self.config, self._advance = config, advance
        self.stats = TeacherStats()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.model

    def plan(self, items: Sequence[AnnotatedSeries]) -> TeacherPlan:
        """A dry run: nothing is sent, written or needed from the environment."""
        config = self.config
        questions, keys, unreadable = self._questions(items)
        with AnswerCache(config.cache, read_only=True) as cache:
            known = {key for key in questions if cache.get(key, config.answer_tokens)}
            tokens, cost = cache.spent
        spending = Spending(
            config.max_tokens, config.max_cost, config.prices, tokens=tokens, cost=cost
        )
        worst = [config.worst_case(q) for key, q in questions.items() if key not in known]
        fits = 0
        for amount in worst:
            if spending.reserve(*amount) is None:
                break
            fits += 1
        return TeacherPlan(
            requests=len(worst),
            cached=sum(key in known for key in keys.values()),
            unreadable=len(unreadable),
            tokens_at_most=sum(t for t, _ in worst),
            cost_at_most=float(sum((c for _, c in worst), Decimal(0))),
            spent_tokens=tokens,
            spent_cost=float(cost),
            within_caps=fits,
        )

    def describe(self, items: Sequence[AnnotatedSeries]) -> list[TeacherLabel]:
        """One label for each of N series; equal series are asked about once.

        Where a cap ends the run, the rest is not asked (`TeacherLabel.asked`).

        Raises:
            ConfigError: no key in the environment, or the client is not installed.
            AnnotationError: a server that refuses the key or the model, answers something else
                than the API, or does not answer; what it had answered is in the cache.
            StorageError: a cache that cannot be used.
        """
        secret = _api_key()
        self.stats = TeacherStats()
        questions, keys, unreadable = self._questions(items)
        replies: dict[str, Reply | str] = {}
        with AnswerCache(self.config.cache) as cache:
            tokens, cost = cache.spent
            spending = Spending(
                self.config.max_tokens,
                self.config.max_cost,
                self.config.prices,
                tokens=tokens,
                cost=cost,
            )
            try:
                _run(
                    self._ask_all(
                        questions, Counter(keys.values()), replies, cache, spending, secret
                    )
                )
            finally:
                self.stats.total_tokens, total = cache.spent
                self.stats.total_cost = float(total)
                self.stats.tokens = self.stats.total_tokens - tokens
                self.stats.cost = float(total - cost)
        labels = []
        for row, item in enumerate(items):
            if row in unreadable:
                labels.append(TeacherLabel(None, unreadable[row]))
                continue
            labels.append(self._label(replies.get(keys[row]), len(item.values)))
        self.stats.not_asked = sum(not label.asked for label in labels)
        return labels

    def _questions(
        self, items: Sequence[AnnotatedSeries]
    ) -> tuple[dict[str, Question], dict[int, str], dict[int, str]]:
        """Questions by key, the key of each row that has one, and why another has none."""
        questions: dict[str, Question] = {}
        keys: dict[int, str] = {}
        unreadable: dict[int, str] = {}
        for row, item in enumerate(items):
            try:
                question = ask_about(item.values, picture=self.config.picture)
            except (AnnotationError, CodecError) as error:
                unreadable[row] = str(error)
                continue
            key = question.key(self.config.model, self.config.seed)
            questions[key] = question
            keys[row] = key
        return questions, keys, unreadable

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

    async def _ask_all(
        self,
        questions: dict[str, Question],
        rows: Counter[str],
        replies: dict[str, Reply | str],
        cache: AnswerCache,
        spending: Spending,
        secret: str,
    ) -> None:
        waiting = []
        for name, question in questions.items():
            if (known := cache.get(name, self.config.answer_tokens)) is None:
                waiting.append((name, question))
                continue
            replies[name] = Reply.model_validate(known)
            self.stats.cached += 1
            self._done(rows[name])
        if not waiting:
            return
        queue = iter(waiting)
        async with Exchange(self.config, secret, cache, spending, self.stats) as exchange:
            crew = Crew(
                self.config, exchange, spending, replies, lambda name: self._done(rows[name])
            )
            workers = [
                asyncio.create_task(crew.work(queue, random.Random(f"{self.config.seed}-{k}")))
                for k in range(min(self.config.workers, len(waiting)))
            ]
            try:
                await asyncio.gather(*workers)
            except Fatal as error:
                had = sum(isinstance(reply, Reply) for reply in replies.values())
                raise AnnotationError(f"{error}{_kept(self.config.cache, had)}") from error
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    def _done(self, rows: int) -> None:
        if self._advance:
            self._advance(rows)


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


def _kept(cache: Path | None, had: int) -> str:
    if cache is None:
        return "; no cache was named, so the answers of this run are lost" if had else ""
    return f"; the answers so far ({had}) are kept in {cache}, the same command goes on from there"


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run it, also where a loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    outcome: list[T] = []
    errors: list[BaseException] = []

    def inside() -> None:
        try:
            outcome.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            errors.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return outcome[0]
