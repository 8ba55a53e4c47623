"""`loracast annotate`, `annotations train` and `annotations evaluate` on a tiny random base."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from loracast.annotation import (
    LABEL_FIELDS,
    AnnotatedSeries,
    Annotation,
    describe_chunk,
    label_studio_config,
    prose,
    read_labelled,
    write_published,
    write_records,
)


@pytest.fixture(scope="module")
def trained(base: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from loracast.cli import main

    out = tmp_path_factory.mktemp("annotations") / "out"
    argv = [
        "annotations",
        "train",
        "--out",
        out,
        "--model",
        base,
        "--max-steps",
        2,
        "--budget",
        "1e12",
    ]
    argv += [
        "--test",
        12,
        "--test-seeds",
        2,
        "--max-length",
        48,
        "--batch-size",
        4,
        "--calibration",
        20,
    ]
    assert main([str(a) for a in argv]) == 0
    return out


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[AnnotatedSeries]:
    made = describe_chunk(11, 0, 9, lengths=(20, 40))
    return [AnnotatedSeries(r.values, r.facts, f"r{i}") for i, r in enumerate(made)]


def test_training_scores_every_method_on_every_seed(trained: Path) -> None:
    result = json.loads((trained / "result.json").read_text())
    methods = result["test"]["methods"]
    assert list(methods) == [
        "majority", "trend_only", "published_rules", "robust_rules", "few_shot", "untuned",
        "annotator",
    ]  # fmt: skip
    ours = methods["annotator"]
    assert ours["valid_json"] == 1.0 and ours["contradictions"] == 0
    assert result["test"]["seeds"] == [0, 1] and result["training"]["steps"] == 2
    for scores in methods.values():
        assert list(scores["fields"]) == list(LABEL_FIELDS)
        for field in scores["fields"].values():
            assert len(field["accuracy_by_seed"]) == 2
            assert field["accuracy"] == pytest.approx(np.mean(field["accuracy_by_seed"]))
    # Rules read extrema off the numbers, as the truth does.
    assert methods["robust_rules"]["fields"]["max"]["accuracy"] == 1.0
    assert 0 < result["budget"]["spent_flops"] <= result["budget"]["limit_flops"] == 1e12
    assert set(result["verdict"]["reached"]) | set(result["verdict"]["not_yet"]) == set(
        LABEL_FIELDS
    )


def test_annotations_in_three_formats(run, trained: Path, data: Path, tmp_path: Path) -> None:
    three = data / "three.csv"
    plot = tmp_path / "p.png"
    done = run("annotate", three, "--adapter", trained, "--lang", "fr", "--plot", plot)
    assert done.code == 0
    answers = json.loads(done.out)
    made = [Annotation.read({k: v for k, v in a.items() if k != "prose"}) for a in answers]
    assert [a.id for a in made] == ["s1", "s2", "s3"]
    assert [a["prose"] for a in answers] == [prose(a, "fr") for a in made]
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "3 series" in done.err

    done = run("annotate", three, "--adapter", trained, "--format", "csv")
    table = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["trend"] for row in table] == [a.trend.label for a in made]

    file = tmp_path / "tasks.json"
    done = run("annotate", three, "--adapter", trained, "--format", "label-studio", "--out", file)
    assert done.code == 0 and done.out == ""
    config = tmp_path / "tasks.xml"
    assert f"written to {file} and {config}" in done.err
    assert config.read_text() == label_studio_config()
    config.write_text("<View/>\n")
    again = run("annotate", three, "--adapter", trained, "--format", "label-studio", "--out", file)
    assert f"{config} is there and is another" in again.message
    assert config.read_text() == "<View/>\n"
    tasks = json.loads(file.read_text())
    for task, annotation in zip(tasks, made, strict=True):
        told = {r["from_name"]: r["value"] for r in task["predictions"][0]["result"]}
        assert told["trend"]["choices"] == [annotation.trend.label]


def test_corrected_labels_of_label_studio_are_learned(
    run, trained: Path, data: Path, tmp_path: Path
) -> None:
    """Predictions out, a trend corrected there, the export back in, and an annotator from it."""
    tasks = tmp_path / "tasks.json"
    ask = ("annotate", data / "three.csv", "--adapter", trained)
    assert run(*ask, "--format", "label-studio", "--out", tasks).code == 0
    export = []
    for number, task in enumerate(json.loads(tasks.read_text())):
        result = task["predictions"][0]["result"]
        for region in result:
            if region["from_name"] == "trend":
                region["value"]["choices"] = ["flat"]
        answered = {"id": number, "was_cancelled": False, "result": result}
        export.append({"id": number, "data": task["data"], "annotations": [answered]})
    corrected, out = tmp_path / "export.json", tmp_path / "out"
    corrected.write_text(json.dumps(export))
    more = ("--test", 8, "--test-seeds", 1, "--no-baselines", "--budget", "1e12")
    done = run(
        "annotations", "train", "--out", out, "--data", corrected, "--adapter", trained, *more
    )
    assert done.code == 0, done.err
    result = json.loads((out / "result.json").read_text())
    assert result["data"] == {"path": str(corrected), "n": 3}
    assert result["learned_on_from"] == str(trained) and result["training"]["steps"] == 3
    taught = read_labelled(corrected)
    assert [r.facts.trend for r in taught] == ["flat"] * 3
    assert run("annotate", data / "three.csv", "--adapter", out).code == 0
    bad = run("annotations", "train", "--out", tmp_path / "x", "--data", tmp_path / "none.jsonl")
    assert bad.code == 2 and "none.jsonl: cannot be read" in bad.err


def test_labels_of_a_file_against_an_annotator(
    run, trained: Path, rows: list[AnnotatedSeries], tmp_path: Path
) -> None:
    ours, published = tmp_path / "ours.jsonl", tmp_path / "published.jsonl"
    write_records(ours, rows)
    write_published(published, rows)
    found = {}
    for path in (ours, published):
        done = run("annotations", "evaluate", path, "--adapter", trained, "--json")
        assert done.code == 0, done.err
        found[path] = json.loads(done.out)
        assert found[path]["n"] == 9 and found[path]["valid_json"] == 1.0
        assert set(found[path]["gold"]) == set(found[path]["rule"]) == set(LABEL_FIELDS)
    for name in LABEL_FIELDS:
        said = [a[name] for a in found[ours]["answers"]]
        true = [
            getattr(r.facts, name)
            if name in ("trend", "noise")
            else next(e.region for e in r.facts.extrema if e.kind == name)
            for r in rows
        ]
        assert found[ours]["gold"][name] == pytest.approx(np.mean(np.array(said) == true))

    done = run("annotations", "evaluate", published, "--adapter", trained, "--tune", 6, "--json")
    tuned = json.loads(done.out)
    assert tuned["n"] == 3 and len(tuned["tuned_on"]) == 6
    left = [str(i) for i in range(9) if i not in tuned["tuned_on"]]
    assert [a["id"] for a in tuned["answers"]] == left
    assert found[published]["flops"] > 0 == found[published]["tuning_flops"]
    assert tuned["flops"] > 0 < tuned["tuning_flops"]

    ledger = tmp_path / "ledger.sqlite"
    assert run("ledger", "open", ledger, "--limit", "1e14").code == 0
    argv = ["annotations", "evaluate", published, "--adapter", trained, "--tune", 6, "--json"]
    again = json.loads(run(*argv, "--ledger", ledger).out)
    assert again == tuned
    shown = json.loads(run("ledger", "show", ledger, "--json").out)
    assert shown["by_stage"] == {"annotations": tuned["tuning_flops"], "annotate": tuned["flops"]}
    assert shown["reserved_flops"] == 0


def test_training_and_its_evaluation_charge_a_named_ledger(
    run, base: str, trained: Path, tmp_path: Path
) -> None:
    ledger, out = tmp_path / "ledger.sqlite", tmp_path / "out"
    argv = ["annotations", "train", "--out", out, "--model", base, "--max-steps", 2, "--test", 12]
    argv += ["--test-seeds", 2, "--max-length", 48, "--batch-size", 4, "--calibration", 20]
    argv += ["--budget", "1e12", "--ledger", ledger]
    assert run("ledger", "open", ledger, "--limit", "5e11").code == 0
    assert "annotations/" in run(*argv).message  # it does not hold the budget
    assert run("ledger", "open", ledger, "--limit", "2e12").code == 0
    assert run(*argv).code == 0
    result, before = (json.loads((d / "result.json").read_text()) for d in (out, trained))
    assert result["test"]["methods"].keys() == before["test"]["methods"].keys()
    budget = result["budget"]
    assert budget["spent_flops"] == before["budget"]["spent_flops"]
    assert budget["evaluation_flops"] == before["budget"]["evaluation_flops"] > 0
    shown = json.loads(run("ledger", "show", ledger, "--json").out)
    assert shown["by_stage"].pop("annotations") == budget["spent_flops"]
    assert sum(shown["by_stage"].values()) == budget["evaluation_flops"]
    assert "evaluation.annotator" in shown["by_stage"]


def test_a_missing_font_is_said_before_the_work(
    run, base: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("the model was asked")

    monkeypatch.setattr("loracast.annotation._plot._CHINESE_FONTS", ("No Such Font",))
    monkeypatch.setattr("loracast.annotation.Annotator.from_pretrained", work)
    ask = ("annotate", data / "three.csv", "--model", base, "--plot", tmp_path / "p.png")
    assert "no font for a Chinese caption" in run(*ask, "--lang", "zh").message


def test_bad_input_is_one_line(run, base: str, trained: Path, tmp_path: Path) -> None:
    def file(name: str, values: list[float]) -> Path:
        path = tmp_path / f"{name}.csv"
        pd.DataFrame({"unique_id": "a", "ds": range(len(values)), "y": values}).to_csv(
            path, index=False
        )
        return path

    ask = ("annotate", "--adapter", trained)
    assert "empty" in run(*ask, file("none", [])).message
    assert "1 known of 1 points" in run(*ask, file("one", [1.0])).message
    assert "the value 3 at all" in run(*ask, file("equal", [3.0] * 20)).message
    assert run(*ask, file("missing", [np.nan] * 20)).message
    long = file("long", list(np.sin(np.arange(3000))))
    assert "got a series of 3000 points; expected at most 1024" in run(*ask, long).message
    longer = file("longer", list(np.sin(np.arange(5000))))
    bare = ("annotate", "--model", base, longer, "--max-points", 10**5)
    assert "the model has 4096" in run(*bare).message
    zoned = tmp_path / "zoned.csv"
    zoned.write_text("ds,y\n2024-01-01T00:00:00+02:00,1\n2024-01-01T01:00:00+02:00,2\n")
    assert "has the time zone +02:00" in run(*ask, zoned).message
    assert "--format" in run(*ask, long, "--format", "xml").message
    assert "--lang" in run(*ask, long, "--lang", "de").message
    assert "--threshold" in run(*ask, long, "--threshold", 2).message
    assert "suffix" in run(*ask, long, "--plot", tmp_path / "p.gif").message
    html = tmp_path / "page.jsonl"
    html.write_text("<html></html>\n")
    assert "HTML" in run("annotations", "evaluate", html, "--adapter", trained).message
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text(
        '{"index": 0, "input": "Series: [1, 2]", "output": "{\\"colour\\": \\"red\\"}"}\n'
    )
    assert "colour" in run("annotations", "evaluate", wrong, "--adapter", trained).message
    assert "holds no adapter" in run("annotate", long, "--adapter", tmp_path).message
    assert (
        "--max-steps"
        in run("annotations", "train", "--out", tmp_path / "x", "--max-steps", 0).message
    )
    out = tmp_path / "small"
    on = ("annotations", "train", "--out", out, "--adapter", trained)
    assert "--numbers, --method beside --adapter" in (
        run(*on, "--numbers", "digits", "--method", "full").message
    )
    argv = ("annotations", "train", "--out", out, "--model", base, "--budget", "1e6")
    assert "budget" in run(*argv).message
    assert not out.exists()


def test_the_annotator_that_ships_is_the_default_and_says_so(run, tmp_path: Path) -> None:
    """`--bare` alone asks the base as it came; short series are told for what they are."""
    t = np.arange(48)
    series = {"line": t[:20], "tiny": t[:9], "wave": np.sin(t / 7), "fall": -1.0 * t}
    frames = [
        pd.DataFrame({"unique_id": name, "ds": np.arange(len(values)), "y": values})
        for name, values in series.items()
    ]
    file = tmp_path / "s.csv"
    pd.concat(frames).to_csv(file, index=False)
    done = run("annotate", file)
    assert done.code == 0
    made = {a["id"]: a for a in json.loads(done.out)}
    assert [made[name]["trend"]["label"] for name in ("line", "tiny", "fall")] == [
        "increasing", "increasing", "decreasing",
    ]  # fmt: skip
    for name, values in series.items():
        places = [e["position"] for e in made[name]["extrema"]]
        assert places == [np.argmax(values), np.argmin(values)]
        assert made[name]["arithmetic"] == ["max", "min"]
        assert made[name]["annotator"].startswith("embedded with the annotator that ships with it")
    assert made["line"]["notes"] == ["short_series"] and made["tiny"]["notes"] == ["too_short"]
    assert made["wave"]["notes"] == [] and made["tiny"]["noise"] is None
    err = done.err.splitlines()
    assert err[-3].startswith("note: series 'line': fewer known points than the 32")
    assert err[-2].startswith("note: series 'tiny': too few known points to be judged")
    assert err[-1].startswith("4 series by embedded with the annotator that ships with it, adapter")
    bare = run("annotate", file, "--bare")
    assert "4 series by embedded as it came: " in bare.err
    told = {a["id"]: a for a in json.loads(bare.out)}
    for name in series:
        assert told[name]["extrema"] == made[name]["extrema"]
    both = run("annotate", file, "--bare", "--adapter", tmp_path)
    assert "got --bare and --adapter" in both.message


def test_rows_are_compared_with_the_annotator_that_ships_unless_bare(
    run, rows: list[AnnotatedSeries], tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    write_records(path, rows)
    answers = {}
    for bare in ((), ("--bare",)):
        done = run("annotations", "evaluate", path, "--json", *bare)
        found = json.loads(done.out)
        assert found["gold"]["max"] == found["gold"]["min"] == 1.0
        answers[bare] = [(a["trend"], a["noise"]) for a in found["answers"]]
    assert answers[()] != answers[("--bare",)]
    both = run("annotations", "evaluate", path, "--bare", "--adapter", tmp_path)
    assert "got --bare and --adapter" in both.message
