"""Sizes that no machine bears, and recipes that say something impossible: one line, at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

TRAINING = {"training": {"steps": 1}}
PRETRAINING = TRAINING | {"kinds": [{"kind": "digits", "share": 1.0}]}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["forecast", "three.csv", "--horizon", 99_999_999_999], "expected at most 2e+08"),
        (["forecast", "three.csv", "--horizon", 2, "--samples", 10**9], "1.6 GB hold"),
        (["forecast", "three.csv", "--horizon", 2, "--samples", 10**30], "1.6 GB hold"),
        (["backtest", "three.csv", "--horizon", 99_999_999_999], "99999999999"),
        (["backtest", "three.csv", "--horizon", 2, "--samples", 10**9], "1.6 GB hold"),
        (["backtest", "three.csv", "--horizon", 2, "--windows", 10**12], "hold"),
        (["fit", "three.csv", "--out", "o", "--batch-size", 1_000_000], "batch_size"),
        (["data", "lotka-volterra", "--out", "o.h5", "--n", 10**12], "1.6 GB of memory"),
        (["data", "ou", "--out", "o.h5", "--n", 1, "--steps", 10**12], "1.6 GB of memory"),
        (["annotations", "generate", "--out", "o.jsonl", "--n", 10**12], "held in memory"),
    ],
)
def test_sizes_that_no_machine_bears(
    run: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: Any, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "three.csv").write_bytes((data / "three.csv").read_bytes())
    assert says in run(*args).message
    assert [p.name for p in tmp_path.iterdir()] == ["three.csv"]


@pytest.mark.parametrize("suffix", ["csv", "h5"])
def test_an_id_that_is_a_book(run: Any, tmp_path: Path, suffix: str) -> None:
    book, file = "x" * 5_000_000, tmp_path / f"book.{suffix}"
    if suffix == "csv":
        file.write_text(f"unique_id,ds,y\n{book},0,1\n{book},1,2\n")
    else:
        with h5py.File(file, "w") as out:
            out["trajectories"], out["system_id"] = np.ones((1, 5, 1)), np.array([book.encode()])
    message = run("forecast", file, "--horizon", 1).message
    assert "id of 5,000,000 characters" in message
    assert len(message) < 400


@pytest.mark.parametrize("name", ["trajectories", "time", "system_id", "per_series"])
@pytest.mark.parametrize("kind", ["soft", "external"])
def test_links_that_lead_nowhere(run: Any, tmp_path: Path, name: str, kind: str) -> None:
    file = tmp_path / "x.h5"
    link = h5py.SoftLink("/gone") if kind == "soft" else h5py.ExternalLink("gone.h5", "/x")
    with h5py.File(file, "w") as out:
        if name != "trajectories":
            out["trajectories"] = np.random.default_rng(0).normal(size=(2, 9, 1))
        out[name] = link
    assert f"a link /{name} that leads nowhere" in run("data", "info", file).message


def test_a_link_inside_the_facts_that_leads_nowhere(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "x.h5"
    with h5py.File(file, "w") as out:
        out["trajectories"] = np.ones((2, 9, 1))
        out["per_series/regime"] = h5py.SoftLink("/gone")
    assert "/per_series/regime that leads nowhere" in run("forecast", file, "--horizon", 1).message


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ({"seed": -1}, "seed: Input should be greater than or equal to 0 (got -1)"),
        ({"codec": {"name": ["compact"]}}, "got codec ['compact']"),
        ({"codec": {"name": None}}, "got codec None"),
        ({"context_range": [0.9, 0.3]}, "context_range: got 0.9 to 0.3"),
        ({"context_range": [0.0, 0.3]}, "context_range"),
        ({"data": {"generate": 10**12}}, "data.generate: "),
        ({"data": {"generate_seed": -3}}, "data.generate_seed: "),
        ({"grid": {"learning_rate": [-1.0]}}, "grid.learning_rate.0: "),
        ({"grid": {"rank": [0]}}, "grid.rank.0: "),
        ({"grid": {"rank": []}}, "grid.rank: "),
        ({"contexts": {"windows": [1]}}, "contexts.windows.0: "),
        ({"training": {"steps": 1, "batch_size": 10**6}}, "training.batch_size: "),
        ({"training": {"steps": "many"}}, "training.steps: "),
        ({"seeds": 3}, "seeds: no field has this name"),
        ("words", "not valid: Input should be a valid dictionary"),
    ],
)
@pytest.mark.parametrize("command", ["study run", "plan"])
def test_recipes_that_say_something_impossible(
    run: Any, tmp_path: Path, recipe: Any, says: str, command: str
) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(yaml.safe_dump(recipe if isinstance(recipe, str) else TRAINING | recipe))
    args = ["--out", tmp_path / "out"] if command == "study run" else ["--no-measure"]
    message = run(*command.split(), file, *args).message
    assert says in message
    assert "pydantic" not in message
    assert "further information" not in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ({"seed": -1}, "seed: "),
        ({"context_range": [0.9, 0.3]}, "context_range: got 0.9 to 0.3"),
        (
            {"kinds": [{"kind": "annotation", "share": 1, "lengths": [256, 32]}]},
            "lengths: got 256 to 32",
        ),
        ({"kinds": [{"kind": "continuous", "share": 1, "steps": [0]}]}, "steps.0: "),
        ({"kinds": [{"kind": "music", "share": 1}]}, "kinds.0"),
        ({"hiden": 3}, "hiden: no field has this name"),
    ],
)
def test_pretraining_recipes(run: Any, tmp_path: Path, recipe: Any, says: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(yaml.safe_dump(PRETRAINING | recipe))
    message = run("pretrain", file, "--out", tmp_path / "out").message
    assert says in message
    assert "further information" not in message


def test_options_are_checked_like_the_recipe(run: Any, tmp_path: Path) -> None:
    outcome = run("study", "run", "--seed", -1, "--out", tmp_path / "out")
    assert outcome.message == "error: got --seed -1; expected 0 or more"
    from loracast.errors import ConfigError
    from loracast.studies import changed_recipe, load_recipe

    recipe = load_recipe(None)
    assert changed_recipe(recipe, {"seed": None, "data": None}) == recipe
    moved = changed_recipe(recipe, {"data": {"path": "x.h5"}, "seed": 7})
    assert (moved.data.path, moved.data.generate) == ("x.h5", recipe.data.generate)
    for update in ({"seed": -1}, {"budget": "lots"}, {"data": {"generate": 1}}):
        with pytest.raises(ConfigError, match=f"recipe: {next(iter(update))}"):
            changed_recipe(recipe, update)


@pytest.mark.parametrize("change", [{"context_steps": "many"}, {"colour": "red"}])
def test_a_manifest_with_a_wrong_field_names_it(run: Any, tmp_path: Path, change: Any) -> None:
    import json

    manifest = {
        "model": "embedded", "base_sha256": "0", "kept_ids": [1], "adapter": {},
        "codec": {"name": "compact"}, "context_steps": 5, "n_channels": 1,
    } | change  # fmt: skip
    (tmp_path / "loracast.json").write_text(json.dumps(manifest))
    message = run("adapters", "inspect", tmp_path).message
    assert next(iter(change)) in message
    assert "further information" not in message
