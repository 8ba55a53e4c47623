"""One process at a time on a cache of answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loracast.annotation._teacher_cache import AnswerCache
from loracast.errors import StorageError

pytest.importorskip("diskcache")
HOLDER = """# the lock alone: a new process takes seconds to import the room
import sys, time
from filelock import FileLock

with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_process_at_a_time_and_none_that_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "c"
    AnswerCache(path).close()
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path / "lock")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match="c: another process uses this cache; wait"):
            AnswerCache(path)
        AnswerCache(path, read_only=True).close()  # a plan looks on
    finally:
        child.kill()  # as it would be lost in real life
        child.wait()
        child.stdout.close()
    with (
        AnswerCache(path),
        pytest.raises(StorageError, match="another process uses this cache"),
    ):
        AnswerCache(path)
    AnswerCache(path).close()
