"""What a model is shown: every step that was asked for, with the published codecs too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from loracast import Forecaster
from loracast.backbone import build_embedded, embedded_config
from loracast.codec import make_codec
from loracast.errors import DataError
from loracast.forecasting import Engine, FitPlan, ForecastTask
from loracast.forecasting._holdout import plan_for
from loracast.ledger import Ledger
from loracast.series import Panel
from loracast.training import TrainConfig

PUBLISHED: dict[str, dict[str, Any]] = {
    "mao": {"name": "mao", "global_scale": 10 / 7.9297},
    "fung": {"name": "fung"},
    "fung-short": {"name": "fung", "trailing_zeros": False},
    "miller": {"name": "miller"},
    "llmtime": {"name": "llmtime"},
}


def predator_prey(steps: int) -> np.ndarray:
    """(T, 2) positive, between 0.1 and 6."""
    t = np.arange(steps) / 4
    return np.stack([np.exp(1.2 * np.sin(t)), np.exp(1.2 * np.cos(t) - 0.5)], axis=1)


def shown_steps(engine: Engine, prompt: Any) -> np.ndarray:
    """The numbers in a prompt, read back from its tokens by the codec."""
    symbols = {int(token): i for i, token in enumerate(engine.task.token_ids)}
    ids = [symbols[int(i)] for i in prompt.ids if int(i) in symbols]
    return engine.codec.decode(np.array(ids), prompt.state)


@pytest.mark.parametrize("name", list(PUBLISHED))
@pytest.mark.parametrize("context", [70, 80])
def test_published_codecs_show_every_step_of_the_context(
    base: str, name: str, context: int
) -> None:
    engine = Engine.open(base, PUBLISHED[name])
    values = predator_prey(context)
    (prompt,) = engine.prompts([values])
    back = shown_steps(engine, prompt)
    assert back.shape == (context, 2)
    np.testing.assert_allclose(back, values, atol=0.01)  # the coarsest step, `mao`'s, is 0.008


def notes_of(forecaster: Forecaster) -> list[str]:
    """What the last forecast says beside that paths ran away, as those of this base do."""
    assert forecaster.forecast_report is not None
    return [note for note in forecaster.forecast_report.notes if "ran away" not in note]


def panel_of(lengths: list[int], n_channels: int = 2) -> Panel:
    values = tuple(predator_prey(n)[:, :n_channels] for n in lengths)
    return Panel(
        tuple(range(len(lengths))), values, tuple(np.arange(n) for n in lengths), tuple("ab")[:2]
    )


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects how many steps each prompt is made of."""
    seen: list[int] = []
    prompt = ForecastTask.prompt

    def spy(self: ForecastTask, context: np.ndarray) -> Any:
        seen.append(len(context))
        return prompt(self, context)

    monkeypatch.setattr(ForecastTask, "prompt", spy)
    return seen


@pytest.mark.parametrize("codec", [*PUBLISHED, "compact"])
def test_a_forecaster_shows_what_context_asks_for(base: str, codec: str, steps: list[int]) -> None:
    forecaster = Forecaster.from_pretrained(base, PUBLISHED.get(codec, codec), n_samples=1)
    forecaster.predict(1, [], panel_of([90, 100]), context=80)
    assert set(steps) == {80}
    assert notes_of(forecaster) == []
    steps.clear()
    forecaster.predict(1, [], panel_of([90, 60]), context=80)
    assert set(steps) == {80, 60}
    (note,) = notes_of(forecaster)
    assert note.startswith("1 of 2 series are shorter than the context of 80 steps")


def test_by_default_a_long_history_is_cut_and_a_note_says_so(base: str) -> None:
    forecaster = Forecaster.from_pretrained(base, "mao", n_samples=1)
    panel = panel_of([300, 30])
    assert forecaster.predict(1, [], panel) is not None
    (note,) = notes_of(forecaster)
    # 10 symbols a step of two channels `1.23,4.56;`, more where a value passes 10: 44 or 43 steps.
    codec = make_codec("mao").scaled_for(panel.values)
    state = codec.fit(panel.values[0])
    fitting = next(
        n for n in range(60, 0, -1) if len(codec.encode(panel.values[0][-n:], state)) <= 440
    )
    assert note.startswith(f"the last {fitting} steps were shown of 1 of 2 series")
    assert "--context" in note


def test_numbers_are_shown_by_default_as_far_as_the_base_was_trained(tmp_path: Path) -> None:
    build_embedded(tmp_path / "base", embedded_config(64, 1, 96), seed=0)
    engine = Engine.open(str(tmp_path / "base"), {"name": "continuous"})
    assert engine.default_context(predator_prey(500)) == 160
    assert engine.default_context(predator_prey(50)) == 50
    (prompt,) = engine.prompts([predator_prey(500)])
    assert prompt.numbers is not None
    assert len(prompt.numbers.values) == 500  # who asks for 500 is shown 500


def test_beyond_the_positions_of_the_model_is_refused_with_what_would_fit(base: str) -> None:
    engine = Engine.open(base, PUBLISHED["mao"])
    limit = engine.backbone.positions
    assert limit == 4096
    long = predator_prey(500)
    said = r"series 'x': got 500 steps of context in \d+ tokens.* at most 4096 .*positions: show"
    with pytest.raises(DataError, match=said) as caught:
        engine.sample([long], ["x"], 3, samples=1, seed=0)
    room = int(str(caught.value).split("show at most ")[1].split()[0])
    assert 300 < room < 500
    (prompt,) = engine.prompts([long[-room:]])
    assert len(prompt.ids) + 3 * engine.task.longest_step(2) <= limit
    with pytest.raises(DataError, match="forecast fewer steps, or choose a codec"):
        engine.sample([long[:5]], ["x"], 1000, samples=1, seed=0)


def test_what_is_refused_is_not_charged(base: str, tmp_path: Path) -> None:
    engine = Engine.open(base, PUBLISHED["mao"])
    with Ledger(tmp_path / "ledger.sqlite", 1e18) as ledger:
        with pytest.raises(DataError, match="positions"):
            engine.sample([predator_prey(500)], ["x"], 3, samples=1, seed=0, ledger=ledger)
        assert (ledger.spent_flops, ledger.reserved_flops) == (0, 0)


def test_a_training_window_beyond_the_positions_is_refused(base: str) -> None:
    engine = Engine.open(base, PUBLISHED["llmtime"])
    source = engine.windows(panel_of([600]), FitPlan(600, 100), 1, 0)
    with pytest.raises(DataError, match=r"training window of 600 steps in .* at most 4096"):
        source.batch(0)


@pytest.mark.parametrize("name", ["mao", "fung", "miller", "llmtime"])
def test_default_windows_fill_the_tokens_they_are_meant_to_have(base: str, name: str) -> None:
    """Counted in real tokens: the longest legal step is twice or thrice as long as a usual one."""
    panel = panel_of([200, 200])
    engine = Engine.open(base, PUBLISHED[name])
    plan = plan_for(engine, panel)
    tokens = [len(e) for e in engine.windows(panel, plan, 8, 0).batch(0)]
    assert 0.8 * 560 < np.mean(tokens) < 1.1 * 560
    trained = engine.validation_examples(panel, plan)
    assert trained


def test_a_study_shows_its_context_and_counts_real_tokens(tmp_path: Path) -> None:
    """Oracle: the windows of the file, cut and encoded by hand."""
    from loracast.series import write_hdf5
    from loracast.studies import Recipe, read_report_data, run_study

    build_embedded(tmp_path / "base", embedded_config(64, 1, 64), seed=3)
    rng = np.random.default_rng(0)
    values = tuple(predator_prey(60) * rng.uniform(0.5, 1.5) for _ in range(6))
    panel = Panel(tuple(range(6)), values, (np.arange(60),) * 6, ("prey", "predator"))
    write_hdf5(panel, tmp_path / "data.h5")
    recipe = Recipe.model_validate(
        {
            "budget": "1e13",
            "model": str(tmp_path / "base"),
            "codec": {"name": "fung"},
            "data": {"path": str(tmp_path / "data.h5"), "train": 4, "validation": 1},
            "context": 50,
            "horizons": [3],
            "samples": 2,
            "training": {"steps": 1, "batch_size": 2, "learning_rate": 1e-3, "eval_every": 0},
            "adapter": {"rank": 2, "alpha": 4},
            "default_steps": 1,
            "grid": None,
            "contexts": {"steps": 2, "windows": [20]},
            "max_final_steps": 1,
            "random_start": False,
            "baselines": ["naive"],
        }
    )
    run_study(recipe, tmp_path / "out")
    rows = {r.context: r for r in read_report_data(tmp_path / "out" / "report_data.json").contexts}
    codec = make_codec("fung")
    for window in (20, 53):
        per_window = [
            len(codec.encode(v[s : s + window], codec.fit(v)))
            for v in values[:4]
            for s in range(60 - window + 1)
        ]
        tokens = rows[window].tokens
        assert tokens is not None
        assert min(per_window) <= tokens <= max(per_window) + 1  # and the token that starts a text
        assert tokens < window * codec.grammar(2).max_symbols_per_step * 0.8


def test_a_fitted_forecaster_shows_what_it_was_made_for(base: str) -> None:
    frame = pd.DataFrame({"unique_id": "a", "ds": np.arange(300), "y": predator_prey(300)[:, 0]})
    forecaster = Forecaster.from_pretrained(base, "fung", n_samples=1)
    forecaster.fit(frame, 1e11, max_steps=1, training={"batch_size": 1})
    manifest = forecaster.engine.model.manifest
    assert manifest is not None
    assert forecaster.engine.default_context(predator_prey(300)[:, :1]) >= manifest.context_steps
    assert isinstance(forecaster.fit_report.config, TrainConfig)  # type: ignore[union-attr]
