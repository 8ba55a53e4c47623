"""The workers that ask questions: who tries again, when, in which format, and who stops.

Waits double and are jittered, so that workers turned away together do not come back together.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from decimal import Decimal

from loracast.annotation._teacher_config import ServerConfig
from loracast.annotation._teacher_exchange import Exchange, Failure, Fatal
from loracast.annotation._teacher_reply import Reply
from loracast.annotation._teacher_request import FORMATS, Question
from loracast.annotation._teacher_spending import Spending

__all__ = ["Crew"]

FAILED_IN_A_ROW = 3  # questions that got no answer after all tries: the server is down


class Crew:
    """The workers of one run and what they share.

    Args:
        config: of the teacher.
        exchange: that sends a request.
        spending: where a request's worst case is reserved before it is sent.
        replies: filled by key with the reply, or with the reason why there is none.
        done: called with the key of each question that is through.
    """

    def __init__(
        self,
        config: ServerConfig,
        exchange: Exchange,
        spending: Spending,
        replies: dict[str, Reply | str],
        done: Callable[[str], None],
    ) -> None:
        self._config, self._exchange, self._spending = config, exchange, spending
        self._replies, self._done, self._stats = replies, done, exchange.stats
        self._full = False
        self._in_a_row = 0
        self._settled = asyncio.Condition()

    async def work(self, queue: Iterator[tuple[str, Question]], rng: random.Random) -> None:
        """Take questions, with their keys, until there are none, or no more money.

        Args:
            queue: of (key, question), shared by all workers.
            rng: of the jitter of waits.

        Raises:
            Fatal: no other question would fare better.
        """
        for key, question in queue:
            reply = await self._answer(key, question, rng)
            if reply is None:
                return
            self._replies[key] = reply
            self._done(key)
            if isinstance(reply, Reply):
                self._in_a_row = 0
                continue
            self._stats.failed += 1
            self._in_a_row += 1
            if self._in_a_row >= FAILED_IN_A_ROW:
                raise Fatal(f"{FAILED_IN_A_ROW} series in a row without an answer; {reply}")

    async def _answer(self, key: str, question: Question, rng: random.Random) -> Reply | str | None:
        """The reply; a reason, after all tries; None where a cap does not allow to ask."""
        config, worst = self._config, self._config.worst_case(question)
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
