"""The annotator that ships with the embedded base, on series that a newcomer has at hand.

Extrema and directions are judged by numpy and by how a series was made; no model is its own oracle.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from loracast import Annotator
from loracast.annotation import LABEL_FIELDS, Annotation, describe_chunk, prose
from loracast.annotation._reading import NET_CONFIDENCE
from loracast.annotation._shipped import SHIPPED_CARD, SHIPPED_DIR, shipped_annotator
from loracast.annotation._table import annotation_row
from loracast.backbone import EMBEDDED_DIR
from loracast.errors import AdapterError, ConfigError

ROOT = Path(__file__).parents[2]
LENGTHS = (5, 8, 12, 15, 16, 20, 25, 31, 32, 50, 128, 365, 1000, 2000)


@pytest.fixture(scope="module")
def shipped() -> Annotator:
    return Annotator.from_pretrained()


def _known(name: str) -> Iterator[np.ndarray]:
    """Series of statsmodels' own data."""
    from statsmodels import datasets

    frame = getattr(datasets, name).load_pandas().data
    columns = frame.select_dtypes("number").drop(columns=["year", "quarter"], errors="ignore")
    for column in columns:
        if columns[column].nunique() > 1:
            yield columns[column].to_numpy(dtype=np.float64)
    if name == "elnino":
        yield columns.drop(columns=["YEAR"]).to_numpy(dtype=np.float64).ravel()


def _drawn(seed: int) -> Iterator[np.ndarray]:
    """Walks, waves, steps and spikes of any length and unit, some with missing ends."""
    rng = np.random.default_rng(seed)
    for T in LENGTHS:
        t = np.arange(T)
        step = np.where(t < rng.integers(1, T), 0.0, rng.normal())
        spike = rng.normal(0, 0.1, T)
        spike[rng.integers(T)] += rng.choice([-9.0, 9.0])
        for values in (
            np.cumsum(rng.normal(size=T)), np.sin(t / 2.3), np.sin(t / 9 + 1) + t / T,
            rng.normal(size=T), step, spike, np.exp(rng.normal(0, 3, T)), t % 7.0,
            -np.abs(t - T / 3),
        ):  # fmt: skip
            scaled = values * 10.0 ** rng.integers(-6, 7) + rng.choice([0, 5, -1e3])
            if len(set(scaled)) > 1:
                yield scaled
            gap = scaled.copy()
            gap[: T // 5], gap[T - T // 8 :] = np.nan, np.nan
            if len(set(gap[np.isfinite(gap)])) > 1:
                yield gap


def _check_extrema(made: list[Annotation], series: list[np.ndarray]) -> None:
    for annotation, values in zip(made, series, strict=True):
        for e, wanted in zip(
            annotation.extrema, (np.nanargmax(values), np.nanargmin(values)), strict=True
        ):
            assert e.position == e.index == wanted and e.value == values[wanted]
            share = wanted / len(values)
            region = "beginning" if share < 0.25 else "middle" if share <= 0.75 else "end"
            assert e.region == region
        assert annotation.arithmetic == ("max", "min")
        assert annotation.confidence["max"] == annotation.confidence["min"] == 1.0


@pytest.mark.parametrize("name", ["sunspots", "co2", "macrodata", "nile", "elnino"])
def test_no_extremum_of_known_data_is_false(shipped: Annotator, name: str) -> None:
    series = list(_known(name))
    _check_extrema(shipped.annotate(series, how="resample"), series)


def test_no_extremum_is_false_whatever_the_series(shipped: Annotator) -> None:
    series = list(_drawn(1))
    made = shipped.annotate(series, how="resample")
    _check_extrema(made, series)
    for annotation in made:
        row, said = annotation_row(annotation), prose(annotation)
        assert row["arithmetic"] == "max;min" and row["annotator"] == annotation.annotator
        assert (row["notes"] != "") == ("points are known" in said)


@pytest.mark.parametrize("numbers", ["continuous", "digits", "measured"])
def test_no_extremum_of_the_bare_base_is_false(numbers: str) -> None:
    series = [s for s in _drawn(2) if len(s) <= 128][::4]
    made = Annotator.from_pretrained(bare=True, numbers=numbers).annotate(series)
    _check_extrema(made, series)


@pytest.mark.parametrize("gap", [False, True])
def test_a_straight_line_goes_where_it_goes(shipped: Annotator, gap: bool) -> None:
    series, wanted = [], []
    for T in (*range(5, 40), 64, 100, 300, 1000):
        for slope, level in ((1.0, 0.0), (-1.0, 3.0), (1e-3, 5.0), (-1e6, 0.0)):
            line = level + slope * np.arange(T)
            if gap:
                line[: T // 8], line[T - T // 8 :] = np.nan, np.nan
            series.append(line)
            wanted.append("increasing" if slope > 0 else "decreasing")
    made = shipped.annotate(series)
    wrong = [
        (len(s), w) for s, a, w in zip(series, made, wanted, strict=True) if a.trend.label != w
    ]
    assert not wrong
    assert all(a.noise.level == "low" for a in made if a.noise is not None)


def test_what_is_too_short_is_not_judged_and_says_so(
    shipped: Annotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short, tiny = np.arange(40.0), np.arange(20.0), np.arange(12.0)
    holes = np.where(np.arange(40) % 3 == 0, long, np.nan)  # 14 known points
    made = shipped.annotate([tiny, long, holes, short])
    assert [a.notes for a in made] == [("too_short",), (), ("too_short",), ("short_series",)]
    assert [a.trend.label for a in made] == ["increasing"] * 4
    assert made[0].noise is None and "noise" in made[0].abstained
    assert made[0].confidence == {"max": 1.0, "min": 1.0, "trend": NET_CONFIDENCE}
    assert "Too few points are known to judge the series (length 12)" in prose(made[0])
    assert "Fewer points are known than the annotator learned from (length 20)" in prose(made[3])
    assert "longueur 20" in prose(made[3], "fr") and "长度 20" in prose(made[3], "zh")
    (unsure,) = shipped.annotate(tiny, threshold=0.8)
    assert unsure.trend is None and len(unsure.extrema) == 2
    for annotation in made:
        assert Annotation.read(annotation.model_dump_json()) == annotation
    report = shipped.annotation_report
    assert report.n_series == 1 and report.flops == 0
    monkeypatch.setattr("loracast.annotation._engine.guided_answers", None)
    assert shipped.annotate([tiny])[0].trend.label == "increasing"  # the model is not asked
    flat = np.array([0.0, 5, -5, 5, -5, 0, 5, -5, 1])
    assert shipped.annotate(flat)[0].trend.label == "flat"


def test_it_is_what_from_pretrained_gives_and_it_says_who_it_is(
    shipped: Annotator, tmp_path: Path
) -> None:
    assert shipped.engine.settings.numbers == "measured"
    assert shipped.engine.settings.fields == LABEL_FIELDS
    weights = sorted(SHIPPED_DIR.glob("*.safetensors"))
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in weights)).hexdigest()[:12]
    (made,) = shipped.annotate(np.arange(50.0))
    assert made.annotator == (f"embedded with the annotator that ships with it, adapter {digest}")
    (bare,) = Annotator.from_pretrained(bare=True).annotate(np.arange(50.0))
    assert bare.annotator == "embedded as it came"
    copy = shipped.save(tmp_path / "copy")
    (loaded,) = Annotator.load(copy).annotate(np.arange(50.0))
    assert loaded.annotator == f"embedded with adapter {digest}"
    assert loaded.trend == made.trend and loaded.noise == made.noise
    with pytest.raises(ConfigError, match=r"numbers='digits' \(it reads 'measured'\).*bare=True"):
        Annotator.from_pretrained(numbers="digits")
    with pytest.raises(
        ConfigError, match=r"fields=\['trend'\] \(it tells trend, noise, max, min\)"
    ):
        Annotator.from_pretrained(fields=("trend",))
    small = Annotator.from_pretrained(max_points=64)
    assert small.engine.settings.max_points == 64
    small.fit(list(describe_chunk(1, 0, 1, lengths=(20, 30))), budget=1e12, max_steps=1)
    assert small.engine.settings.max_points == 64


def test_its_files_are_those_of_its_card_and_go_into_the_wheel() -> None:
    card = json.loads(SHIPPED_CARD.read_text())
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in SHIPPED_DIR.iterdir()}
    assert card["sha256"] == files
    assert "adapter_model.safetensors" in files and "annotator.json" in files
    assert sum(p.stat().st_size for p in SHIPPED_DIR.iterdir()) < 3e6
    assert shipped_annotator() == SHIPPED_DIR
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())
    artifacts = patterns["tool"]["hatch"]["build"]["targets"]["wheel"]["artifacts"]
    for path in (*SHIPPED_DIR.iterdir(), SHIPPED_CARD):
        assert any(path.relative_to(ROOT).match(pattern) for pattern in artifacts), path
    # Nothing of the machine it was made on.
    for path in (*SHIPPED_DIR.glob("*.json"), SHIPPED_CARD):
        assert not any(word in path.read_text() for word in ("/work", "/home", "/tmp", "/root"))
        digest = hashlib.sha256()
    for path in sorted(EMBEDDED_DIR.glob("*.safetensors")):
        digest.update(path.read_bytes())
    assert json.loads((SHIPPED_DIR / "loracast.json").read_text())["base_sha256"] == (
        digest.hexdigest()
    )


@pytest.mark.parametrize("fault", ["changed", "missing", "more", "link", "path", "no card"])
def test_a_damaged_one_is_refused_in_one_line(tmp_path: Path, fault: str) -> None:
    folder, card = tmp_path / "annotator", tmp_path / "annotator.json"
    shutil.copytree(SHIPPED_DIR, folder)
    shutil.copyfile(SHIPPED_CARD, card)
    assert shipped_annotator(folder, card) == folder
    weights = folder / "adapter_model.safetensors"
    if fault == "changed":
        whole = bytearray(weights.read_bytes())
        whole[-5] ^= 1
        weights.write_bytes(whole)
    elif fault == "missing":
        weights.unlink()
    elif fault == "more":
        (folder / "adapter_model.bin").write_bytes(b"pickle")
    elif fault == "link":
        weights.rename(tmp_path / "elsewhere")
        weights.symlink_to(tmp_path / "elsewhere")
    elif fault == "path":
        data = json.loads(card.read_text())
        data["sha256"]["../annotator.json"] = hashlib.sha256(card.read_bytes()).hexdigest()
        card.write_text(json.dumps(data))
    else:
        card.unlink()
    with pytest.raises(AdapterError, match=r"is damaged: .*install the package again") as caught:
        shipped_annotator(folder, card)
    assert "\n" not in str(caught.value)
