"""One process at a time on a cache of answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loracast.annotation import _teacher_lock as _lock
from loracast.annotation._teacher_cache import AnswerCache
from loracast.errors import StorageError


def test_one_process_at_a_time_where_there_is_no_fcntl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lock, "fcntl", None)
    path = tmp_path / "c.jsonl"
    holder = (  # the module alone: a new process takes seconds to import the room
        "import runpy, sys, time; from pathlib import Path; sys.modules['fcntl'] = None;"
        "lock = runpy.run_path(sys.argv[1])['FileLock'](None, Path(sys.argv[2]));"
        "print('held', flush=True); time.sleep(600)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", holder, _lock.__file__, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match="another process uses this cache"):
            AnswerCache(path)
    finally:
        child.kill()  # as it would be lost in real life
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    with (
        AnswerCache(path),
        pytest.raises(StorageError, match="another process uses this cache"),
    ):
        AnswerCache(path)
    AnswerCache(path).close()
