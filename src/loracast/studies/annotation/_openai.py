"""A teacher behind any server that speaks OpenAI's chat API: many questions, none sent twice.

Series -> questions -> (cache | server) -> replies -> labels. Retries, fallbacks and stalls are
handled here; what one request and one failure mean is in `_exchange.py`.
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

from loracast.errors import AnnotationError, CodecError, ConfigError
from loracast.studies.annotation._cache import AnswerCache
from loracast.studies.annotation._exchange import Exchange, Failure, Fatal
from loracast.studies.annotation._reply import Reply, facts_of_reply
from loracast.studies.annotation._request import FORMATS, Question, ask_about
from loracast.studies.annotation._server_config import (
    KEY_VARIABLE,
    ServerConfig,
    TeacherPlan,
    TeacherStats,
)
from loracast.studies.annotation._spending import Spending
from loracast.studies.annotation._teachers import TeacherLabel
from loracast.tasks.annotation import AnnotatedSeries

__all__ = ["OpenAITeacher"]

FAILED_IN_A_ROW = 3  # questions that got no answer after all tries: the server is down
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
        worst = [self.worst_case(q) for key, q in questions.items() if key not in known]
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

    def worst_case(self, question: Question) -> tuple[int, Decimal]:
        """Tokens and money that one request can cost."""
        prompt = question.most_tokens(self.config.image_tokens)
        answer = self.config.answer_tokens
        return prompt + answer, self.config.prices.cost(prompt, answer)

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
            self.done(rows[name])
        if not waiting:
            return
        queue = iter(waiting)
        async with Exchange(self.config, secret, cache, spending, self.stats) as exchange:
            run = _Run(self, exchange, spending, replies, rows)
            workers = [
                asyncio.create_task(run.work(queue, random.Random(f"{self.config.seed}-{k}")))
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

    def done(self, rows: int) -> None:
        """So many series have their answer."""
        if self._advance:
            self._advance(rows)


class _Run:
    """The workers of one run and what they share."""

    def __init__(
        self,
        teacher: OpenAITeacher,
        exchange: Exchange,
        spending: Spending,
        replies: dict[str, Reply | str],
        rows: Counter[str],
    ) -> None:
        self._teacher, self._exchange, self._spending = teacher, exchange, spending
        self._replies, self._rows = replies, rows
        self._config, self._stats = teacher.config, teacher.stats
        self._full = False
        self._in_a_row = 0
        self._settled = asyncio.Condition()

    async def work(self, queue: Any, rng: random.Random) -> None:
        """Take questions until there are none, or no more money."""
        for key, question in queue:
            reply = await self._answer(key, question, rng)
            if reply is None:
                return
            self._replies[key] = reply
            self._teacher.done(self._rows[key])
            if isinstance(reply, Reply):
                self._in_a_row = 0
                continue
            self._stats.failed += 1
            self._in_a_row += 1
            if self._in_a_row >= FAILED_IN_A_ROW:
                raise Fatal(f"{FAILED_IN_A_ROW} series in a row without an answer; {reply}")

    async def _answer(self, key: str, question: Question, rng: random.Random) -> Reply | str | None:
        """The reply; a reason, after all tries; None where a cap does not allow to ask."""
        config, worst = self._config, self._teacher.worst_case(question)
        form, wait, attempt = self._exchange.form, config.first_wait, 1
        while True:
            reservation = await self._reserve(worst)
            if reservation is None:
                return None
            try:
                result = await self._exchange.ask(key, question, reservation, worst, form)
            finally:
                async with self._settled:
                    self._settled.notify_all()
            if not isinstance(result, Failure):
                return result
            if result.free:
                continue
            if result.lower:
                form = FORMATS[FORMATS.index(form) + 1]
                self._stats.fallbacks[f"{form} after {result.kind}"] += 1
                continue
            if not result.retry:
                return result.reason
            if attempt == config.tries:
                reason = f"no answer after {attempt} tries, the last: {result.reason}"
                if not self._stats.answers:
                    raise Fatal(reason)
                return reason
            if result.wait > config.longest_wait:
                raise Fatal(
                    f"{result.reason}: the server asks to wait {result.wait:,.0f} s; start again "
                    "later"
                )
            self._stats.retries[result.kind] += 1
            attempt += 1
            pause = min(wait * (0.5 + rng.random()), config.longest_wait)
            await asyncio.sleep(max(pause, result.wait))
            wait *= 2

    async def _reserve(self, worst: tuple[int, Decimal]) -> int | None:
        """A reservation of the worst case; waits for requests under way to settle first."""
        async with self._settled:
            while not self._full:
                reservation = self._spending.reserve(*worst)
                if reservation is not None:
                    return reservation
                if not self._spending.in_flight:
                    self._full = True
                    self._settled.notify_all()
                    break
                await self._settled.wait()
        return None


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
