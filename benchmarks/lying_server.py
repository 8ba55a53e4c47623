"""A teacher's server that fails, stalls, cuts off and lies: what the client makes of it, counted.

    python benchmarks/lying_server.py [--n 200] [--seed 0]

A real HTTP server on loopback answers about N generated series with the truth, except for the
shares in FAULTS. Three runs: all faults; the same cache again, which has to send nothing for what
was answered; a fresh one under a cap on money. The truth of every count is the server's own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from loracast.annotation import (
    LABEL_FIELDS,
    AnnotatedSeries,
    LatentTeacher,
    OpenAITeacher,
    Prices,
    ServerConfig,
    describe_chunk,
    filter_agreement,
    label_of,
    series_text,
)

FAULTS = {
    "500": 0.10, "429": 0.05, "html": 0.05, "stall": 0.02, "cut off": 0.05, "no json": 0.05,
    "wrong field": 0.05, "lie": 0.10,
}  # fmt: skip
USAGE = {"prompt_tokens": 600, "completion_tokens": 30}
PRICES = Prices(1.0, 4.0)  # a million tokens
CAP = 0.05


class Server:
    """Answers by a seeded draw a request; counts what it did."""

    def __init__(self, truth: dict[str, dict[str, str | None]], seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.billed = 0.0
        rng, lock, outer = random.Random(seed), threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                series = body["messages"][-1]["content"].rsplit("Series: ", 1)[-1]
                with lock:
                    fault = _drawn(rng)
                    outer.done["requests"] += 1
                    outer.done[fault] += 1
                self._say(fault, truth[series])

            def _say(self, fault: str, labels: dict[str, str | None]) -> None:
                if fault == "stall":
                    threading.Event().wait(2)
                    return
                said = dict(labels)
                if fault == "lie":
                    said["trend"] = "flat" if labels["trend"] != "flat" else "increasing"
                if fault == "wrong field":
                    said = {"colour": "blue"}
                text = "certainly!" if fault == "no json" else json.dumps(said)
                message = {"role": "assistant", "content": text[:9] if fault == "cut off" else text}
                finish = "length" if fault == "cut off" else "stop"
                reply: Any = {
                    "id": "x", "object": "chat.completion", "created": 0, "model": "m",
                    "choices": [{"index": 0, "message": message, "finish_reason": finish}],
                    "usage": USAGE,
                }  # fmt: skip
                status = int(fault) if fault in ("500", "429") else 200
                page = "<html>busy</html>" if fault == "html" else json.dumps(reply)
                if status == 200 and fault != "html":
                    with lock:
                        outer.billed += float(PRICES.cost(*USAGE.values()))
                raw = page.encode()
                self.send_response(status)
                self.send_header("content-length", str(len(raw)))
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


def _drawn(rng: random.Random) -> str:
    u, total = rng.random(), 0.0
    for fault, share in FAULTS.items():
        total += share
        if u < total:
            return fault
    return "truth"


def main() -> None:
    """Three runs, their counts printed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault("OPENAI_API_KEY", "none")
    chunk = describe_chunk(args.seed, 0, args.n, lengths=(32, 64))
    items = [AnnotatedSeries(s.values, s.facts, f"s{i}") for i, s in enumerate(chunk)]
    truth = {
        series_text(i.values): {name: label_of(i.facts, name) for name in LABEL_FIELDS}
        for i in items
    }
    latents = LatentTeacher().describe(items)
    with tempfile.TemporaryDirectory() as folder:
        runs = (("all faults", "a", None), ("the same cache", "a", None), ("capped", "b", CAP))
        for name, cache, cap in runs:
            server = Server(truth, args.seed)
            config = ServerConfig(
                "m", server.url, max_cost=cap, prices=PRICES, cache=Path(folder) / cache,
                timeout=1.0, first_wait=0.01, longest_wait=1.0,
            )  # fmt: skip
            teacher = OpenAITeacher(config)
            labels = teacher.describe(items)
            kept = filter_agreement(items, labels, latents, teacher="server", rule="latents")
            stats = teacher.stats
            print(f"\n{name}: {args.n} series, cap {cap}")
            print(f"  server: {dict(server.done)}, billed {server.billed:.4f}")
            print(
                f"  client: {stats.requests} requests, {stats.answers} answers, {stats.cached} "
                f"from the cache, retries {dict(stats.retries)}, {stats.failed} failed, "
                f"{stats.not_asked} not asked, cost counted {stats.total_cost:.4f}"
            )
            print(
                f"  kept {len(kept.kept)}, rejected {kept.rows_rejected}: {kept.by_field}, "
                f"not asked {kept.not_asked}"
            )
            server.http.shutdown()


if __name__ == "__main__":
    main()
