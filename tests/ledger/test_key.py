"""Keys of entries: what they say, and that any text is read back as it was."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loracast.ledger import Key, Ledger


def test_keys_are_those_of_ledgers_written_before() -> None:
    """The texts stand in files on disk: they never change."""
    assert str(Key.of_step("grid.lr=0.01,r=4", "train", 120)) == "grid.lr=0.01,r=4/train/00000120"
    assert str(Key("test", "generate", "1f0c")) == "test/generate/1f0c"
    assert str(Key("fit", None, "9ab3")) == "fit/9ab3"
    assert str(Key("test", "generate", "1f0c").again(3)) == "test/generate/1f0c#3"


def test_a_text_is_told_apart() -> None:
    key = Key.parse("final/validation/00000030#2")
    assert (key.stage, key.kind, key.step, key.run) == ("final", "validation", 30, 2)
    assert str(key.block) == "final/validation/00000030"
    assert Key.parse("fit/9ab3") == Key("fit", None, "9ab3")
    assert Key.parse("alone") == Key(None, None, "alone")
    with pytest.raises(ValueError, match="1f0c"):
        _ = Key.parse("test/generate/1f0c").step


@given(st.text(alphabet="ab/#0123²\n", max_size=12))
@example("a#1")
@example("a#02")
@example("a#\u00b2")
@example("/a//b#10")
def test_any_text_is_read_back(text: str) -> None:
    assert str(Key.parse(text)) == text


@given(st.text(min_size=1), st.text(alphabet="train", min_size=1), st.integers(0, 10**9))
def test_what_is_built_is_read(stage: str, kind: str, step: int) -> None:
    key = Key.of_step(stage, kind, step).again(2)
    assert Key.parse(str(key)) == key
    assert key.step == step


def test_an_old_ledger_is_gone_on_with(tmp_path: Path) -> None:
    """Keys as earlier versions wrote them count as runs of the blocks that are named here."""
    path = tmp_path / "ledger.sqlite"
    with Ledger(path, 100) as ledger:
        for text in ("s/train/00000000", "s/train/00000005"):
            with ledger.charge(text, 10, "s", "train"):
                pass
        ledger.begin("s/train/00000005", 10, "s", "train")  # and dies
    with sqlite3.connect(path) as connection:
        keys = [row[0] for row in connection.execute("select key from loracast_entries")]
    connection.close()
    assert sorted(keys) == ["s/train/00000000", "s/train/00000005", "s/train/00000005#2"]
    with Ledger(path) as ledger:
        with ledger.charge(Key.of_step("s", "train", 5), 10, "s", "train") as charge:
            assert charge.entry.key == "s/train/00000005#3"
        assert (ledger.spent_flops, ledger.repeated_flops) == (40, 20)
        assert ledger.verify() == []
