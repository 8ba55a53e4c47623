"""Files are whole or not there: after a kill, on a full disk, between processes; and digests."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from loracast import files
from loracast.errors import StorageError
from loracast.files import sha256_of, sha256_of_file, whole_folder, write_whole


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "content", ["naïve\n", "naïve\n".encode(), lambda to: to.write_text("naïve\n", "utf-8")]
)
def test_text_bytes_and_what_others_write(
    tmp_path: Path, content: str | bytes | Callable[[Path], object]
) -> None:
    path = tmp_path / "a.json"
    for _ in range(2):
        assert write_whole(str(path), content) == path
        assert path.read_bytes() == b"na\xc3\xafve\n"
        assert names(tmp_path) == ["a.json"]


def test_the_writer_gets_the_suffix(tmp_path: Path) -> None:
    """numpy would add one, pandas and matplotlib choose the format by it."""
    path = tmp_path / "a.npy"
    write_whole(path, lambda to: np.save(to, np.arange(3)))
    assert np.load(path).tolist() == [0, 1, 2]
    assert names(tmp_path) == ["a.npy"]


def test_missing_folders_are_made_only_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    with pytest.raises(StorageError, match="No such file or directory"):
        write_whole(path, "x")
    assert names(tmp_path) == []
    assert write_whole(path, "x", parents=True).read_text() == "x"


@pytest.mark.parametrize("how", ["while writing", "at the sync", "at the rename"])
@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_is_one_line_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, existing: bool
) -> None:
    path = tmp_path / "a.txt"
    if existing:
        path.write_text("old")

    def write(to: Path) -> None:
        to.write_text("ne")
        if how == "while writing":
            full_disk()

    if how == "at the sync":
        monkeypatch.setattr(os, "fsync", full_disk)
    elif how == "at the rename":
        monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(StorageError) as caught:
        write_whole(path, write, remedy="make room")
    assert str(caught.value) == f"{path}: cannot be written (No space left on device); make room"
    assert names(tmp_path) == (["a.txt"] if existing else [])
    assert not existing or path.read_text() == "old"


def test_a_writer_that_fails_for_its_own_reasons_leaves_nothing(tmp_path: Path) -> None:
    def write(to: Path) -> None:
        to.write_text("half")
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        write_whole(tmp_path / "a.txt", write)
    with pytest.raises(ValueError, match="mine"), whole_folder(tmp_path / "b") as work:
        write(work / "c")
    assert names(tmp_path) == []


def test_killed_mid_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "old")
    code = (
        "import os, signal, sys; from pathlib import Path; from loracast.files import write_whole\n"
        "def write(to):\n to.write_text('ne')\n os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_whole(Path(sys.argv[1]), write)"
    )
    assert run(code, path).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert write_whole(path, "new").read_text() == "new"


def test_killed_mid_write_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with whole_folder(folder) as work:
        (work / "x").write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from loracast.files import whole_folder\n"
        "with whole_folder(Path(sys.argv[1])) as work:\n"
        " (work / 'y').write_text('new'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert run(code, folder).returncode == -signal.SIGKILL
    assert names(folder) == ["x"]


def test_readers_see_one_content_or_the_other(tmp_path: Path) -> None:
    """Two processes replace a file and one reads it, all as fast as they can."""
    path = tmp_path / "a.txt"
    size = 1 << 16
    write_whole(path, "a" * size)
    code = (
        "import sys; from loracast.files import write_whole\n"
        f"for _ in range(20): write_whole(sys.argv[1], sys.argv[2] * {size})"
    )
    found: list[subprocess.CompletedProcess[str]] = []
    writers = [
        threading.Thread(target=lambda letter=letter: found.append(run(code, path, letter)))
        for letter in "bc"
    ]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        text = path.read_text()
        assert len(text) == size
        seen |= set(text[:1]) if text == text[:1] * size else {"mixed"}
    assert [process.returncode for process in found] == [0, 0], found
    assert seen <= {"a", "b", "c"}
    assert seen & {"b", "c"}
    assert names(tmp_path) == ["a.txt"]


def test_permissions(tmp_path: Path) -> None:
    """A new file has those of any new file, one that is replaced those of the old one."""
    path, plain = tmp_path / "a.txt", tmp_path / "plain"
    plain.write_text("")
    write_whole(path, "x")
    with whole_folder(tmp_path / "b"):
        pass
    (tmp_path / "c").mkdir()
    assert path.stat().st_mode == plain.stat().st_mode
    assert (tmp_path / "b").stat().st_mode == (tmp_path / "c").stat().st_mode
    for mode in (0o600, 0o640, 0o444):
        path.chmod(mode)
        write_whole(path, "y")
        assert path.stat().st_mode & 0o777 == mode


def test_a_folder_appears_whole_and_replaces_its_own_kind(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "a"
    for name in ("one", "two"):
        with whole_folder(folder, mark="mark", kind="box") as work:
            (work / "mark").write_text("")
            (work / "inner").mkdir()
            (work / "inner" / name).write_text(name)
            assert not (folder / "inner" / name).exists()
        assert names(folder / "inner") == [name]
        assert names(folder.parent) == ["a"]


def test_a_folder_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    with whole_folder(folder, mark="mark", kind="box") as work:  # an empty one is free
        (work / "letters").write_text("mine")
    with (
        pytest.raises(StorageError, match="a exists and holds no box; refusing to replace it"),
        whole_folder(folder, mark="mark", kind="box"),
    ):
        pytest.fail("entered")
    assert (folder / "letters").read_text() == "mine"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("how", ["at the sync", "at the rename"])
def test_a_full_disk_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    folder = tmp_path / "a"
    with whole_folder(folder) as work:
        (work / "x").write_text("old")
    rename = Path.rename

    def refuse(source: Path, target: Path) -> Path:
        return rename(source, target) if (source / "x").exists() else full_disk()

    if how == "at the sync":
        monkeypatch.setattr(os, "fsync", full_disk)
    else:
        monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="No space left"), whole_folder(folder) as work:
        (work / "y").write_text("new")
    assert names(folder) == ["x"]
    assert names(tmp_path) == ["a"]


def test_everything_is_synced_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(files, "_sync", lambda paths: done.append(f"sync {len(list(paths))}"))
    for name in ("replace", "rename"):
        real = getattr(Path, name)

        def noted(source: Path, target: Path, real: Callable[..., Path] = real) -> Path:
            done.append("rename")
            return real(source, target)

        monkeypatch.setattr(Path, name, noted)
    monkeypatch.setattr(files, "_sync_names", lambda folder: done.append(f"names {folder.name}"))
    write_whole(tmp_path / "a", "x")
    with whole_folder(tmp_path / "b") as work:
        (work / "c").mkdir()
        for path in (work / "d", work / "c" / "e"):
            path.write_text("")
    here = f"names {tmp_path.name}"
    assert done == ["sync 1", "rename", here, "sync 2", "rename", here]


def test_digests_of_parts_are_of_their_bytes_end_to_end() -> None:
    array = np.arange(12.0).reshape(3, 4)
    assert sha256_of() == hashlib.sha256().hexdigest()
    assert sha256_of("naïve", b"\0", array.T) == hashlib.sha256(
        "naïve".encode() + b"\0" + array.T.copy(order="C").data.tobytes()
    ).hexdigest()  # fmt: skip
    assert sha256_of(array[:, ::2]) == sha256_of(np.ascontiguousarray(array[:, ::2]))
    assert sha256_of(array.T) != sha256_of(array)


def test_digests_of_files_are_of_their_bytes_end_to_end(tmp_path: Path) -> None:
    content = [b"abc" * 400_000, b"", b"d"]  # longer than a block
    paths = [tmp_path / str(i) for i in range(3)]
    for path, blob in zip(paths, content, strict=True):
        path.write_bytes(blob)
    assert sha256_of_file(str(paths[0])) == hashlib.sha256(content[0]).hexdigest()
    assert sha256_of_file(*paths) == hashlib.sha256(b"".join(content)).hexdigest()
    with pytest.raises(FileNotFoundError):
        sha256_of_file(tmp_path / "none")
    with pytest.raises(OSError, match=r"folder|directory"):
        sha256_of_file(tmp_path)
