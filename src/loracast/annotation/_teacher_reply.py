"""From a server's reply to facts: the envelope, its `finish_reason`, then the JSON inside.

Everything a server says is foreign text: it is checked, cut and printed with its control
characters escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from loracast.annotation._facts import UNKNOWN_INDEX, Extremum, SeriesFacts
from loracast.annotation._fields import LABEL_FIELDS
from loracast.annotation._teacher_request import ANSWER_SCHEMA
from loracast.errors import AnnotationError

__all__ = ["NotTheAPI", "Reply", "facts_of_reply", "printable", "read_reply"]

SHOWN = 120  # characters of foreign text in a message


class NotTheAPI(AnnotationError):  # noqa: N818 - says what the server is not
    """The reply is no chat completion: HTML of a proxy or a wrong address, broken JSON."""


class Reply(BaseModel, frozen=True):
    """What counts in a reply.

    Args:
        text: the model's answer.
        finish_reason: why the model stopped.
        refusal: what it said instead of an answer.
        tokens_in, tokens_out: as the server counts them; None where it does not.
        limit: answer tokens that were allowed.
    """

    text: str = ""
    finish_reason: str | None = None
    refusal: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    limit: int = 0


def printable(text: object, most: int = SHOWN) -> str:
    """Foreign text in one line: white space folded, control characters escaped, cut."""
    line = " ".join(str(text).split())
    line = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)
    return line if len(line) <= most else line[: most - 3] + "..."


def read_reply(body: str, content_type: str = "") -> Reply:
    """The first choice of a chat completion.

    Raises:
        NotTheAPI: HTML, no JSON, or JSON of another kind.
    """
    if "html" in content_type.lower() or body.lstrip()[:1] == "<":
        raise NotTheAPI(f"got HTML ({printable(body, 60)!r})")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise NotTheAPI(f"got no JSON ({printable(body, 60)!r})") from None
    try:
        choice = data["choices"][0]
        said, usage = choice["message"], data.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        counted = all(type(count) is int and count >= 0 for count in counts)
        return Reply(
            text=said.get("content") or "",
            finish_reason=choice.get("finish_reason"),
            refusal=said.get("refusal"),
            tokens_in=counts[0] if counted else None,
            tokens_out=counts[1] if counted else None,
        )
    except (LookupError, TypeError, AttributeError, ValueError):
        shown = printable(body, 60)
        raise NotTheAPI(f"got JSON that is no chat completion ({shown!r})") from None


# "stop" is the API's word; the others are those of servers that pass on their engine's.
_FINISHED = (None, "stop", "eos", "eos_token", "stop_sequence", "end_turn")


def facts_of_reply(reply: Reply, length: int) -> SeriesFacts:
    """The four labels of an answer about a series of T points, as facts.

    Raises:
        AnnotationError: an answer that was cut, filtered or refused; no JSON object, a key
            missing, unknown or twice, a label outside its vocabulary.
    """
    if reply.finish_reason == "length":
        raise AnnotationError("truncated (finish_reason length); allow more answer tokens")
    if reply.finish_reason not in _FINISHED:
        raise AnnotationError(f"unfinished (finish_reason {printable(reply.finish_reason, 40)})")
    if reply.refusal:
        raise AnnotationError(f"refused ({printable(reply.refusal, 60)})")
    data = _json_object(reply.text)
    missing = [name for name in LABEL_FIELDS if name not in data]
    unknown = [name for name in data if name not in LABEL_FIELDS]
    if missing or unknown:
        what = f"missing key {missing[0]!r}" if missing else f"unknown key {unknown[0]!r:.40}"
        raise AnnotationError(f"{what}; expected the keys {', '.join(LABEL_FIELDS)}")
    labels = {name: _label(name, data[name]) for name in LABEL_FIELDS}
    return SeriesFacts(
        length=length,
        trend=labels["trend"],
        noise=labels["noise"],
        extrema=tuple(
            Extremum(kind, UNKNOWN_INDEX, float("nan"), labels[kind]) for kind in ("max", "min")
        ),
    )


def _label(name: str, value: Any) -> str:
    known = ANSWER_SCHEMA["properties"][name]["enum"]
    if not isinstance(value, str) or value.strip().lower() not in known:
        raise AnnotationError(
            f"{name}: got {printable(json.dumps(value), 60)}; expected one of {', '.join(known)}"
        )
    return value.strip().lower()


_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL | re.IGNORECASE)


def _json_object(text: str) -> dict[str, Any]:
    """The one JSON object of an answer, bare, fenced or with words around it."""
    shown = _THOUGHT.sub("", text)
    fenced = _FENCED.findall(shown)
    if len(fenced) == 1:
        shown = fenced[0]
    start = shown.find("{")
    if start < 0:
        raise AnnotationError(f"no JSON object in the answer ({printable(text, 60)!r})")
    decoder = json.JSONDecoder(object_pairs_hook=_no_repeats)
    try:
        data, end = decoder.raw_decode(shown, start)
    except (ValueError, RecursionError):  # a number may have too many digits
        raise AnnotationError(f"broken JSON in the answer ({printable(text, 60)!r})") from None
    if "{" in shown[end:]:
        raise AnnotationError("several JSON objects in the answer; expected one")
    assert isinstance(data, dict)
    return data


def _no_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise AnnotationError(f"the key {printable(key, 40)!r} twice in the answer")
        out[key] = value
    return out
