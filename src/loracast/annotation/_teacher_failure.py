"""What it means that a request brought no answer: is another try of use, and may it be billed.

Knows the errors of the openai client, and neither questions nor caps.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from loracast.annotation._teacher_reply import NotTheAPI, printable

__all__ = ["Failure", "failure_of"]

TRY_AGAIN = {408, 409, 425, 429}  # and all from 500 on
HOPELESS = {401, 402, 403, 404, 405}
# A gateway that gives up may leave a model behind that goes on, and is paid for.
MAYBE_BILLED = {502, 504, 520, 522, 524}
# A request that came back with these was not taken as it was: another form of it may be.
NOT_TAKEN = {400, 415, 422, 501}
NOTHING_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout"}  # of httpx


@dataclass(eq=False)
class Failure(Exception):  # noqa: N818 - an outcome, and mostly one that another try mends
    """A request without an answer.

    Args:
        kind: short, to count by: "429", "timeout" ...
        reason: for the user.
        retry: whether the same question may be asked again.
        wait: seconds that the server asks for.
        billed: whether it may be paid for all the same.
        fatal: no other question would fare better.
        refused: what the server says against the form of the request; another one may be taken.
    """

    kind: str
    reason: str
    retry: bool = False
    wait: float = 0.0
    billed: bool = False
    fatal: bool = False
    refused: Mapping[str, Any] | None = None


def failure_of(
    error: Exception, where: str, timeout: float, answered: bool, clean: Callable[[str], str]
) -> Failure:
    """What went wrong.

    Args:
        error: of the client, of the clock or of the reply's reader.
        where: host and port of the server.
        timeout: seconds that a request may take.
        answered: whether the server has answered before.
        clean: takes the key out of foreign text.
    """
    import openai

    if isinstance(error, NotTheAPI):
        reason = f"{where}: {error}; expected a chat completion"
        if answered:
            return Failure("not the API", reason, retry=True, billed=True)
        hint = "; check base_url, which often ends in /v1"
        return Failure("not the API", reason + hint, fatal=True, billed=True)
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, where, clean)
    causes = list(_chain(error))
    sent = not any(type(cause).__name__ in NOTHING_SENT for cause in causes)
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return Failure("timeout", f"no whole answer in {timeout:g} s", retry=True, billed=sent)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = f"{where}: its certificate is not trusted ({printable(cause)})"
            return Failure("certificate", reason, fatal=True)
    system = [cause for cause in causes if isinstance(cause, OSError)]
    # The last error of the system, or the client's reason; the last of all may be a mere context,
    # such as a library's probe for an event loop.
    last = system[-1] if system else error.__cause__ or error
    reason = f"{where}: {printable(clean(str(last))) or type(last).__name__}"
    return Failure("connection", reason, retry=True, billed=sent)


def _of_status(error: Any, where: str, clean: Callable[[str], str]) -> Failure:
    status = int(error.status_code)
    body = error.body if isinstance(error.body, dict) else {}
    said = printable(clean(str(body.get("message", ""))))
    kind, reason = str(status), f"{where}: HTTP {status}" + (f" ({said})" if said else "")
    if status in HOPELESS or 300 <= status < 400 or body.get("code") == "insufficient_quota":
        hint = {404: "; check model and base_url", 401: "; check the key"}.get(status, "")
        return Failure(kind, reason + hint, fatal=True)
    if status in NOT_TAKEN:
        return Failure(kind, reason, refused=body)
    if status in TRY_AGAIN or status >= 500:
        wait = _asked_wait(error.response.headers)
        return Failure(kind, reason, retry=True, wait=wait, billed=status in MAYBE_BILLED)
    return Failure(kind, reason)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


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
