"""A ledger in memory keeps a ledger's promises, to threads too, and leaves nothing behind."""

from __future__ import annotations

import json
import math
import multiprocessing
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loracast.errors import BudgetExceeded, ConfigError, StorageError
from loracast.ledger import Ledger


def test_it_refuses_what_does_not_fit() -> None:
    with Ledger.in_memory(100, "mao2025") as ledger:
        assert (ledger.limit_flops, ledger.convention) == (100, "mao2025")
        with ledger.charge("a", 60, "s", "train") as charge:
            charge.flops = 50
        with pytest.raises(BudgetExceeded, match=r"'b'.*in memory; raise") as caught:
            ledger.begin("b", 51, "s", "train")
        assert "\n" not in str(caught.value)
        assert ledger.burn_down()[-1][1] == 50
        assert ledger.verify() == []
    with pytest.raises(ConfigError, match="convention"):
        Ledger.in_memory(100, "fung")
    with pytest.raises(ConfigError, match="at least 1"):
        Ledger.in_memory(0)


def test_without_a_limit_nothing_is_refused_and_nothing_infinite_is_written() -> None:
    with Ledger.in_memory() as ledger:
        with ledger.charge("a", 10**40, "s", "train") as charge:
            charge.flops = 2 * 10**40  # no limit, no overdraft
        ledger.reserve("b", 1, "s", "train")
        assert ledger.limit_flops == ledger.remaining_flops == math.inf
        assert ledger.overdraft_flops == 0
        assert ledger.burn_down() == []
        assert ledger.verify() == []
        written = [vars(e) for e in ledger.entries()] + [vars(e) for e in ledger.journal()]
        json.dumps(written, allow_nan=False)
        assert [e.event for e in ledger.journal()] == ["open", "reserve", "settle", "reserve"]


def test_each_is_its_own() -> None:
    with Ledger.in_memory(10) as one, Ledger.in_memory(10) as other:
        one.reserve("a", 10, "s", "train")
        other.reserve("a", 10, "s", "train")


def test_threads_share_it_and_never_pass_the_limit() -> None:
    with Ledger.in_memory(1000) as ledger:

        def work(i: int) -> int:
            try:
                with ledger.charge(f"work/{i}", 30, "s", "train") as charge:
                    charge.flops = 20
                    return 20 * any(e.key == f"work/{i}" for e in ledger.entries("reserved"))
            except BudgetExceeded:
                return 0

        with ThreadPoolExecutor(8) as pool:
            done = list(pool.map(work, range(80)))
        assert ledger.verify() == []
        assert 600 < sum(done) == ledger.spent_flops <= 1000


def test_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with Ledger.in_memory() as ledger, ledger.charge("a", 1, "s", "train"):
        assert list(tmp_path.iterdir()) == []


def _ends_with_one_line(ledger: Ledger) -> None:
    with pytest.raises(StorageError, match="memory of another process") as caught:
        ledger.reserve("child", 1, "s", "train")
    assert "\n" not in str(caught.value)


def test_another_process_is_told_to_use_a_file() -> None:
    with Ledger.in_memory(10) as ledger:
        ledger.reserve("a", 1, "s", "train")
        child = multiprocessing.get_context("fork").Process(
            target=_ends_with_one_line, args=(ledger,)
        )
        child.start()
        child.join()
        assert child.exitcode == 0
        assert ledger.reserved_flops == 1
