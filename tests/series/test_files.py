"""Files: three formats hold the same data, and every unusable file is one clear line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from loracast.errors import DataError, StorageError
from loracast.files import sha256_of_file
from loracast.series import Panel, read_panel, write_hdf5, write_panel
from loracast.synthetic import generate_ou

HEADER = "unique_id,ds,y\n"
WILD = [1e300, 1e-300, 5e-324, 1.7976931348623157e308, -3.5, 0.0, float("nan"), 0.1 + 0.2]


def one_line(path: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        read_panel(path, **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert text.startswith(f"{path}: ")
    return text


def pairs() -> Panel:
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(3, 4, 2)) * [1e-9, 1e9]
    values[1, 2, 0] = np.nan
    return Panel((4, 7, 2), tuple(values), (np.array([0.5, 1.0, 2.5, 4.0]),) * 3, ("a", "b"))


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.pq", "x.h5", "x.hdf5", "X.CSV"])
def test_every_format_gives_back_the_same_bits(tmp_path: Path, name: str) -> None:
    panel = pairs()
    path = write_panel(panel, tmp_path / name)
    targets = None if name.endswith(("h5", "hdf5")) else ["a", "b"]
    found = read_panel(path, target_cols=targets)
    assert found.ids == panel.ids
    assert found.channels == panel.channels
    np.testing.assert_array_equal(found.stack(), panel.stack())
    np.testing.assert_array_equal(np.stack(found.times), np.stack(panel.times))
    assert found.meta["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [p.name for p in tmp_path.iterdir()] == [name], "nothing left beside it"


def test_a_foreign_hdf5_file_needs_trajectories_alone(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["trajectories"] = values
    panel = read_panel(tmp_path / "x.h5")
    assert panel.ids == (0, 1, 2)
    assert panel.channels == ("prey", "predator")
    assert panel.times[2].tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(panel.stack(), values)


def test_hdf5_keeps_facts_about_each_series_and_picks_channels(tmp_path: Path) -> None:
    panel = pairs()
    panel.meta.update(seed=5, per_series={"regime": ["x", "y", "z"], "alpha": [0.1, 0.2, 0.3]})
    found = read_panel(write_hdf5(panel, tmp_path / "x.h5"), target_cols=["b"])
    assert found.meta["seed"] == 5
    assert found.meta["per_series"] == panel.meta["per_series"]
    assert found.select([2, 0]).meta["per_series"] == {"regime": ["z", "x"], "alpha": [0.3, 0.1]}
    np.testing.assert_array_equal(found.stack()[:, :, 0], panel.stack()[:, :, 1])


def test_equal_data_are_equal_bytes(tmp_path: Path) -> None:
    first, again = (write_hdf5(generate_ou(3, 1, 9), tmp_path / n) for n in ("a.h5", "b.h5"))
    assert sha256_of_file(first) == sha256_of_file(again)


BAD_CSV: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "is empty"),
    "no rows": (HEADER, "empty frame"),
    "wrong columns": ("name,colour\nx,red\ny,blue\n", "cannot tell ids, times and values apart"),
    "two times": ("year,month,y\n2000,1,3\n2000,2,4\n", "could each be the time"),
    "no time": ("unique_id,y\na,1\na,2\n", "--time-col"),
    "infinite": (HEADER + "a,0,1\na,1,inf\n", "series 'a' has inf in 'y' at ds 1"),
    "minus infinite": (HEADER + "a,0,1\na,1,-inf\n", "series 'a' has -inf in 'y' at ds 1"),
    "twice": (HEADER + "a,0,1\nb,1,5\na,0,2\n", "series 'a' has ds 0 twice"),
    "unsorted": (HEADER + "a,1,1\na,0,2\n", "series 'a' has ds 0 after 1"),
    "not UTF-8": (HEADER.encode() + b"caf\xe9,0,1\n", "is not UTF-8 (byte 0xe9)"),
    "text": (HEADER + "a,0,1\na,1,two\n", "holds 'two' in row 2"),
    "no time in a row": (HEADER + "a,0,1\na,,2\n", "'ds' is empty in row 2"),
    "no id in a row": (HEADER + "a,0,1\n,1,2\n", "'unique_id' is empty in row 2"),
    "odd dates": (HEADER + "a,2020-01-01,1\na,soon,2\n", "holds 'soon'"),
    "semicolons": ("unique_id;ds;y\na;0;1\n", "expected commas"),
    "long rows": (HEADER + "a,0,1,9\n", "more fields"),
    "uneven rows": (HEADER + "a,0,1\na,1,2,3,4\n", "is no readable CSV"),
}


@pytest.mark.parametrize("kind", BAD_CSV)
def test_a_bad_csv_is_one_line(tmp_path: Path, kind: str) -> None:
    content, message = BAD_CSV[kind]
    path = tmp_path / "x.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert message in one_line(path)


def test_missing_files_folders_and_other_kinds(tmp_path: Path) -> None:
    for name in ("gone.csv", "gone.parquet", "gone.h5"):
        assert "no such file" in one_line(tmp_path / name)
    (tmp_path / "dir.csv").mkdir()
    assert "is a folder" in one_line(tmp_path / "dir.csv")
    assert "got suffix '.xlsx'" in one_line(tmp_path / "x.xlsx")


@pytest.mark.parametrize("name", ["x.parquet", "x.h5"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_truncated_file_is_one_line(tmp_path: Path, name: str, share: float) -> None:
    path = write_panel(generate_ou(20, 0, 50), tmp_path / name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "is it truncated?" in one_line(path)


def test_named_columns_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(HEADER + "a,0,1\na,1,2\n")
    for option in ({"id_col": "shop"}, {"time_col": "shop"}, {"target_cols": ["shop"]}):
        text = one_line(path, **option)
        assert "'shop' is not there" in text
        assert "'unique_id', 'ds', 'y'" in text
    assert "named twice" in one_line(path, id_col="y", target_cols=["y"])


BAD_HDF5: dict[str, tuple[dict[str, object], str]] = {
    "other names": ({"x": np.ones((2, 3, 1))}, "no dataset 'trajectories'"),
    "two axes": ({"trajectories": np.ones((2, 3))}, "shape (2, 3); expected (N, T, C)"),
    "no series": ({"trajectories": np.ones((0, 3, 1))}, "shape (0, 3, 1)"),
    "text": ({"trajectories": np.full((1, 2, 1), b"x")}, "expected numbers"),
    "infinite": ({"trajectories": np.full((1, 2, 1), np.inf)}, "infinite value"),
    "short time": ({"trajectories": np.ones((1, 2, 1)), "time": np.arange(3)}, "'time' of shape"),
    "time back": ({"trajectories": np.ones((1, 2, 1)), "time": [1.0, 0.0]}, "repeat or go back"),
    "ids": ({"trajectories": np.ones((2, 2, 1)), "system_id": [1]}, "'system_id' of shape"),
    "repeated ids": ({"trajectories": np.ones((2, 2, 1)), "system_id": [1, 1]}, "repeated"),
}


@pytest.mark.parametrize("kind", BAD_HDF5)
def test_a_bad_hdf5_file_is_one_line(tmp_path: Path, kind: str) -> None:
    content, message = BAD_HDF5[kind]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for key, value in content.items():
            file[key] = value
    assert message in one_line(tmp_path / "x.h5")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".h5"])
def test_wild_but_legal_numbers_come_through_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    values = np.array(WILD)
    if suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["trajectories"] = values[None, :, None]
    else:
        frame = pd.DataFrame({"unique_id": "a", "ds": range(len(WILD)), "y": values})
        frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    panel = read_panel(path)
    np.testing.assert_array_equal(panel.values[0][:, 0], values)
    assert panel.n_missing == 1


def test_ragged_series_and_interleaved_rows_are_legal(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(HEADER + "b,5,1\na,0,2\nb,6,\nb,9,3\n")
    panel = read_panel(tmp_path / "x.csv")
    assert panel.ids == ("b", "a")
    assert panel.lengths.tolist() == [3, 1]
    assert panel.times[0].tolist() == [5, 6, 9]
    with pytest.raises(DataError, match="series of one length"):
        panel.stack()


def test_sorting_has_to_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(HEADER + "a,2,30\na,0,10\na,1,20\n")
    panel = read_panel(tmp_path / "x.csv", sort=True)
    assert panel.values[0][:, 0].tolist() == [10, 20, 30]
    assert panel.meta["notes"] == ("rows were sorted by time",)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("Year,Sunspots\n1700,5\n1701,11\n", [1700, 1701]),
        ("Sunspots\n5\n\n7\n", [0, 1, 2]),
        (",time,value\n0,1949.0,112\n1,1949.5,118\n", [1949.0, 1949.5]),
    ],
)
def test_a_file_without_ids_is_one_series(tmp_path: Path, text: str, times: list[float]) -> None:
    (tmp_path / "x.csv").write_text(text)
    panel = read_panel(tmp_path / "x.csv")
    assert panel.ids == ("series",)
    assert panel.times[0].tolist() == times


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_text("old")
    ragged = Panel((0, 1), (np.ones((2, 1)), np.ones((3, 1))), (np.arange(2), np.arange(3)))
    with pytest.raises(DataError, match="one length"):
        write_panel(ragged, path)
    with pytest.raises(StorageError, match="cannot be written"):
        write_panel(ragged, tmp_path / "none" / "x.csv")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
