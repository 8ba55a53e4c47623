"""The ledger's promises, the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import math
import multiprocessing
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loracast.errors import BudgetExceeded, ConfigError, LoracastError, StorageError
from loracast.ledger import Ledger

Open = Callable[..., Ledger]


def test_reserve_settle_and_what_is_left(open_ledger: Open) -> None:
    ledger = open_ledger(100)
    entry = ledger.reserve("a", 60, "grid", "train")
    assert (entry.state, entry.attempts, entry.pid) == ("reserved", 1, os.getpid())
    assert (ledger.spent_flops, ledger.reserved_flops, ledger.remaining_flops) == (0, 60, 40)
    settled = ledger.settle("a", 50)
    assert (settled.state, settled.settled_flops, settled.reserved_flops) == ("settled", 50, 60)
    assert settled.updated >= settled.created > 0
    assert (ledger.spent_flops, ledger.reserved_flops, ledger.remaining_flops) == (50, 0, 50)
    assert ledger.settle("a", 99).settled_flops == 50  # a second settlement changes nothing


def test_what_does_not_fit_is_refused_and_leaves_no_trace(open_ledger: Open) -> None:
    ledger = open_ledger(100)
    ledger.reserve("a", 60, "s", "train")
    with pytest.raises(
        BudgetExceeded, match=r"'b' \(train\) needs 41 FLOPs, 40 FLOPs of"
    ) as caught:
        ledger.reserve("b", 41, "s", "train")
    assert "\n" not in str(caught.value)
    assert [e.key for e in ledger.entries()] == ["a"]
    assert len(ledger.journal()) == 2
    ledger.reserve("b", 40, "s", "train")
    assert ledger.remaining_flops == 0


def test_an_open_key_is_adopted_and_not_doubled(open_ledger: Open) -> None:
    open_ledger(100).reserve("a", 60, "s", "train")
    resumed = open_ledger(100)
    assert resumed.reserve("a", 60, "s", "train").attempts == 2
    assert resumed.reserved_flops == 60
    assert resumed.reserve("a", 70, "s", "train").reserved_flops == 70  # topped up
    with pytest.raises(BudgetExceeded):
        resumed.reserve("a", 101, "s", "train")
    assert resumed.reserved_flops == 70


def test_work_that_runs_again_is_paid_again(open_ledger: Open) -> None:
    ledger = open_ledger(100)
    for attempt in (1, 2, 3):
        with ledger.charge("a", 30, "s", "train") as charge:
            assert charge.entry.attempts == attempt
            charge.flops = 25 + attempt
    assert ledger.spent_flops == ledger.charged_flops == 26 + 27 + 28
    assert ledger.repeated_flops == 26 + 27
    assert [e.key for e in ledger.entries()] == ["a", "a#2", "a#3"]
    with pytest.raises(BudgetExceeded, match=r"'a#4' \(train\) needs 30"):
        ledger.begin("a", 30, "s", "train")
    assert ledger.spent_flops == 81
    with pytest.raises(ConfigError, match="use another key"):
        ledger.reserve("a", 31, "s", "train")
    with pytest.raises(ConfigError, match="without '#'"):
        ledger.begin("a#2", 1, "s", "train")


def test_what_a_dead_process_left_open_is_charged_in_full(open_ledger: Open) -> None:
    open_ledger(100).begin("a", 40, "s", "train")  # and dies: how much of it ran, nobody knows
    resumed = open_ledger()
    with resumed.charge("a", 40, "s", "train"):
        assert (resumed.spent_flops, resumed.reserved_flops) == (40, 40)
    assert resumed.spent_flops == 80
    assert (resumed.charged_flops, resumed.repeated_flops) == (40, 40)
    with pytest.raises(BudgetExceeded):
        resumed.begin("a", 40, "s", "train")
    # One that was given back by name did not run.
    resumed.begin("b", 15, "s", "train")
    resumed.release("b")
    assert resumed.begin("b", 20, "s", "train").key == "b"


def test_keys_that_look_alike_are_not_one_block(open_ledger: Open) -> None:
    ledger = open_ledger(100)
    ledger.begin("grid_a", 10, "s", "train")
    ledger.begin("gridxa", 10, "s", "train")
    ledger.begin("grid", 10, "s", "train")
    assert ledger.reserved_flops == 30
    ledger.reserve("odd#key", 10, "s", "train")
    ledger.settle("odd#key")
    assert ledger.repeated_flops == 0


def test_the_entry_is_durable_before_the_work_starts(open_ledger: Open) -> None:
    ledger = open_ledger(100)
    with ledger.charge("a", 30, "s", "train") as charge:
        seen = open_ledger().entries()
        assert [(e.key, e.state) for e in seen] == [("a", "reserved")]
        assert [e.event for e in open_ledger().journal()] == ["open", "reserve"]
        charge.flops = 20
    assert ledger.spent_flops == 20


def test_an_exception_leaves_the_reservation_counted(open_ledger: Open) -> None:
    ledger = open_ledger(100)
    with pytest.raises(KeyboardInterrupt), ledger.charge("a", 30, "s", "train"):
        raise KeyboardInterrupt
    assert (ledger.spent_flops, ledger.reserved_flops) == (0, 30)


def test_release(open_ledger: Open) -> None:
    ledger = open_ledger(100)
    ledger.reserve("a", 60, "s", "train")
    assert ledger.release("a").state == "released"
    assert ledger.release("a").state == "released"
    assert ledger.remaining_flops == 100
    with pytest.raises(ConfigError, match="released"):
        ledger.settle("a")
    assert ledger.reserve("a", 10, "s", "train").attempts == 2
    ledger.settle("a")
    with pytest.raises(ConfigError, match="settled"):
        ledger.release("a")
    for call in (ledger.release, ledger.settle):
        with pytest.raises(ConfigError, match="no entry 'nothing'"):
            call("nothing")


def test_what_work_cost_is_written_down_even_where_it_does_not_fit(open_ledger: Open) -> None:
    ledger = open_ledger(100)
    ledger.reserve("a", 60, "s", "train")
    ledger.reserve("b", 30, "s", "train")
    assert ledger.settle("a", 65).settled_flops == 65  # more than reserved, and it fits
    assert (ledger.remaining_flops, ledger.overdraft_flops) == (5, 0)
    assert ledger.settle("b", 45).settled_flops == 45  # 110 of 100
    assert ledger.spent_flops == 110
    assert (ledger.remaining_flops, ledger.overdraft_flops) == (-10, 10)
    assert [(e.event, e.flops) for e in ledger.journal()][-2:] == [
        ("settle", 45),
        ("overdraft", 10),
    ]
    with pytest.raises(BudgetExceeded, match="'c'"):
        ledger.reserve("c", 1, "s", "train")
    with pytest.raises(BudgetExceeded, match="already settled"):
        open_ledger(105)
    assert open_ledger(200).remaining_flops == 90  # raised, it goes on
    assert ledger.verify() == []


def test_a_raised_limit_is_journaled(open_ledger: Open) -> None:
    open_ledger(100).reserve("a", 60, "s", "train")
    assert open_ledger().limit_flops == 100
    raised = open_ledger(200)
    assert raised.limit_flops == 200
    assert [(e.event, e.flops) for e in raised.journal()] == [
        ("open", 100),
        ("reserve", 60),
        ("limit", 200),
    ]
    assert open_ledger(60).remaining_flops == 0  # lowering is allowed down to what is used
    with pytest.raises(BudgetExceeded, match="already settled or reserved"):
        open_ledger(59)
    assert open_ledger().limit_flops == 60


def test_another_convention_is_refused(open_ledger: Open) -> None:
    assert open_ledger(100, "mao2025").convention == "mao2025"
    assert open_ledger(100).convention == "mao2025"
    with pytest.raises(ConfigError, match=r"'exact'.*'mao2025'"):
        open_ledger(100, "exact")


def test_sums_by_stage_and_kind_and_the_burn_down(open_ledger: Open) -> None:
    ledger = open_ledger(100)
    for key, flops, stage, kind in (
        ("1", 5, "zero_shot", "generate"),
        ("2", 20, "grid", "train"),
        ("3", 7, "grid", "validation"),
        ("4", 30, "final", "train"),
    ):
        with ledger.charge(key, flops, stage, kind):
            pass
    ledger.reserve("open", 10, "final", "train")
    assert ledger.by_stage() == {"zero_shot": 5, "grid": 27, "final": 30}
    assert ledger.by_kind() == {"generate": 5, "train": 50, "validation": 7}
    assert [left for _, left in ledger.burn_down()] == [100, 95, 75, 68, 38]


def test_sums_stay_exact_beyond_64_bits(open_ledger: Open) -> None:
    ledger = open_ledger(10**24)
    for i in range(3):
        with ledger.charge(str(i), 10**23 + i, "s", "train"):
            pass
    assert ledger.verify() == []
    assert ledger.spent_flops == float(3 * 10**23 + 3)


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf, "1e3"])
def test_amounts_that_are_none(open_ledger: Open, bad: float) -> None:
    ledger = open_ledger(100)
    with pytest.raises(ConfigError, match="expected a finite number"):
        ledger.reserve("a", bad, "s", "train")
    ledger.reserve("b", 1, "s", "train")
    with pytest.raises(ConfigError, match="expected a finite number"):
        ledger.settle("b", bad)


def test_a_forked_child_uses_its_own_connections(open_ledger: Open) -> None:
    ledger = open_ledger(1000)
    ledger.reserve("parent", 1, "s", "train")
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=ledger.reserve, args=(f"child{i}", 1, "s", "train"))
        for i in range(3)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert ledger.reserved_flops == 4
    assert len({e.pid for e in ledger.entries()}) == 4


OPERATION = st.tuples(
    st.sampled_from(["reserve", "settle", "release"]), st.sampled_from("abcd"), st.integers(0, 60)
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 120), operations=st.lists(OPERATION, max_size=12))
def test_any_sequence_agrees_with_a_dictionary(
    tmp_path: Path, limit: int, operations: list[tuple[str, str, int]]
) -> None:
    path = tmp_path / "model.sqlite"
    path.unlink(missing_ok=True)
    held: dict[str, int] = {}
    spent: dict[str, int] = {}
    over = 0  # what work cost beyond its reservations
    with Ledger(path, limit) as ledger:
        for name, key, flops in operations:
            left = limit - sum(held.values()) - sum(spent.values())
            try:
                if name == "reserve":
                    ledger.reserve(key, flops, "s", "train")
                else:
                    getattr(ledger, name)(key, *([flops] if name == "settle" else []))
            except LoracastError as error:
                if isinstance(error, BudgetExceeded):
                    assert flops - held.get(key, 0) > left
                continue
            if name == "reserve" and key not in spent:
                held[key] = max(flops, held.get(key, 0))
            elif name == "settle" and key not in spent:
                over += max(0, flops - held.pop(key))
                spent[key] = flops
            elif name == "release":
                held.pop(key, None)
            assert ledger.spent_flops == sum(spent.values())
            assert ledger.reserved_flops == sum(held.values())
            assert sum(spent.values()) + sum(held.values()) <= limit + over
            assert ledger.remaining_flops == limit - sum(spent.values()) - sum(held.values())
        assert ledger.verify() == []


def test_verify_finds_what_was_tampered_with(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path, 100) as ledger, ledger.charge("a", 60, "s", "train"):
        pass
    for change, finding in (
        ("update loracast_entries set settled_flops = '10'", "settled: the total says 60"),
        ("update loracast_ledgers set settled_flops = '10'", "journal settles 60"),
        ("update loracast_ledgers set limit_flops = '5'", "over the limit"),
        ("update loracast_entries set state = 'lost'", "unknown state"),
        ("delete from loracast_entries", "not among the entries"),
    ):
        with sqlite3.connect(path) as connection:
            connection.execute(change)
        connection.close()
        with Ledger(path) as ledger:
            assert any(finding in problem for problem in ledger.verify()), change


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda d: Ledger(d / "none.sqlite"), StorageError, "no file"),
        (lambda d: Ledger(d, 10), StorageError, "is a folder"),
        (lambda d: Ledger(d / "no" / "l.sqlite", 10), StorageError, "does not exist"),
        (lambda d: Ledger("sqlite://", 10), StorageError, "in-memory"),
        (lambda d: Ledger("oracle-of-delphi://x", 10), StorageError, "such as sqlite:///"),
        (lambda d: Ledger("duckdb://x/y", 10), StorageError, "expected SQLite or Post"),
        (lambda d: Ledger(d / "l.sqlite", 0), ConfigError, "at least 1"),
        (lambda d: Ledger(d / "l.sqlite", 10, "fung"), ConfigError, "convention"),
        (lambda d: Ledger(_text(d), 10), StorageError, "not a database"),
        (lambda d: Ledger(_text(d)), StorageError, "not a database"),
        (lambda d: Ledger(_empty(d)), StorageError, "holds no ledger"),
    ],
)
def test_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], Ledger], error: type[LoracastError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        make(tmp_path)
    assert "\n" not in str(caught.value)


def _text(folder: Path) -> Path:
    path = folder / "notes.sqlite"
    path.write_text("this is a text and no database, long enough to have a header " * 20)
    return path


def _empty(folder: Path) -> Path:
    path = folder / "empty.sqlite"
    path.touch()
    return path


def test_no_password_in_messages() -> None:
    url = "postgresql://user:hunter2@127.0.0.1:1/none"
    pytest.importorskip("psycopg")
    with pytest.raises(StorageError) as caught:
        Ledger(url, 10)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
