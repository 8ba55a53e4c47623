"""One run of questions to a server that speaks OpenAI's chat API: the workers and their requests.

A request's worst case is reserved before it is sent, and settled by what the server billed. openai
sends, tenacity tries again: waits double and are jittered, so that workers turned away together do
not come back together. Redirects are not followed, and the key is taken out of all foreign text.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from loracast.annotation._teacher_cache import AnswerCache
from loracast.annotation._teacher_config import Expense, ServerConfig, TeacherStats
from loracast.annotation._teacher_failure import Failure, failure_of
from loracast.annotation._teacher_reply import NotTheAPI, Reply, read_reply
from loracast.annotation._teacher_request import FORMATS, SeriesQuestion

__all__ = ["Run"]

FAILED_IN_A_ROW = 3  # questions that got no answer after all tries: the server is down


class _CapReached(Exception):  # noqa: N818 - no failure
    """Not even one request fits into the caps."""


class Run:
    """The workers of one run and what they share.

    Args:
        config: of the teacher.
        key: secret of the server.
        cache: where expenses are counted and answers kept.
        stats: counted up.
        done: called with a question's key and its reply, or the reason why there is none.
    """

    def __init__(
        self,
        config: ServerConfig,
        key: str,
        cache: AnswerCache,
        stats: TeacherStats,
        done: Callable[[str, Reply | str], None],
    ) -> None:
        self._config, self._key, self._cache = config, key, cache
        self._stats, self._done = stats, done
        self._form = next(iter(FORMATS))  # the best answer format not known to be refused
        self._proven = False  # an answer came back in it
        self._settings: dict[str, Any] = {  # those that a server may refuse
            "seed": config.seed,
            "max_tokens": config.answer_tokens,
            "temperature": 0.0,
        }
        self._in_a_row = self._under_way = 0
        self._settled = asyncio.Condition()

    async def ask(self, questions: Mapping[str, SeriesQuestion]) -> None:
        """Ask them all, by key, or as many as the caps allow.

        Raises:
            Failure: no other question would fare better.
            StorageError: the cache cannot be written.
        """
        import openai

        queue = iter(questions.items())
        async with openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._config.base_url,
            timeout=self._config.timeout,
            max_retries=0,  # each try is reserved for
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
        ) as self._client:
            try:
                async with asyncio.TaskGroup() as workers:
                    for _ in range(min(self._config.workers, len(questions))):
                        workers.create_task(self._work(queue))
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None

    async def _work(self, queue: Iterator[tuple[str, SeriesQuestion]]) -> None:
        """Take questions until there are none, or no more money."""
        for key, question in queue:
            try:
                reply = await self._answer(key, question)
            except _CapReached:
                return
            self._done(key, reply)
            if isinstance(reply, Reply):
                self._in_a_row = 0
                continue
            self._stats.failed += 1
            self._in_a_row += 1
            if self._in_a_row >= FAILED_IN_A_ROW:
                reason = f"{FAILED_IN_A_ROW} series in a row without an answer; {reply}"
                raise Failure("in a row", reason, fatal=True)

    async def _answer(self, key: str, question: SeriesQuestion) -> Reply | str:
        """The reply; or a reason, after all tries."""
        import tenacity

        first, half = self._config.first_wait, self._config.longest_wait / 2
        try:
            return await tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception(lambda e: isinstance(e, Failure) and e.retry),
                stop=tenacity.stop_after_attempt(self._config.tries),
                wait=tenacity.wait_exponential(first / 2, max=half)
                + tenacity.wait_random_exponential(first, max=half)
                + tenacity.wait_exception(lambda error: getattr(error, "wait", 0.0)),
                before_sleep=self._before_a_wait,
                reraise=True,
            )(self._try, key, question)
        except Failure as failure:
            if failure.fatal:
                raise
            if not failure.retry:
                return failure.reason
            reason = f"no answer after {self._config.tries} tries, the last: {failure.reason}"
            if not self._stats.answers:
                raise Failure(failure.kind, reason, fatal=True) from failure
            return reason

    def _before_a_wait(self, state: Any) -> None:
        failure = state.outcome.exception()
        if failure.wait > self._config.longest_wait:
            wait = f"the server asks to wait {failure.wait:,.0f} s; start again later"
            raise Failure(failure.kind, f"{failure.reason}: {wait}", fatal=True)
        self._stats.retries[failure.kind] += 1

    async def _try(self, key: str, question: SeriesQuestion) -> Reply:
        """One try: a request, and others at once where the server only refuses their form."""
        forms = list(FORMATS)[list(FORMATS).index(self._form) :]
        while True:
            settings = dict(self._settings)
            try:
                reply = await self._request(key, question, {**settings, **FORMATS[forms[0]]})
            except Failure as failure:
                if failure.refused is None:
                    raise
                if settings != self._settings or self._leave_out(failure.refused):
                    continue
                if self._proven or len(forms) == 1:
                    raise
                forms.pop(0)
                self._stats.fallbacks[f"{forms[0]} after {failure.kind}"] += 1
                continue
            self._form, self._proven = forms[0], True
            return reply

    async def _request(self, key: str, question: SeriesQuestion, settings: dict[str, Any]) -> Reply:
        import openai

        config, stats = self._config, self._stats
        worst = config.worst_case(question)
        async with self._reserved(worst):
            stats.requests += 1
            try:
                async with asyncio.timeout(config.timeout):
                    raw = await self._client.chat.completions.with_raw_response.create(
                        model=config.model,
                        messages=question.messages(),  # type: ignore[arg-type]
                        **settings,
                    )
                reply = read_reply(self._clean(raw.text), raw.headers.get("content-type", ""))
            except (TimeoutError, NotTheAPI, openai.OpenAIError) as error:
                where = self._client.base_url.netloc.decode("ascii", "replace")
                answered = stats.answers > 0
                failure = failure_of(error, where, config.timeout, answered, self._clean)
                if not failure.billed:
                    self._cache.settle(worst, Expense())
                raise failure from error
            texts = reply.model_dump(include={"text", "refusal", "finish_reason"})
            clean = {name: text and self._clean(text) for name, text in texts.items()}
            reply = reply.model_copy(update={**clean, "limit": config.answer_tokens})
            billed, t_in, t_out = worst, reply.tokens_in, reply.tokens_out
            if t_in is not None and t_out is not None:
                billed = Expense(t_in + t_out, config.prices.cost(t_in, t_out))
                stats.tokens_in += t_in
                stats.tokens_out += t_out
            self._cache.settle(worst, billed, key, reply)
            stats.answers += 1
        if billed.tokens > worst.tokens or billed.cost > worst.cost:
            reason = (
                f"the server counts {billed.tokens:,} tokens for a request that can have "
                f"{worst.tokens:,} at most; its counts cannot be held against a cap"
            )
            raise Failure("overcounted", reason, fatal=True)
        return reply

    @asynccontextmanager
    async def _reserved(self, worst: Expense) -> AsyncIterator[None]:
        """Reserve the worst case; where it does not fit, wait for requests under way to settle."""
        async with self._settled:
            while not self._cache.reserve(worst, self._config.allows):
                if not self._under_way:
                    raise _CapReached
                await self._settled.wait()
            self._under_way += 1
        try:
            yield
        finally:
            async with self._settled:
                self._under_way -= 1
                self._settled.notify_all()

    def _leave_out(self, refused: Mapping[str, Any]) -> bool:
        """Drop or rename the setting that the server does not take; false where it names none."""
        named, said = refused.get("param"), str(refused.get("message", ""))
        if "max_tokens" in self._settings and (
            named == "max_tokens" or "max_completion_tokens" in said
        ):
            self._settings["max_completion_tokens"] = self._settings.pop("max_tokens")
            self._stats.fallbacks["max_completion_tokens for max_tokens"] += 1
            return True
        for name in ("temperature", "seed"):
            if name in self._settings and (named == name or f"'{name}'" in said):
                del self._settings[name]
                self._stats.fallbacks[f"without {name}"] += 1
                return True
        return False

    def _clean(self, text: str) -> str:
        """Foreign text without the key, should the server give it back."""
        return text.replace(self._key, "[key]") if len(self._key) >= 8 else text
