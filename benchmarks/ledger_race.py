"""Many processes race for one budget while some are killed: is a FLOP ever overspent or lost?

    python benchmarks/ledger_race.py --trials 1000             # SQLite
    python benchmarks/ledger_race.py --trials 1000 --postgres  # a throw-away PostgreSQL server

Each trial begins a ledger and eight workers that reserve, settle and release at random until
nothing fits. The parent kills workers with SIGKILL at random moments and watches the totals. A
worker notes each settlement in a file of its own after `settle` returned; a noted settlement that
the ledger does not hold is a lost one. Ends with one JSON line, also when it is interrupted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from throwaway_postgres import throwaway_postgres

from loracast.errors import BudgetExceeded
from loracast.ledger import Ledger

N_WORKERS = 8


def work(location: str, name: str, notes: Path, worker: int, seed: int, limit: int) -> None:
    """One worker: take what fits until nothing does; every tenth reservation is given back."""
    rng = random.Random(f"{seed}-{worker}")
    ledger = Ledger(location, limit, "exact", name=name)
    out = os.open(notes, os.O_CREAT | os.O_WRONLY | os.O_APPEND)  # ready: from now on it may die
    for i in range(200):
        key, asked = f"w{worker}/{i:03d}", rng.randint(limit // 24, limit // 6)
        try:
            ledger.reserve(key, asked, f"stage{i % 3}", "train")
        except BudgetExceeded:
            return
        if rng.random() < 0.1:
            ledger.release(key)
            continue
        time.sleep(rng.expovariate(1 / 0.005))  # the work itself, where a kill leaves it open
        spent = rng.randint(asked // 2, asked)
        ledger.settle(key, spent)
        os.write(out, f"{key} {spent}\n".encode())


def trial(location: str, name: str, folder: Path, seed: int) -> dict[str, int]:
    """One race, and what went wrong in it."""
    rng = random.Random(seed)
    limit = rng.randint(10**3, 10**15)  # read back as floats, which are exact up to 2**53
    context = multiprocessing.get_context("fork")
    watcher = Ledger(location, limit, "exact", name=name)
    notes = [folder / f"{name}-{w}.txt" for w in range(N_WORKERS)]
    crew = [
        context.Process(target=work, args=(location, name, notes[w], w, seed, limit))
        for w in range(N_WORKERS)
    ]
    for process in crew:
        process.start()
    kills = overspends = 0
    doomed = rng.sample(crew, rng.randint(1, N_WORKERS - 1))
    for process in doomed:
        while process.is_alive() and not notes[crew.index(process)].exists():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.03))
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        overspends += watcher.remaining_flops < 0
    for process in crew:
        process.join()
    crashed = sum(p.exitcode not in (0, -signal.SIGKILL) for p in crew)
    entries = {e.key: e for e in watcher.entries()}
    used = watcher.spent_flops + watcher.reserved_flops
    overspends += used > float(limit) or watcher.remaining_flops < 0
    lost = 0
    for path in notes:
        for line in path.read_text().splitlines() if path.exists() else ():
            key, spent = line.split()
            entry = entries.get(key)
            lost += entry is None or entry.settled_flops != float(spent)
    problems = len(watcher.verify())
    resumed = resume(watcher, entries)
    watcher.close()
    return {
        "kills": kills,
        "overspends": int(overspends),
        "lost": int(lost),
        "problems": problems + resumed,
        "crashed": crashed,
        "settled": sum(e.state == "settled" for e in entries.values()),
        "left_open": sum(e.state == "reserved" for e in entries.values()),
    }


def resume(ledger: Ledger, entries: dict[str, Any]) -> int:
    """What the dead left open is adopted, settled, and changes no sum; returns what went wrong."""
    before = ledger.spent_flops + ledger.reserved_flops
    for entry in entries.values():
        if entry.state == "reserved":
            ledger.reserve(entry.key, entry.reserved_flops, entry.stage, entry.kind)
            ledger.settle(entry.key)
    after = ledger.spent_flops
    return int(before != after or ledger.reserved_flops != 0) + len(ledger.verify())


def main() -> None:
    """Run the trials and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--max-seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--url", help="an existing database; default: SQLite files")
    parser.add_argument("--postgres", action="store_true", help="start a throw-away server")
    parser.add_argument("--folder", help="where the SQLite files go, for instance /dev/shm")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.perf_counter()
    totals: dict[str, int] = {}
    done = 0

    def result() -> str:
        backend = "postgresql" if options.url or options.postgres else "sqlite"
        facts = {"benchmark": "ledger_race", "backend": backend, "trials": done}
        facts |= {"workers": N_WORKERS} | totals
        return json.dumps(facts | {"seconds": round(time.perf_counter() - began, 1)})

    with ExitStack() as stack, suppress(KeyboardInterrupt):
        temporary = tempfile.TemporaryDirectory(prefix="race-", dir=options.folder)
        folder = Path(stack.enter_context(temporary))
        url = options.url
        if options.postgres:
            url = stack.enter_context(throwaway_postgres())
            if url is None:
                raise SystemExit("no PostgreSQL server binaries on this machine")
        while done < options.trials and time.perf_counter() - began < options.max_seconds:
            location = url or str(folder / f"trial-{done:04d}.sqlite")
            found = trial(location, f"trial-{options.seed + done:04d}", folder, options.seed + done)
            for name, n in found.items():
                totals[name] = totals.get(name, 0) + n
            for path in folder.iterdir():
                path.unlink()
            done += 1
            if done % 25 == 0:
                print(result(), file=sys.stderr, flush=True)
    print(result())


if __name__ == "__main__":
    main()
