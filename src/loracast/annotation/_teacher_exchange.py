"""One request to a server that speaks OpenAI's chat API, and what its outcome means.

Sends, reads, settles the books, and says of a failure whether another try makes sense. Certificates
are checked, redirects not followed, and the key is taken out of every text that comes back.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

from loracast.annotation._teacher_cache import AnswerCache
from loracast.annotation._teacher_config import ServerConfig, TeacherStats
from loracast.annotation._teacher_reply import NotTheAPI, Reply, printable, read_reply
from loracast.annotation._teacher_request import FORMATS, Question, response_format
from loracast.annotation._teacher_spending import Spending
from loracast.errors import ConfigError

__all__ = ["Exchange", "Failure", "Fatal"]

TRY_AGAIN = {408, 409, 425, 429}  # and all from 500 on
HOPELESS = {401, 402, 403, 404, 405}
# A gateway that gives up may leave a model behind that goes on, and is paid for.
MAYBE_BILLED = {502, 504, 520, 522, 524}
# A request that came back with these was not taken as it was: another form of it may be.
NOT_TAKEN = {400, 415, 422, 501}
NOTHING_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout"}  # of httpx


class Fatal(Exception):  # noqa: N818 - ends a run
    """No other question would fare better; the message is for the user."""


@dataclass(frozen=True)
class Failure:
    """A request without an answer.

    Args:
        kind: short, to count by: "429", "timeout" ...
        reason: for the user.
        retry: whether the same question may be asked again.
        wait: seconds that the server asks for.
        free: ask again at once with what was learnt; not a try.
        lower: another answer format may be taken.
        fatal: no other question would fare better either.
    """

    kind: str
    reason: str
    retry: bool = True
    wait: float = 0.0
    free: bool = False
    lower: bool = False
    fatal: bool = False


class Exchange:
    """The connection of one run.

    Args:
        config: of the teacher.
        key: secret of the server.
        cache: where requests and answers are written down.
        spending: where reservations are settled.
        stats: counted up.

    Raises:
        ConfigError: the client is not installed.
    """

    def __init__(
        self,
        config: ServerConfig,
        key: str,
        cache: AnswerCache,
        spending: Spending,
        stats: TeacherStats,
    ) -> None:
        try:
            import openai
        except ImportError as problem:
            raise ConfigError(
                "a teacher behind a server needs openai, which is not installed; "
                "pip install 'loracast[teacher]'"
            ) from problem
        self._openai, self._config, self._key = openai, config, key
        self._cache, self._spending, self.stats = cache, spending, stats
        self._client = openai.AsyncOpenAI(
            api_key=key,
            base_url=config.base_url,
            timeout=config.timeout,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
        )
        self.form = FORMATS[0]  # the best answer format not known to be refused
        self.proven = False  # an answer came back in it
        self._settings: dict[str, Any] = {"seed": config.seed, "max_tokens": config.answer_tokens}
        if config.temperature is not None:
            self._settings["temperature"] = config.temperature

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.close()

    async def ask(
        self, key: str, question: Question, reservation: int, worst: tuple[int, Decimal], form: str
    ) -> Reply | Failure:
        """Send one request and settle what was reserved for it.

        Args:
            key: of the question.
            question: with its series.
            reservation: of `Spending`, for this request.
            worst: tokens and money it reserves.
            form: one of `FORMATS`.

        Raises:
            Fatal: no request would fare better.
            StorageError: the cache cannot be written.
        """
        request = self._cache.sent(key, *worst)
        self.stats.requests += 1
        settings = dict(self._settings)
        try:
            async with asyncio.timeout(self._config.timeout):
                raw = await self._client.chat.completions.with_raw_response.create(
                    model=self._config.model,
                    messages=question.messages(),  # type: ignore[arg-type]
                    **settings,
                    **response_format(form),
                )
                body = self._clean(raw.text)
            reply = read_reply(body, raw.headers.get("content-type", ""))
            told = reply.model_dump(include={"text", "refusal", "finish_reason"})
            clean = {name: text and self._clean(text) for name, text in told.items()}
            reply = reply.model_copy(update=clean)
        except (TimeoutError, NotTheAPI, self._openai.OpenAIError) as error:
            failure, billed = self._failure(error, settings, form)
            cost = worst if billed else (0, Decimal(0))
            self._spending.settle(reservation, *cost)
            self._cache.failed(request, failure.kind, *cost)
            if failure.fatal:
                raise Fatal(failure.reason) from error
            return failure
        self.form, self.proven = form, True
        return self._settle(request, key, reservation, worst, reply, form)

    def _settle(
        self,
        request: int,
        key: str,
        reservation: int,
        worst: tuple[int, Decimal],
        reply: Reply,
        form: str,
    ) -> Reply:
        tokens, cost = worst
        counted = reply.tokens_in is not None and reply.tokens_out is not None
        if counted:
            t_in, t_out = int(reply.tokens_in or 0), int(reply.tokens_out or 0)
            tokens, cost = t_in + t_out, self._spending.prices.cost(t_in, t_out)
            self.stats.tokens_in += t_in
            self.stats.tokens_out += t_out
        self._spending.settle(reservation, tokens, cost)
        self._cache.answered(
            request,
            key,
            tokens,
            cost,
            model=self._config.model,
            seed=self._config.seed,
            form=form,
            limit=self._config.answer_tokens,
            **reply.model_dump(),
        )
        self.stats.answers += 1
        if tokens > worst[0] or cost > worst[1]:
            raise Fatal(
                f"the server counts {tokens:,} tokens for a request that can have {worst[0]:,} at "
                "most; its counts cannot be held against a cap"
            )
        return reply

    def _failure(
        self, error: Exception, settings: Mapping[str, Any], form: str
    ) -> tuple[Failure, bool]:
        """What went wrong, and whether it may be billed all the same."""
        openai = self._openai
        if isinstance(error, NotTheAPI):
            return self._not_the_api(error), True
        if isinstance(error, TimeoutError | openai.APITimeoutError):
            sent = type(error.__cause__).__name__ not in NOTHING_SENT
            return Failure("timeout", f"no whole answer in {self._config.timeout:g} s"), sent
        if isinstance(error, openai.APIStatusError):
            return self._status(error, settings, form)
        causes = list(_chain(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                reason = f"{self._where}: its certificate is not trusted ({printable(cause)})"
                return Failure("certificate", reason, fatal=True), False
        last = _root(causes)
        reason = f"{self._where}: {self._clean(printable(last) or type(last).__name__)}"
        sent = not any(type(cause).__name__ in NOTHING_SENT for cause in causes)
        return Failure("connection", reason), sent

    def _not_the_api(self, error: NotTheAPI) -> Failure:
        reason = f"{self._where}: {error}; expected a chat completion"
        if not self.stats.answers:
            hint = "; check base_url, which often ends in /v1"
            return Failure("not the API", reason + hint, fatal=True)
        return Failure("not the API", reason)

    def _status(self, error: Any, settings: Mapping[str, Any], form: str) -> tuple[Failure, bool]:
        status = int(error.status_code)
        body = error.body if isinstance(error.body, dict) else {}
        said = self._clean(printable(body.get("message", "")))
        reason = f"{self._where}: HTTP {status}" + (f" ({said})" if said else "")
        kind = str(status)
        if status in HOPELESS or 300 <= status < 400:
            hint = {404: "; check model and base_url", 401: "; check the key"}.get(status, "")
            return Failure(kind, reason + hint, fatal=True), False
        if body.get("code") == "insufficient_quota":
            return Failure(kind, reason, fatal=True), False
        if status in TRY_AGAIN or (status >= 500 and status != 501):
            wait = _asked_wait(error.response.headers)
            return Failure(kind, reason, wait=wait), status in MAYBE_BILLED
        if status in NOT_TAKEN:
            if settings != self._settings or self._leave_out(body, said):
                return Failure(kind, reason, free=True), False
            lower = form != FORMATS[-1] and not self.proven
            return Failure(kind, reason, retry=False, lower=lower), False
        return Failure(kind, reason, retry=False), False

    def _leave_out(self, body: Mapping[str, Any], said: str) -> bool:
        """Drop or rename the setting that the server does not take; false where it names none."""
        named = body.get("param")
        if "max_tokens" in self._settings and (
            named == "max_tokens" or "max_completion_tokens" in said
        ):
            self._settings["max_completion_tokens"] = self._settings.pop("max_tokens")
            self.stats.fallbacks["max_completion_tokens for max_tokens"] += 1
            return True
        for name in ("temperature", "seed"):
            if name in self._settings and (named == name or f"'{name}'" in said):
                del self._settings[name]
                self.stats.fallbacks[f"without {name}"] += 1
                return True
        return False

    @property
    def _where(self) -> str:
        return self._client.base_url.netloc.decode("ascii", "replace")  # no credentials in it

    def _clean(self, text: str) -> str:
        """Foreign text without the key, should the server give it back."""
        return text.replace(self._key, "[key]") if len(self._key) >= 8 else text


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, outermost first."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _root(causes: list[BaseException]) -> BaseException:
    """What a user can act on: the last error of the system, else the last that was named a cause.

    The last of all may be a mere context, such as a library's probe for an event loop.
    """
    system = [error for error in causes if isinstance(error, OSError)]
    if system:
        return system[-1]
    last = causes[0]
    while last.__cause__ is not None:
        last = last.__cause__
    return last


def _asked_wait(headers: Mapping[str, str]) -> float:
    """Seconds of `Retry-After` (a number, or a date: RFC 9110 section 10.2.3); 0 for none."""
    text = headers.get("retry-after", "").strip()
    with suppress(ValueError):
        return max(float(text), 0.0)
    with suppress(ValueError, TypeError):
        until = parsedate_to_datetime(text)
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max((until - datetime.now(UTC)).total_seconds(), 0.0)
    return 0.0
