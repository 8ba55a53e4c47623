"""`loracast annotations generate|import|audit`: what is written, said, refused, and kept."""

from __future__ import annotations

import json
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FIELDS = ["trend", "noise", "max", "min"]
ANSWER = {"trend": "increasing", "noise": "low", "max": "end", "min": "beginning"}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def made(run: Any, out: Path, *args: object) -> dict[str, Any]:
    outcome = run("annotations", "generate", "--out", out, "--max-length", 64, "--json", *args)
    assert outcome.code == 0, outcome.err
    return dict(json.loads(outcome.out))


def error_of(outcome: Any) -> str:
    """The one line of an error after work that may have said how far it was."""
    assert outcome.code == 2, outcome
    *progress, last = outcome.err.splitlines()
    assert not any(line.startswith("error") for line in progress), outcome.err
    assert all(": done in " in line for line in progress), outcome.err
    assert last.startswith("error: "), outcome.err
    return str(last)


# generate


def test_generate_writes_series_with_their_latents(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "set.jsonl"
    summary = made(run, out, "--n", 20, "--seed", 3)
    assert (summary["rows"], summary["kept"], summary["rejected"]) == (20, 20, 0)
    rows = lines(out)
    assert len(rows) == 20
    assert all(row["facts"]["trend"] and row["provenance"]["seed"] == 3 for row in rows)
    assert all(32 <= len(row["values"]) <= 64 or len(row["values"]) == 128 for row in rows)
    assert list(tmp_path.iterdir()) == [out]
    again = tmp_path / "again.jsonl"
    made(run, again, "--n", 20, "--seed", 3)
    assert again.read_bytes() == out.read_bytes()
    made(run, again, "--n", 20, "--seed", 4)
    assert again.read_bytes() != out.read_bytes()


def test_generate_in_the_published_format_of_one_family(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "set.jsonl"
    made(run, out, "--n", 5, "--families", "ou", "--max-length", 128, "--format", "published")
    rows = lines(out)
    assert [list(row) for row in rows] == [["index", "input", "output"]] * 5
    for row in rows:
        assert list(json.loads(row["output"])) == ["trend", "noise", "extrema"]
        assert row["input"].count(",") >= 127


@pytest.mark.parametrize("teacher", ["published", "robust"])
def test_rules_are_kept_where_they_agree_with_the_latents(
    run: Any, tmp_path: Path, teacher: str
) -> None:
    out = tmp_path / "set.jsonl"
    n = 16
    summary = made(run, out, "--n", n, "--teacher", teacher)
    log = lines(tmp_path / "set.jsonl.rejected.jsonl")
    assert summary["kept"] + summary["rejected"] == n
    assert 0 < summary["kept"] < n
    assert len({row["row"] for row in log}) == summary["rejected"]
    assert sum(summary["rejected_by_field"].values()) == len(log)
    assert set(summary["rejected_by_field"]) <= set(FIELDS)
    for row in lines(out):
        assert row["provenance"]["teacher"] == teacher
        assert row["provenance"]["rule"] == "latents"
        assert row["provenance"]["agreed"] == FIELDS
    audit = json.loads(run("annotations", "audit", out, "--rules", teacher, "--json").out)
    assert audit["all_fields"] == {
        "n": summary["kept"],
        "accuracy": 1.0,
        "lenient_accuracy": 1.0,
    }
    some = made(run, out, "--n", n, "--teacher", teacher, "--agree", "max,min")
    assert some["kept"] >= summary["kept"]
    everything = made(run, out, "--n", n, "--teacher", teacher, "--agree", "none")
    assert everything["kept"] == n


# a teacher behind a server


class Asked:
    """A server that counts what it is asked; `reply` makes the body from the request."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.reply: Callable[[dict[str, Any]], tuple[int, str, str]] = lambda _: (
            200,
            "application/json",
            self.completion(json.dumps(ANSWER)),
        )
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.bodies.append(body)
                status, kind, text = outer.reply(body)
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @staticmethod
    def completion(content: str) -> str:
        choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 400, "completion_tokens": 25}
        return json.dumps({"choices": [choice], "usage": usage})

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self._thread.join()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-to-be-seen")
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = Asked()
    yield server
    server.close()


def through(asked: Asked, *more: object) -> list[object]:
    prices = ["--price-in", 1, "--price-out", 2]
    return ["--teacher", "openai", "--model", "m", "--base-url", asked.url, *prices, *more]


def test_a_server_labels_what_it_agrees_on(run: Any, asked: Asked, tmp_path: Path) -> None:
    out = tmp_path / "set.jsonl"
    args = ["--n", 16, *through(asked, "--agree", "trend")]
    summary = made(run, out, *args)
    assert len(asked.bodies) == 16
    assert 0 < summary["kept"] == sum(1 for _ in lines(out)) < 16
    assert {row["facts"]["trend"] for row in lines(out)} == {"increasing"}
    assert {row["provenance"]["model"] for row in lines(out)} == {"m"}
    stats = summary["teacher"]
    assert (stats["requests"], stats["cached"], stats["tokens"]) == (16, 0, 16 * 425)
    assert stats["cost"] == pytest.approx(16 * (400 + 2 * 25) / 1e6)
    before = out.read_bytes()
    again = made(run, out, *args)
    assert (again["teacher"]["requests"], again["teacher"]["cached"]) == (0, 16)
    assert out.read_bytes() == before
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"sk-never" not in path.read_bytes()
    text = run("annotations", "generate", "--out", out, "--max-length", 64, *args)
    assert "0 requests, 16 answers from the cache, 0 retries" in text.out
    assert "rejected (trend" in text.out


def test_a_cap_keeps_what_was_asked_and_says_so(run: Any, asked: Asked, tmp_path: Path) -> None:
    out = tmp_path / "set.jsonl"
    args = ["--n", 30, *through(asked, "--agree", "none", "--answer-tokens", 100)]
    capped = made(run, out, *args, "--max-cost", 0.01, "--workers", 2)
    assert 0 < capped["kept"] < 30
    assert capped["kept"] + capped["not_asked"] == 30
    assert capped["teacher"]["cost"] <= 0.01
    assert len(asked.bodies) == capped["kept"]
    more = made(run, out, *args, "--max-cost", 1)
    assert more["kept"] == 30
    assert len(asked.bodies) == 30, "nothing is asked twice"
    none = run("annotations", "generate", "--out", tmp_path / "x.jsonl", *args, "--max-tokens", 50)
    assert "30 not asked because of a cap" in error_of(none)
    assert not (tmp_path / "x.jsonl").exists()


def test_a_dry_run_says_what_it_would_cost(
    run: Any, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    out = tmp_path / "set.jsonl"
    args = ["--n", 10, *through(asked, "--dry-run", "--max-cost", 0.005)]
    plan = made(run, out, *args)
    assert plan["requests"] == 10
    tokens, answers = plan["tokens_at_most"], 10 * 512
    assert plan["cost_at_most"] == pytest.approx((tokens - answers + 2 * answers) / 1e6)
    text = run("annotations", "generate", "--out", out, "--max-length", 64, *args).out
    assert "10 requests to m" in text
    assert "cost at most" in text
    assert "the caps surely hold for" in text
    assert asked.bodies == []
    assert list(tmp_path.iterdir()) == []


def test_html_is_one_line_and_what_was_there_is_kept(
    run: Any, asked: Asked, tmp_path: Path
) -> None:
    out = tmp_path / "set.jsonl"
    args = [*through(asked, "--agree", "none", "--workers", 1, "--tries", 1)]
    made(run, out, "--n", 3, *args)
    before = out.read_bytes()
    html = "<!DOCTYPE html>\n<title>Sign in</title>"
    asked.reply = lambda _: (200, "text/html", html)
    outcome = run("annotations", "generate", "--out", out, "--max-length", 64, "--n", 6, *args)
    assert "got HTML" in error_of(outcome)
    assert "the answers so far (3) are kept" in error_of(outcome)
    assert out.read_bytes() == before
    asked.reply = lambda _: (200, "application/json", asked.completion(json.dumps(ANSWER)))
    assert made(run, out, "--n", 6, *args)["teacher"]["requests"] == 3


def test_a_missing_key_is_one_line(
    run: Any, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    outcome = run(
        "annotations", "generate", "--out", tmp_path / "s.jsonl", "--n", 2, *through(asked)
    )
    assert "OPENAI_API_KEY is not set" in error_of(outcome)
    assert asked.bodies == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--n", 0], "got --n 0"),
        (["--seed", -1], "got --seed -1"),
        (["--families", "spiral"], "families"),
        (["--min-length", 90, "--max-length", 80], "lengths=(90, 80)"),
        (["--teacher", "oracle"], "got --teacher 'oracle'"),
        (["--rules", "openai"], "got --rules 'openai'"),
        (["--agree", "slope"], "got --agree 'slope'"),
        (["--agree", ""], "got the names ''"),
        (["--format", "csv"], "got --format 'csv'"),
        (["--format", "label-studio"], "expected one of .json"),
        (["--teacher", "openai"], "without a model"),
        (["--model", "m"], "without --teacher openai"),
        (["--dry-run"], "without --teacher openai"),
        (["--teacher", "openai", "--model", "m", "--base-url", "nowhere"], "base_url"),
        (["--teacher", "openai", "--model", "m", "--max-cost", 1], "no prices"),
        (["--teacher", "openai", "--model", "m", "--price-in", -1], "prices -1"),
        (["--teacher", "openai", "--model", "m", "--max-tokens", 0], "max_tokens 0"),
        (["--teacher", "openai", "--model", "m", "--workers", 0], "workers 0"),
        (["--rejected", "no/such/folder/x.jsonl"], "no folder"),
    ],
)
def test_bad_options_of_generate_are_one_line(
    run: Any, tmp_path: Path, args: list[object], message: str
) -> None:
    outcome = run("annotations", "generate", "--out", tmp_path / "s.jsonl", "--n", 2, *args)
    assert message in outcome.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--cache", "{folder}/./s.jsonl"], "--cache"),
        (["--rejected", "{folder}/s.jsonl"], "--rejected"),
        (["--cache", "{folder}/b.jsonl", "--rejected", "{folder}/b.jsonl"], "--rejected"),
        (["--cache", "{folder}/s.jsonl.rejected.jsonl"], "same file as --cache"),
    ],
)
def test_one_file_is_not_written_as_two(
    run: Any, tmp_path: Path, args: list[str], message: str
) -> None:
    """Answers that were paid for are not replaced by rows."""
    given = [a.format(folder=tmp_path) for a in args]
    teacher = ["--teacher", "openai", "--model", "m", "--base-url", "http://127.0.0.1:9/v1"]
    outcome = run(
        "annotations", "generate", "--out", tmp_path / "s.jsonl", "--n", 2, *teacher, *given
    )
    assert message in outcome.message
    assert "same file" in outcome.message
    assert list(tmp_path.iterdir()) == []


def test_import_does_not_write_its_log_over_its_rows(run: Any, tmp_path: Path) -> None:
    file, out, link = (tmp_path / n for n in ("a.jsonl", "o.jsonl", "l.jsonl"))
    made(run, file, "--n", 2)
    out.write_text("kept")
    link.symlink_to(out)
    args = ["annotations", "import", file, "--out", out, "--agree", "trend", "--rejected"]
    for log in (out, link):
        assert "same file" in run(*args, log).message
    before = file.read_bytes()
    assert "same file" in run(*args, file).message
    assert (out.read_text(), file.read_bytes()) == ("kept", before)


def test_a_file_that_cannot_be_written_is_one_line(run: Any, tmp_path: Path) -> None:
    for out in (tmp_path / "s.csv", tmp_path / "none" / "s.jsonl", tmp_path / "s"):
        assert "--out" in run("annotations", "generate", "--out", out, "--n", 2).message


# import


def test_import_reads_all_three_formats(run: Any, tmp_path: Path) -> None:
    ours = tmp_path / "a.jsonl"
    made(run, ours, "--n", 6)
    published, studio, back = (tmp_path / n for n in ("p.jsonl", "l.json", "b.jsonl"))
    for form, path in (("published", published), ("label-studio", studio)):
        outcome = run("annotations", "import", ours, "--out", path, "--format", form)
        assert outcome.code == 0, outcome.err
        assert "6 of 6 rows" in outcome.out
    tasks = json.loads(studio.read_text())
    for task in tasks:
        task["annotations"] = task.pop("predictions")
    studio.write_text(json.dumps(tasks))
    labels = [[row["facts"][k] for k in ("trend", "noise")] for row in lines(ours)]
    for path in (published, studio, ours):
        summary = json.loads(run("annotations", "import", path, "--out", back, "--json").out)
        assert (summary["kept"], summary["rejections"]) == (6, None)
        assert [[row["facts"][k] for k in ("trend", "noise")] for row in lines(back)] == labels
    assert ET.parse(tmp_path / "l.xml").getroot().find("TimeSeries") is not None
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.jsonl", "b.jsonl", "l.json", "l.xml", "p.jsonl",
    ]  # fmt: skip


def test_import_can_drop_what_disagrees_with_the_rules(run: Any, tmp_path: Path) -> None:
    rows, t = [], np.arange(64)
    for i, trend in enumerate(("increasing", "decreasing", "increasing, then decreasing")):
        series = ", ".join(f"{k:02d}" for k in t)
        output = {"trend": f"It is {trend}.", "noise": "The noise is low."}
        rows.append({"index": i, "input": f"Series: [{series}]", "output": json.dumps(output)})
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    args = ["annotations", "import", file, "--out", out, "--agree", "trend,noise", "--json"]
    summary = json.loads(run(*args).out)
    assert (summary["kept"], summary["rejected_by_field"]) == (1, {"trend": 2})
    log = lines(Path(summary["rejections"]))
    assert [(row["row"], row["id"]) for row in log] == [(1, "1"), (2, "2")]
    assert "increasing, then decreasing" in log[1]["reason"]
    assert [row["id"] for row in lines(out)] == ["0"]
    assert lines(out)[0]["sentences"]["trend"] == "It is increasing."


def test_import_keeps_what_the_file_says_beyond_the_checked_fields(
    run: Any, tmp_path: Path
) -> None:
    ours, studio, out = (tmp_path / n for n in ("a.jsonl", "l.json", "o.jsonl"))
    made(run, ours, "--n", 30)
    run("annotations", "import", ours, "--out", studio, "--format", "label-studio")
    tasks = json.loads(studio.read_text())
    for task in tasks:
        task["annotations"] = task.pop("predictions")
    studio.write_text(json.dumps(tasks))
    for file in (ours, studio):
        run("annotations", "import", file, "--out", out)
        everything = {row["id"]: row["facts"] for row in lines(out)}
        outcome = run("annotations", "import", file, "--out", out, "--agree", "max,min")
        assert outcome.code == 0, outcome.err
        kept = {row["id"]: row["facts"] for row in lines(out)}
        assert kept
        assert kept == {name: everything[name] for name in kept}
        assert any(facts["change_points"] for facts in kept.values())
        assert any(facts["period"] for facts in kept.values())
        assert lines(out)[0]["provenance"]["agreed"] == ["max", "min"]


def test_rejections_of_latents_are_logged_too(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "set.jsonl"
    summary = made(run, out, "--n", 16, "--rules", "published")
    assert summary["rejected"] > 0
    log = lines(Path(summary["rejections"]))
    assert len({row["row"] for row in log}) == summary["rejected"]


# audit


def test_audit_prints_a_table_and_the_rows_to_look_at(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "set.jsonl"
    made(run, out, "--n", 30)
    found = json.loads(run("annotations", "audit", out, "--json").out)
    assert found["file"] == str(out)
    assert found["n"] == 30
    assert set(found["fields"]) == set(FIELDS)
    for score in found["fields"].values():
        assert {"accuracy", "kappa", "confusion", "rows"} <= set(score)
        assert sum(sum(cells.values()) for cells in score["confusion"].values()) == 30
    text = run("annotations", "audit", out).out
    for name, score in found["fields"].items():
        assert f"{score['accuracy']:.3f}" in text
        assert f"{name}: rule down, label across" in text
        assert ", ".join(map(str, score["rows"][:12])) in text
    assert all(len(line) <= 80 for line in text.splitlines()), "fits a terminal"
    robust = json.loads(run("annotations", "audit", out, "--rules", "robust", "--json").out)
    assert robust["fields"]["noise"]["accuracy"] > found["fields"]["noise"]["accuracy"]


def test_audit_of_the_published_rows(run: Any, shared_dir: Path) -> None:
    file = shared_dir / "data" / "dlaa_annotations_dev.jsonl"
    found = json.loads(run("annotations", "audit", file, "--json").out)
    shown = {name: round(score["accuracy"], 3) for name, score in found["fields"].items()}
    assert shown == {"trend": 0.907, "noise": 0.793, "max": 0.973, "min": 0.96}


BAD_FILES = {
    "empty": ("", "is empty"),
    "HTML": ("<!DOCTYPE html>\n<p>Sign in</p>\n", "line 1: got HTML"),
    "wrong fields": ('{"text": "x", "label": "up"}\n', "line 1: got the keys text, label"),
    "key missing": ('{"index": 0, "input": "Series: [1, 2]"}\n', "line 1: output: "),
    "wrong label": (
        '{"schema_version": 1, "values": [1, 2], "facts": {"length": 2, "trend": "up"}}\n',
        "line 1: facts.trend: ",
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
@pytest.mark.parametrize("command", ["audit", "import"])
def test_bad_files_are_one_line_with_row_and_key(
    run: Any, tmp_path: Path, command: str, kind: str
) -> None:
    text, message = BAD_FILES[kind]
    file, out = tmp_path / "set.jsonl", tmp_path / "out.jsonl"
    file.write_text(text)
    more = ["--out", out] if command == "import" else []
    outcome = run("annotations", command, file, *more)
    assert message in outcome.message
    assert "set.jsonl" in outcome.message
    assert not out.exists()
    assert "cannot be read" in run("annotations", command, tmp_path / "none.jsonl", *more).message


def test_unknown_rules_are_one_line(run: Any, tmp_path: Path) -> None:
    assert "--rules" in run("annotations", "audit", tmp_path, "--rules", "folklore").message
