"""Teachers behind a real HTTP server on loopback that fails, stalls, truncates and lies."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import os
import random
import shutil
import signal
import ssl
import subprocess
import threading
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loracast.annotation import (
    AnnotatedSeries,
    LatentTeacher,
    OpenAITeacher,
    Prices,
    RuleTeacher,
    ServerConfig,
    TeacherLabel,
    describe_chunk,
    filter_agreement,
    label_of,
    write_rejections,
)
from loracast.annotation._described import DescribedSeries
from loracast.annotation._facts import Extremum, SeriesFacts
from loracast.annotation._teacher_cache import AnswerCache
from loracast.annotation._teacher_config import Expense
from loracast.annotation._teacher_reply import NotTheAPI, Reply, facts_of_reply, read_reply
from loracast.annotation._teacher_request import SeriesQuestion
from loracast.errors import AnnotationError, ConfigError, LoracastError, StorageError

diskcache = pytest.importorskip("diskcache")
pytest.importorskip("openai")

SECRET = "sk-a-key-that-must-not-be-written-anywhere"
FIELDS = ("trend", "noise", "max", "min")
Behaviour = Callable[["Server", int, str], dict[str, Any]]


def slow_text(values: Sequence[float]) -> str:
    """The published two digits, one number after the other."""
    known = [v for v in values if not math.isnan(v)]
    low, high = min(known), max(known)
    cells = []
    for v in values:
        if math.isnan(v):
            cells.append("??")
        else:
            cells.append(f"{math.floor((v - low) / (high - low) * 99.9999):02d}")
    return "[" + ", ".join(cells) + "]"


class Server:
    """Answers as `behave(server, number of the request, series text)` says.

    A behaviour is a dict: `status`, `headers`, `body`, `content`, `finish`, `usage`, `stall`
    ("answer", "body" or "head"), or `drop`. Without any of them the truth is answered.
    """

    def __init__(self, items: Sequence[AnnotatedSeries], behave: Behaviour) -> None:
        self.truth = self.truth_of(items)
        self.behave = behave
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.keys: list[str] = []
        self.billed = Decimal(0)  # tokens in + 2 x tokens out, by this server's own count
        self.asked: Counter[str] = Counter()
        self.go_on = threading.Event()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @staticmethod
    def truth_of(items: Sequence[AnnotatedSeries]) -> dict[str, dict[str, str | None]]:
        return {
            slow_text(item.values.tolist()): {name: label_of(item.facts, name) for name in FIELDS}
            for item in items
        }

    def close(self) -> None:
        self.go_on.set()
        self.http.shutdown()
        self.http.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        series = text_of(body).rsplit("Series: ", 1)[-1]
        with self._lock:
            number = len(self.requests)
            self.requests.append(body)
            self.times.append(time.monotonic())
            self.keys.append(handler.headers["authorization"])
            self.asked[series] += 1
            how = self.behave(self, number, series)
        if how.get("drop"):
            handler.close_connection = True
            handler.connection.close()
            return
        if how.get("stall") == "answer":
            self.go_on.wait(5)
            return
        content = how.get("content", json.dumps(self.truth.get(series)))
        usage = how.get("usage", {"prompt_tokens": 500, "completion_tokens": 30})
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "message": message, "finish_reason": how.get("finish", "stop")}
        data = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
        text = how.get("body", json.dumps({**data, "choices": [choice], "usage": usage}))
        status = how.get("status", 200)
        if status == 200 and usage and "body" not in how:
            with self._lock:
                tokens = usage["prompt_tokens"] + 2 * usage["completion_tokens"]
                self.billed += Decimal(tokens)
        raw = text.encode()
        headers = {"content-type": "application/json", "content-length": str(len(raw))}
        head = f"HTTP/1.1 {status} X\r\n" + "".join(
            f"{k}: {v}\r\n" for k, v in {**headers, **how.get("headers", {})}.items()
        )
        try:
            if how.get("stall"):  # a byte now and then, so that no single read ever times out
                whole = (head + "\r\n").encode() + raw
                first = 5 if how["stall"] == "head" else len(head) + 10
                handler.wfile.write(whole[:first])
                for k in range(first, len(whole)):
                    if self.go_on.wait(0.02):
                        break
                    handler.wfile.write(whole[k : k + 1])
                return
            handler.wfile.write((head + "\r\n").encode() + raw)
        except OSError:
            pass  # the client has hung up


def text_of(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[0]["text"])


def described(n: int, seed: int = 5, length: int = 32) -> list[AnnotatedSeries]:
    chunk: list[DescribedSeries] = describe_chunk(seed, 0, n, lengths=(length, length))
    return [
        AnnotatedSeries(s.values, s.facts, f"s{i}", provenance={"family": s.family})
        for i, s in enumerate(chunk)
    ]


@pytest.fixture
def items() -> list[AnnotatedSeries]:
    return described(8)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    running: list[Server] = []

    def start(items: Sequence[AnnotatedSeries], behave: Behaviour | None = None) -> Server:
        running.append(Server(items, behave or (lambda *_: {})))
        return running[-1]

    yield start
    for server in running:
        server.close()


def config(server: Server, **change: Any) -> ServerConfig:
    given: dict[str, Any] = {
        "model": "small",
        "base_url": server.url,
        "workers": 1,
        "timeout": 5.0,
        "first_wait": 0.01,
        "longest_wait": 1.0,
        **change,
    }
    return ServerConfig(**given)


def held(cache: Path) -> dict[str, Any]:
    """Everything that a cache holds, by key, as the library alone reads it."""
    with diskcache.Cache(cache, disk=diskcache.JSONDisk) as content:
        return {key: content[key] for key in content}


def labels_of(label: TeacherLabel) -> dict[str, str | None]:
    assert label.facts is not None, label.reason
    return {name: label_of(label.facts, name) for name in FIELDS}


# What is asked


@pytest.mark.parametrize("workers", [1, 4])
def test_every_request_contains_its_series(items: Any, serve: Any, workers: int) -> None:
    server = serve(items)
    labels = OpenAITeacher(config(server, workers=workers)).describe(items)
    assert [labels_of(label) for label in labels] == [
        {name: label_of(item.facts, name) for name in FIELDS} for item in items
    ]
    assert len(server.requests) == len(items)
    texts = [text_of(body) for body in server.requests]
    for item in items:
        assert sum(slow_text(item.values.tolist()) in text for text in texts) == 1
    for body in server.requests:
        assert body["model"] == "small"
        assert body["seed"] == 0
        assert body["temperature"] == 0
        assert body["max_tokens"] == 512
        assert body["response_format"]["type"] == "json_schema"
    assert set(server.keys) == {f"Bearer {SECRET}"}


def test_a_picture_request_contains_the_series_as_drawn(items: Any, serve: Any) -> None:
    from PIL import Image

    server = serve(items)
    drawn = [*items[:2], described(1, seed=6, length=200)[0]]
    server.behave = lambda *_: {"content": json.dumps(server.truth[slow_text(items[0].values)])}
    OpenAITeacher(config(server, picture=True)).describe(drawn)
    for item, body in zip(drawn, server.requests, strict=True):
        text, image = body["messages"][-1]["content"]
        assert "picture" in text["text"]
        assert "[" not in text["text"], "numbers beside the picture"
        prefix, data = image["image_url"]["url"].split(",", 1)
        assert prefix == "data:image/png;base64"
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"))
        inside = picture[30:460, 75:480] < 128  # of the axes
        # Mean height of the dark pixels of each column against the series, by order of columns.
        columns = np.flatnonzero(inside.any(axis=0))
        height = np.array([-np.flatnonzero(inside[:, c]).mean() for c in columns])
        at = (columns + 75 - 0.12 * 512) / (0.85 * 512) * len(item.values) - 0.5
        known = np.flatnonzero(~np.isnan(item.values))
        expected = np.interp(at, known, item.values[known])
        assert np.corrcoef(height, expected)[0, 1] > 0.97, item.id
    urls = {body["messages"][-1]["content"][1]["image_url"]["url"] for body in server.requests}
    assert len(urls) == 3


def test_a_question_without_a_series_cannot_be_made() -> None:
    for values in ([], [np.nan, np.nan]):
        with pytest.raises(AnnotationError, match="got a series"):
            SeriesQuestion(np.array(values))


def test_the_key_of_a_question_is_its_prompt_model_and_seed(items: Any) -> None:
    a, b = SeriesQuestion(items[0].values), SeriesQuestion(items[1].values)
    seen = SeriesQuestion(items[0].values, picture=True)
    keys = [a.key("m", 0), b.key("m", 0), a.key("n", 0), a.key("m", 1), seen.key("m", 0)]
    assert len(set(keys)) == 5
    assert SeriesQuestion(items[0].values.copy()).key("m", 0) == keys[0]


@pytest.mark.parametrize("picture", [False, True])
def test_the_bound_of_a_prompt_holds_for_a_real_tokenizer(items: Any, picture: bool) -> None:
    from tokenizers import Tokenizer

    import loracast.backbone

    folder = Path(loracast.backbone.__file__).parent / "vocabulary"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    question = SeriesQuestion(items[0].values, picture=picture)
    text = text_of({"messages": question.messages()})
    assert len(tokenizer.encode(text).ids) <= question.most_tokens() - 8500 * picture
    assert picture == (question.most_tokens() > 8500)


# The lying server


def test_failures_are_retried_and_counted(items: Any, serve: Any) -> None:
    def behave(server: Server, number: int, series: str) -> dict[str, Any]:
        if number in (1, 2):
            return {"status": 500, "body": "{}"}
        if number == 4:
            return {"status": 429, "headers": {"retry-after": "0.4"}, "body": "{}"}
        if number == 6:
            return {"drop": True}
        if number == 8:
            html = {"content-type": "text/html"}
            return {"status": 502, "headers": html, "body": "<html>bad gateway</html>"}
        return {}

    server = serve(items, behave)
    teacher = OpenAITeacher(config(server))
    labels = teacher.describe(items)
    assert all(label.facts for label in labels)
    stats = teacher.stats
    assert stats.retries == {"500": 2, "429": 1, "connection": 1, "502": 1}
    assert (stats.requests, stats.answers, stats.failed) == (13, 8, 0)
    assert len(server.requests) == 13
    assert server.times[5] - server.times[4] >= 0.4, "Retry-After"
    assert server.times[2] - server.times[1] < 0.3


@pytest.mark.parametrize("luck", [0.0, 1.0])
def test_waits_double_and_are_jittered(
    items: Any, serve: Any, monkeypatch: pytest.MonkeyPatch, luck: float
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: low + luck * (high - low))
    server = serve(items, lambda *_: {"status": 500, "body": "{}"})
    with pytest.raises(AnnotationError, match=r"no answer after 5 tries, the last: .*HTTP 500"):
        OpenAITeacher(config(server, first_wait=0.05)).describe(items)
    waits = np.diff(server.times)
    assert len(waits) == 4
    for k, wait in enumerate(waits):
        assert (0.5 + luck) * 0.05 * 2**k <= wait < (0.5 + luck) * 0.05 * 2**k + 0.5


@pytest.mark.parametrize("where", ["answer", "body", "head"])
def test_a_stall_is_cut_and_counted_in_full(items: Any, serve: Any, where: str) -> None:
    server = serve(items, lambda s, number, x: {"stall": where} if number == 1 else {})
    teacher = OpenAITeacher(config(server, timeout=0.5))
    start = time.monotonic()
    assert all(label.facts for label in teacher.describe(items[:3]))
    assert time.monotonic() - start < 4
    assert teacher.stats.retries == {"timeout": 1}
    lost = SeriesQuestion(items[1].values).most_tokens() + 512
    assert teacher.stats.tokens == 3 * 530 + lost


def test_a_truncated_answer_is_not_parsed(items: Any, serve: Any, tmp_path: Path) -> None:
    def behave(server: Server, number: int, series: str) -> dict[str, Any]:
        cut = server.requests[-1]["max_tokens"] < 512 and number < 2
        return {"finish": "length"} if cut else {}  # valid JSON all the same

    server = serve(items, behave)
    small = config(server, answer_tokens=100, cache=tmp_path / "c")
    labels = OpenAITeacher(small).describe(items)
    assert [label.facts is None for label in labels] == [True] * 2 + [False] * 6
    assert "finish_reason length" in labels[0].reason
    again = OpenAITeacher(small)
    again.describe(items)
    assert (again.stats.requests, again.stats.cached) == (0, 8)
    more = OpenAITeacher(config(server, answer_tokens=512, cache=tmp_path / "c"))
    assert all(label.facts for label in more.describe(items))
    assert more.stats.requests == 2, "only what was cut is asked again"


def test_lies_are_rejected_field_by_field(items: Any, serve: Any, tmp_path: Path) -> None:
    other = {"trend": ("increasing", "decreasing"), "noise": ("low", "high")}

    def behave(server: Server, number: int, series: str) -> dict[str, Any]:
        answer = dict(server.truth[series])
        if number in (0, 1, 2):
            answer["trend"] = other["trend"][answer["trend"] == other["trend"][0]]
        if number in (2, 3):
            answer["noise"] = other["noise"][answer["noise"] == other["noise"][0]]
        if number == 4:
            answer["trend"] = "upward"
        if number == 5:
            del answer["max"]
        return {"content": json.dumps(answer)}

    server = serve(items, behave)
    teacher = OpenAITeacher(config(server))
    labels = teacher.describe(items)
    truth = LatentTeacher().describe(items)
    result = filter_agreement(items, labels, truth, teacher="small", rule="latents")
    assert result.by_field == {"answer": 2, "trend": 3, "noise": 2}
    assert (result.rows_rejected, len(result.kept)) == (6, 2)
    assert teacher.stats.requests == 8, "a lie is no failure to retry"
    assert [item.id for item in result.kept] == ["s6", "s7"]
    path = tmp_path / "rejected.jsonl"
    assert write_rejections(path, result.rejections) == 7
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(r["row"], r["field"]) for r in rows] == [
        (0, "trend"),
        (1, "trend"),
        (2, "trend"),
        (2, "noise"),
        (3, "noise"),
        (4, "answer"),
        (5, "answer"),
    ]
    assert rows[0]["teacher"] != rows[0]["rule"] == label_of(items[0].facts, "trend")
    assert rows[0]["reason"] == f"small says {rows[0]['teacher']}, latents says {rows[0]['rule']}"
    assert "trend" in rows[5]["reason"]
    assert "upward" in rows[5]["reason"]
    assert "missing key 'max'" in rows[6]["reason"]
    trend_only = filter_agreement(items, labels, truth, ("trend",), teacher="t", rule="latents")
    assert trend_only.by_field == {"answer": 2, "trend": 3}
    kept = trend_only.kept[0]
    assert kept.id == "s3"
    assert kept.facts.noise == label_of(labels[3].facts, "noise") != items[3].facts.noise
    assert kept.facts.extrema == items[3].facts.extrema, "agreed regions keep the rule's places"
    assert kept.provenance["agreed"] == ["trend"]


HTML = {"headers": {"content-type": "text/html"}, "body": "<!DOCTYPE html><p>Sign in</p>"}


def test_html_from_the_start_ends_the_run_at_once(items: Any, serve: Any) -> None:
    server = serve(items, lambda *_: HTML)
    with pytest.raises(AnnotationError, match=r"got HTML .*Sign in.*ends in /v1") as caught:
        OpenAITeacher(config(server)).describe(items)
    assert "\n" not in str(caught.value)
    assert len(server.requests) == 1


def test_html_in_the_middle_is_retried_and_nothing_is_lost(
    items: Any, serve: Any, tmp_path: Path
) -> None:
    server = serve(items, lambda s, number, x: HTML if number == 3 else {})
    teacher = OpenAITeacher(config(server, cache=tmp_path / "c"))
    assert all(label.facts for label in teacher.describe(items))
    assert teacher.stats.retries == {"not the API": 1}
    server.behave = lambda s, number, x: {} if number == 9 else HTML
    more = described(8, seed=9)
    server.truth |= Server.truth_of(more)
    with pytest.raises(AnnotationError, match=r"in a row.*HTML.*\(1\) are kept in .*/c,"):
        OpenAITeacher(config(server, cache=tmp_path / "c", tries=2)).describe(more)


@pytest.mark.parametrize(
    "wrap",
    [
        "```json\n%s\n```",
        "Here it is:\n```\n%s\n```\nAnything else?",
        "<think>up {or} down?</think>\n%s",
        "The answer is %s.",
    ],
)
def test_json_is_found_in_fences_and_words(items: Any, serve: Any, wrap: str) -> None:
    server = serve(items, lambda s, n, series: {"content": wrap % json.dumps(s.truth[series])})
    labels = OpenAITeacher(config(server)).describe(items[:2])
    for item, label in zip(items, labels, strict=False):
        assert labels_of(label) == {name: label_of(item.facts, name) for name in FIELDS}


GOOD = '{"trend": "flat", "noise": "low", "max": "end", "min": "middle"}'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no JSON object"),
        ("it goes up", "no JSON object"),
        (GOOD[:-5], "broken JSON"),
        (GOOD + GOOD, "several JSON objects"),
        (GOOD.replace('"flat"', '["flat"]'), r'trend: got \["flat"\]'),
        (GOOD.replace("flat", "up\\u001b[31m"), r"trend: got .*expected one of increasing"),
        (GOOD.replace("}", ', "trend": "flat"}'), "'trend' twice"),
        (GOOD.replace("}", ', "why": "so"}'), "unknown key 'why'"),
        (GOOD.replace('"max": "end", ', ""), "missing key 'max'"),
        ("[" * 100_000, "no JSON object"),
        ('{"trend":' * 20_000, "broken JSON"),
        (GOOD.replace('"flat"', "9" * 5000), "broken JSON"),
    ],
)
def test_wrong_answers_are_told_in_one_line(content: str | None, reason: str) -> None:
    body = json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]})
    with pytest.raises(AnnotationError, match=reason) as caught:
        facts_of_reply(read_reply(body), 32)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": GOOD}, "finish_reason": "content_filter"},
        {"message": {"content": GOOD}, "finish_reason": "tool_calls"},
        {"message": {"content": GOOD, "refusal": "No."}, "finish_reason": "stop"},
    ],
)
def test_an_answer_that_is_none_is_not_taken(choice: dict[str, Any]) -> None:
    with pytest.raises(AnnotationError, match=r"finish_reason|refused"):
        facts_of_reply(read_reply(json.dumps({"choices": [choice]})), 32)


@pytest.mark.parametrize("body", ["", "null", "[]", "{}", '{"choices": []}', '{"choices": [{}]}'])
def test_json_of_another_kind_is_not_the_api(body: str) -> None:
    with pytest.raises(NotTheAPI):
        read_reply(body)


# Fallbacks


def test_answer_formats_fall_back_once_and_stay(items: Any, serve: Any) -> None:
    def behave(server: Server, number: int, series: str) -> dict[str, Any]:
        if "response_format" in server.requests[-1]:
            return {"status": 400, "body": '{"error": {"message": "response_format: no"}}'}
        return {}

    server = serve(items, behave)
    teacher = OpenAITeacher(config(server))
    assert all(label.facts for label in teacher.describe(items))
    forms = [r.get("response_format", {}).get("type") for r in server.requests]
    assert forms == ["json_schema", "json_object"] + [None] * 8
    assert teacher.stats.fallbacks == {"json_object after 400": 1, "text after 400": 1}
    assert teacher.stats.retries == {}


def test_a_refused_series_is_no_reason_to_fall_back(items: Any, serve: Any) -> None:
    said = '{"error": {"message": "maximum context length is 9 tokens"}}'
    server = serve(items, lambda s, n, x: {"status": 400, "body": said} if n in (2, 5) else {})
    teacher = OpenAITeacher(config(server))
    labels = teacher.describe(items)
    assert [i for i, label in enumerate(labels) if label.facts is None] == [2, 5]
    assert "maximum context length" in labels[2].reason
    assert (teacher.stats.requests, teacher.stats.failed) == (8, 2)
    assert {r["response_format"]["type"] for r in server.requests} == {"json_schema"}


def test_settings_that_a_model_does_not_take_are_left_out_and_told(items: Any, serve: Any) -> None:
    def behave(server: Server, number: int, series: str) -> dict[str, Any]:
        body = server.requests[-1]
        for name, hint in (("max_tokens", "Use 'max_completion_tokens'"), ("temperature", "")):
            if name in body:
                error = {"message": f"Unsupported: '{name}'. {hint}", "param": name}
                return {"status": 400, "body": json.dumps({"error": error})}
        return {}

    server = serve(items, behave)
    teacher = OpenAITeacher(config(server, workers=4))
    assert all(label.facts for label in teacher.describe(items))
    assert teacher.stats.fallbacks == {
        "max_completion_tokens for max_tokens": 1,
        "without temperature": 1,
    }
    last = server.requests[-1]
    assert last["max_completion_tokens"] == 512
    assert last["response_format"]["type"] == "json_schema"
    assert len(server.requests) <= 8 + 2 * 4


# What ends a run


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {"status": 401, "body": json.dumps({"error": {"message": f"bad key {SECRET}"}})},
            "401.*the key",
        ),
        ({"status": 404, "body": '{"error": {"message": "no model small"}}'}, "404.*base_url"),
        ({"status": 307, "headers": {"location": "http://127.0.0.1:1/"}, "body": ""}, "HTTP 307"),
        (
            {"status": 429, "body": '{"error": {"code": "insufficient_quota", "message": "pay"}}'},
            "pay",
        ),
        ({"status": 429, "headers": {"retry-after": "7200"}, "body": "{}"}, "wait 7,200 s"),
        (
            {
                "status": 503,
                "headers": {"retry-after": "Fri, 31 Dec 2999 23:59:59 GMT"},
                "body": "",
            },
            "asks to wait",
        ),
    ],
)
def test_hopeless_answers_end_the_run_in_one_line(
    items: Any, serve: Any, how: dict[str, Any], message: str
) -> None:
    server = serve(items, lambda *_: how)
    with pytest.raises(AnnotationError, match=message) as caught:
        OpenAITeacher(config(server)).describe(items)
    assert len(server.requests) == 1
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_gone_is_one_line(items: Any, serve: Any) -> None:
    server = serve(items)
    gone = config(server, tries=2, base_url="http://127.0.0.1:9/v1", max_tokens=100_000)
    teacher = OpenAITeacher(gone)
    with pytest.raises(AnnotationError, match=r"no answer after 2 tries.*127\.0\.0\.1") as caught:
        teacher.describe(items)
    assert "Errno" in str(caught.value)
    assert "event loop" not in str(caught.value)
    assert teacher.stats.tokens == 0, "nothing was sent, nothing is counted"


def test_three_in_a_row_without_an_answer_end_the_run(items: Any, serve: Any) -> None:
    server = serve(items, lambda s, n, x: {} if n < 2 else {"status": 503, "body": ""})
    with pytest.raises(AnnotationError, match="3 series in a row"):
        OpenAITeacher(config(server, tries=2)).describe(items)
    assert len(server.requests) == 2 + 3 * 2


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
def test_a_certificate_nobody_signed_is_refused(items: Any, serve: Any, tmp_path: Path) -> None:
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
    make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(cert), "-keyout", str(key)]
    subprocess.run(["openssl", *make, *names, *files], check=True, capture_output=True, timeout=30)
    server = serve(items)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    secure = config(server, base_url=server.url.replace("http:", "https:"))
    server.http.handle_error = lambda *_: None
    with pytest.raises(AnnotationError, match=r"certificate is not trusted .*self-signed"):
        OpenAITeacher(secure).describe(items)
    assert server.requests == []


@pytest.mark.parametrize("value", [None, "", "  ", "sk-\nx", "sk-é"])
def test_a_missing_or_impossible_key_is_one_line(
    items: Any, serve: Any, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    server = serve(items)
    if value is None:
        monkeypatch.delenv("OPENAI_API_KEY")
    else:
        monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as caught:
        OpenAITeacher(config(server)).describe(items)
    assert "sk-" not in str(caught.value)
    assert server.requests == []


def test_the_key_is_never_written(items: Any, serve: Any, tmp_path: Path) -> None:
    hidden = SECRET.replace("k", "\\u006b")
    answers = [
        {"content": f"your key is {SECRET}"},
        {"body": f'{{"choices": [{{"message": {{"content": "{hidden}"}}}}]}}'},
        {"status": 500, "body": json.dumps({"error": {"message": SECRET}})},
    ]
    server = serve(items, lambda s, number, x: answers[number] if number < 3 else {})
    teacher = OpenAITeacher(config(server, cache=tmp_path / "c"))
    labels = teacher.describe(items[:4])
    assert [label.facts is None for label in labels] == [True, True, False, False]
    written = json.dumps(held(tmp_path / "c"))
    assert written.count("finish_reason") == 4
    assert all(SECRET.encode() not in file.read_bytes() for file in (tmp_path / "c").iterdir())
    assert SECRET not in written + repr(labels) + repr(teacher.stats)
    assert "[key]" in written


# Caps


@pytest.mark.parametrize("workers", [1, 4])
def test_the_cap_on_money_is_never_passed(serve: Any, workers: int) -> None:
    items = described(40)

    def behave(server: Server, number: int, series: str) -> dict[str, Any]:
        # As dear as can be: a token for every byte of the prompt, and all answer tokens.
        prompt = len(json.dumps(server.requests[-1]["messages"]).encode())
        return {"usage": {"prompt_tokens": prompt, "completion_tokens": 100}}

    server = serve(items, behave)
    cap = 0.02
    teacher = OpenAITeacher(
        config(server, workers=workers, answer_tokens=100, prices=Prices(1, 2), max_cost=cap)
    )
    labels = teacher.describe(items)
    asked = [label for label in labels if label.asked]
    assert all(label.facts for label in asked)
    assert len(asked) == len(server.requests) == teacher.stats.answers
    assert 5 < len(asked) < 40
    assert teacher.stats.not_asked == 40 - len(asked)
    cost = server.billed / 1_000_000
    assert cost <= Decimal(str(cap))
    assert teacher.stats.cost == pytest.approx(float(cost))
    worst = max(teacher.config.worst_case(SeriesQuestion(item.values)).cost for item in items)
    assert cost + worst > Decimal(str(cap)), "it went on for as long as it could"


def test_what_was_reserved_too_much_is_free_again(serve: Any) -> None:
    items = described(12)
    server = serve(items)  # 530 tokens each, of 2,000 and more reserved
    worst = SeriesQuestion(items[0].values).most_tokens() + 512
    teacher = OpenAITeacher(config(server, workers=4, max_tokens=11 * 530 + worst + 40))
    labels = teacher.describe(items)
    assert sum(label.asked for label in labels) == 12
    assert teacher.stats.tokens == 12 * 530


def test_lost_requests_and_earlier_runs_count_against_the_cap(
    items: Any, serve: Any, tmp_path: Path
) -> None:
    cache = tmp_path / "c"
    server = serve(items, lambda s, number, x: {"stall": "answer"} if number == 1 else {})
    worst = [SeriesQuestion(item.values).most_tokens() + 512 for item in items]
    most = 530 + worst[1] + worst[1]  # one answer, one lost, and no more than one besides
    first = OpenAITeacher(config(server, timeout=0.3, max_tokens=most, cache=cache))
    assert [label.asked for label in first.describe(items)] == [True] * 2 + [False] * 6
    assert first.stats.tokens == 2 * 530 + worst[1] <= most
    again = OpenAITeacher(config(server, max_tokens=most, cache=cache))
    again.describe(items)
    assert (again.stats.requests, again.stats.cached) == (0, 2)
    more = OpenAITeacher(config(server, max_tokens=100_000, cache=cache))
    assert all(label.facts for label in more.describe(items))
    assert more.stats.total_tokens == 8 * 530 + worst[1]


def test_a_server_that_counts_more_than_can_be_ends_the_run(
    items: Any, serve: Any, tmp_path: Path
) -> None:
    lie = {"prompt_tokens": 10**9, "completion_tokens": 1}
    server = serve(items, lambda s, number, x: {"usage": lie} if number == 2 else {})
    teacher = OpenAITeacher(config(server, max_tokens=10**6, cache=tmp_path / "c"))
    with pytest.raises(AnnotationError, match="counts 1,000,000,001 tokens"):
        teacher.describe(items)
    assert len(server.requests) == 3


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -5, "completion_tokens": 1}, "no"])
def test_without_a_count_the_worst_case_is_counted(items: Any, serve: Any, usage: Any) -> None:
    choice = {"message": {"content": GOOD}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice], "usage": usage})
    server = serve(items, lambda *_: {"body": body})
    teacher = OpenAITeacher(config(server))
    teacher.describe(items[:1])
    assert teacher.stats.tokens == SeriesQuestion(items[0].values).most_tokens() + 512


@settings(max_examples=40)
@given(
    cap=st.integers(1, 5000),
    steps=st.lists(st.tuples(st.integers(0, 800), st.floats(0, 1), st.booleans()), max_size=40),
)
def test_no_order_of_requests_passes_a_cap(cap: int, steps: list[tuple[int, float, bool]]) -> None:
    price = 0.1  # 0.1 + 0.2 > 0.3 for floats
    prices = Prices(price, price)
    capped = ServerConfig("m", max_cost=cap * price / 1e6, prices=prices)

    def of(tokens: int) -> Expense:
        return Expense(tokens, prices.cost(tokens, 0))

    held: list[tuple[int, float]] = []
    with AnswerCache() as cache:
        for tokens, share, later in steps:
            if cache.reserve(of(tokens), capped.allows):
                held.append((tokens, share))
            while held and not later:
                tokens, share = held.pop(0)
                cache.settle(of(tokens), of(int(tokens * share)))
            assert cache.spent.tokens <= cap
    exact = ServerConfig("m", max_cost=0.3, prices=Prices(100_000, 0))
    with AnswerCache() as cache:
        dear = Expense(1, exact.prices.cost(1, 0))
        fits = [cache.reserve(dear, exact.allows) for _ in range(4)]
    assert fits == [True, True, True, False]


# Cache and resume


def test_a_killed_run_goes_on_and_asks_nothing_twice(
    items: Any, serve: Any, tmp_path: Path
) -> None:
    server = serve(items)
    cache = tmp_path / "c"
    done = 0

    def die(rows: int) -> None:
        nonlocal done
        done += rows
        if done == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside the server's thread
        child = os.fork()
    if child == 0:
        try:
            OpenAITeacher(config(server, cache=cache), die).describe(items)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert len(server.requests) == 3
    teacher = OpenAITeacher(config(server, cache=cache))
    plan = teacher.plan(items)
    assert (plan.requests, plan.cached) == (5, 3)
    labels = teacher.describe(items)
    assert [labels_of(label) for label in labels] == list(server.truth.values())
    assert set(server.asked.values()) == {1}
    assert (teacher.stats.cached, teacher.stats.requests) == (3, 5)
    assert teacher.stats.total_tokens == 8 * 530


def test_a_run_killed_while_it_waits_pays_for_what_is_lost_and_for_nothing_else(
    items: Any, serve: Any, tmp_path: Path
) -> None:
    child = 0

    def behave(server: Server, number: int, series: str) -> dict[str, Any]:
        if number == 3:
            os.kill(child, signal.SIGKILL)
        return {}

    server = serve(items, behave)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside the server's thread
        child = os.fork()
    if child == 0:
        try:
            OpenAITeacher(config(server, cache=tmp_path / "c")).describe(items)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    lost = SeriesQuestion(items[3].values).most_tokens() + 512
    teacher = OpenAITeacher(config(server, cache=tmp_path / "c"))
    plan = teacher.plan(items)
    assert (plan.requests, plan.cached, plan.spent_tokens) == (5, 3, 3 * 530 + lost)
    assert all(label.facts for label in teacher.describe(items))
    assert list(server.asked.values()) == [1, 1, 1, 2, 1, 1, 1, 1]
    assert teacher.stats.total_tokens == 8 * 530 + lost


def test_what_was_sent_and_lost_stays_counted(tmp_path: Path) -> None:
    path = tmp_path / "c"
    a, b, c = (Expense(100 * k, Decimal(k) / 10) for k in (3, 2, 4))
    with AnswerCache(path) as cache:
        assert all(cache.reserve(worst, lambda _: True) for worst in (a, b, c))
        cache.settle(a, Expense(10, Decimal("0.1")), "a", Reply(text="x", limit=5))
        cache.settle(c, Expense())
        live = cache.spent
    with AnswerCache(path) as cache:
        assert cache.spent == live == Expense(210, Decimal("0.3"))
        answer = cache.get("a", 5)
        assert answer is not None
        assert answer.text == "x"
        assert cache.get("b", 5) is None


def test_the_cache_only_grows(items: Any, serve: Any, tmp_path: Path) -> None:
    server = serve(items)
    cache = tmp_path / "c"
    OpenAITeacher(config(server, cache=cache)).describe(items[:4])
    before = held(cache)
    OpenAITeacher(config(server, cache=cache, seed=1)).describe(items[:4])
    after = held(cache)
    assert len(before) + 4 == len(after) == 9
    assert before.pop("spent") != after.pop("spent")
    assert before.items() <= after.items()
    assert len(server.requests) == 8, "another seed is another question"


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c", b"precious notes", "c: is a file; answers are kept in a folder"),
        ("c/notes.txt", b"precious notes", "c: holds other files than a cache"),
        ("c/cache.db", b"precious notes " * 100, "c: the cache cannot be used .*not a database"),
        ("c.jsonl", b'{"event": "sent", "request": 0, "key"', r"c\.jsonl: holds answers as an ea"),
    ],
)
def test_what_is_no_cache_is_refused_and_left_alone(
    tmp_path: Path, name: str, content: bytes, message: str, read_only: bool
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(LoracastError, match=message) as caught:
        AnswerCache(tmp_path / "c", read_only=read_only)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_file_of_another_kind_beside_a_new_cache_is_none_of_its_business(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"schema_version": 1}\n')
    AnswerCache(tmp_path / "c").close()


@pytest.mark.parametrize(
    "value",
    [
        {"text": 7},
        {"text": "x", "tokens_in": "many"},
        [1, 2],
        "a word",
    ],
)
def test_a_foreign_value_in_a_cache_is_refused(tmp_path: Path, value: Any) -> None:
    AnswerCache(tmp_path / "c").close()
    with diskcache.Cache(tmp_path / "c", disk=diskcache.JSONDisk) as content:
        content["a"] = value
    message = "c: holds something that no teacher's cache does"
    with AnswerCache(tmp_path / "c") as cache, pytest.raises(AnnotationError, match=message):
        cache.get("a", 5)


def test_a_pickle_in_a_cache_is_never_run(tmp_path: Path) -> None:
    AnswerCache(tmp_path / "c").close()
    with diskcache.Cache(tmp_path / "c", disk=diskcache.Disk) as content:
        content[zlib.compress(b'"a"', 1)] = Trap(tmp_path / "sprung")
    with (
        AnswerCache(tmp_path / "c") as cache,
        pytest.raises(AnnotationError, match="holds something"),
    ):
        cache.get("a", 5)
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Makes a folder where somebody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_cache_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"c: the cache cannot be used \(.*No such file"):
        AnswerCache(tmp_path / "none" / "c")


def test_equal_series_are_asked_about_once(items: Any, serve: Any) -> None:
    server = serve(items)
    told: list[int] = []
    teacher = OpenAITeacher(config(server, workers=4), told.append)
    labels = teacher.describe([*items, items[0], items[0]])
    assert len(server.requests) == 8
    assert sum(told) == 10
    assert labels_of(labels[0]) == labels_of(labels[8]) == labels_of(labels[9])


def test_a_series_that_cannot_be_asked_about_costs_nothing(items: Any, serve: Any) -> None:
    server = serve(items)
    empty = AnnotatedSeries(np.full(3, np.nan), SeriesFacts(3))
    labels = OpenAITeacher(config(server)).describe([items[0], empty])
    assert labels[0].facts is not None
    assert "without a single number" in labels[1].reason
    assert len(server.requests) == 1


def test_it_runs_inside_a_running_loop(items: Any, serve: Any) -> None:
    server = serve(items)

    async def notebook() -> list[TeacherLabel]:
        return OpenAITeacher(config(server)).describe(items[:2])

    assert all(label.facts for label in asyncio.run(notebook()))
    server.behave = lambda *_: HTML
    with pytest.raises(AnnotationError, match="got HTML"):
        asyncio.run(notebook())


def test_a_dry_run_sends_and_writes_nothing(
    items: Any, serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(items)
    cache = tmp_path / "c"
    dear = config(server, cache=cache, prices=Prices(3, 15), max_cost=0.05)
    monkeypatch.delenv("OPENAI_API_KEY")
    plan = OpenAITeacher(dear).plan([*items, items[0]])
    prompts = [SeriesQuestion(item.values).most_tokens() for item in items]
    assert plan.requests == 8
    assert plan.tokens_at_most == sum(prompts) + 8 * 512
    assert plan.cost_at_most == pytest.approx((3 * sum(prompts) + 15 * 8 * 512) / 1e6)
    assert plan.within_caps < 8
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": " "}, "no model"),
        ({"base_url": "localhost:8000/v1"}, "expected http"),
        ({"base_url": "https://me:pw@host/v1"}, "credentials"),
        ({"answer_tokens": 0}, "answer_tokens 0"),
        ({"tries": 0}, "tries 0"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"max_tokens": 0}, "max_tokens 0"),
        ({"max_cost": float("nan"), "prices": Prices(1, 1)}, "max_cost nan"),
        ({"max_cost": 1.0}, "no prices"),
    ],
)
def test_impossible_options_are_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        ServerConfig(**{"model": "m", **change})
    assert "pw" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_prices_are_not_negative() -> None:
    with pytest.raises(ConfigError, match="prices"):
        Prices(-1.0, 2.0)


# Teachers without a server, and the filter


def test_latents_say_what_the_series_were_built_from(items: Any) -> None:
    assert [label.facts for label in LatentTeacher().describe(items)] == [i.facts for i in items]


def test_rules_read_the_numbers_alone() -> None:
    up = AnnotatedSeries(np.arange(64.0), SeriesFacts(64, trend="decreasing"), "up")
    point = AnnotatedSeries(np.array([1.0]), SeriesFacts(1), "point")
    told: list[int] = []
    labels = RuleTeacher("published", told.append).describe([up, point])
    assert labels_of(labels[0]) == {
        "trend": "increasing",
        "noise": "low",
        "max": "end",
        "min": "beginning",
    }
    assert labels[1].facts is None
    assert "at least 2" in labels[1].reason
    assert told == [1, 1]
    with pytest.raises(ConfigError, match="got the rules 'x'"):
        RuleTeacher("x")


LABELS = st.sampled_from([None, "low", "medium", "high"])
TRENDS = st.sampled_from([None, "increasing", "decreasing", "flat"])
REGIONS = st.sampled_from([None, "beginning", "middle", "end"])


@st.composite
def facts(draw: Any) -> SeriesFacts:
    regions = {kind: draw(REGIONS) for kind in ("max", "min")}
    extrema = tuple(Extremum(k, -1, math.nan, r) for k, r in regions.items() if r)
    return SeriesFacts(10, trend=draw(TRENDS), noise=draw(LABELS), extrema=extrema)


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(st.one_of(st.none(), facts()), facts()), min_size=1, max_size=8),
    fields=st.sets(st.sampled_from(FIELDS)).map(sorted),
)
def test_the_filter_keeps_what_agrees_and_logs_the_rest(
    rows: list[tuple[SeriesFacts | None, SeriesFacts]], fields: list[str]
) -> None:
    """Against a loop over rows and fields."""
    items = [AnnotatedSeries(np.arange(10.0), SeriesFacts(10), str(i)) for i in range(len(rows))]
    said = [TeacherLabel(a, "broken" if a is None else "") for a, _ in rows]
    ruled = [TeacherLabel(b) for _, b in rows]
    result = filter_agreement(items, said, ruled, fields, teacher="t", rule="r")
    kept, logged = [], []
    for i, (a, b) in enumerate(rows):
        if a is None:
            logged.append((i, "answer"))
            continue
        bad = [f for f in fields if label_of(a, f) is None or label_of(a, f) != label_of(b, f)]
        logged += [(i, f) for f in bad]
        if not bad:
            kept.append(str(i))
    assert [item.id for item in result.kept] == kept
    assert [(r.row, r.field) for r in result.rejections] == logged
    assert sum(result.by_field.values()) == len(logged)
    assert all(r.reason for r in result.rejections)
    for item in result.kept:
        a, b = rows[int(item.id)]
        for name in FIELDS:
            assert label_of(item.facts, name) == (label_of(a, name) or label_of(b, name))


def test_the_filter_refuses_what_it_cannot_compare(items: Any) -> None:
    labels = LatentTeacher().describe(items)
    with pytest.raises(AnnotationError, match="got the fields"):
        filter_agreement(items, labels, labels, ["slope"], teacher="t", rule="r")
    with pytest.raises(LoracastError, match="expected as many"):
        filter_agreement(items, labels, labels[:-1], teacher="t", rule="r")
    with pytest.raises(StorageError, match="cannot be written"):
        write_rejections(Path("/nowhere/at/all.jsonl"), [])


def test_what_the_teacher_changes_comes_with_its_own_numbers_and_no_old_sentence() -> None:
    rule = SeriesFacts(
        10, trend="flat", slope=0.0, noise="low", sigma=0.01, clear=frozenset(["trend", "noise"])
    )
    said = SeriesFacts(10, trend="increasing", slope=2.0, noise="low", sigma=0.5)
    item = AnnotatedSeries(np.arange(10.0), rule, "a", sentences={"trend": "It is flat."})
    mixed = filter_agreement(
        [item], [TeacherLabel(said)], [TeacherLabel(rule)], ["noise"], teacher="t", rule="r"
    ).kept[0]
    assert (mixed.facts.trend, mixed.facts.slope) == ("increasing", 2.0)
    assert (mixed.facts.noise, mixed.facts.sigma) == ("low", 0.01)
    assert mixed.facts.clear == {"noise"} and mixed.sentences is None
    own = [TeacherLabel(item.facts)]
    same = filter_agreement([item], own, own, ["trend"], teacher="t", rule="r").kept[0]
    assert same.sentences == item.sentences


def test_a_sentence_of_several_labels_is_quoted_in_the_log() -> None:
    rule = [TeacherLabel(SeriesFacts(10, trend="flat"))]
    reasons = []
    for sentence in ("It rises, then falls.", "It rises."):
        item = AnnotatedSeries(np.arange(10.0), SeriesFacts(10), sentences={"trend": sentence})
        none = [TeacherLabel(SeriesFacts(10))]
        log = filter_agreement([item], none, rule, ["trend"], teacher="t", rule="r")
        reasons.append(log.rejections[0].reason)
    assert reasons == [
        "t gives no single label, r says flat (its sentence names increasing, then decreasing)",
        "t gives no single label, r says flat",
    ]


def test_tokens_under_way_count_against_their_cap() -> None:
    allows = ServerConfig("m", max_tokens=100).allows
    with AnswerCache() as cache:
        assert cache.reserve(Expense(60), allows) and cache.reserve(Expense(40), allows)
        assert not cache.reserve(Expense(1), allows)
        cache.settle(Expense(60), Expense(50))
        assert not cache.reserve(Expense(11), allows)
        assert cache.reserve(Expense(10), allows)


def test_an_answer_that_was_cut_serves_where_no_more_is_allowed() -> None:
    with AnswerCache() as cache:
        cut = Reply(text="x", finish_reason="length", limit=5)
        cache.settle(Expense(), Expense(), "a", cut)
        assert [cache.get("a", limit) is not None for limit in (4, 5, 6)] == [True, True, False]
