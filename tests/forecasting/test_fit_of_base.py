"""Channels and codecs that a base has never seen: forecast apart, or refused, never silently."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from loracast import Forecaster
from loracast.backbone import CARD_FILE, build_embedded, embedded_config, load_backbone, read_card
from loracast.errors import ConfigError
from loracast.forecasting import Engine
from loracast.forecasting._backtest import compare_methods
from loracast.series import Panel
from loracast.synthetic import CORPUS_CHANNELS, corpus_chunk

CARD = {
    "channels": 4,
    "recipe": {
        "kinds": [
            {"kind": "continuous", "codec": {"name": "continuous"}},
            {"kind": "digits", "codec": {"name": "compact", "digits": 2, "headroom": 0.1}},
            {"kind": "annotation"},
        ]
    },
}


@pytest.fixture(scope="module")
def carded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained base that says it was pretrained, with a numeric head."""
    from loracast.backbone import attach_numeric_head, save_numeric_head

    folder = tmp_path_factory.mktemp("carded") / "base"
    build_embedded(folder, embedded_config(64, 1, 96), seed=0)
    save_numeric_head(attach_numeric_head(load_backbone(str(folder)).model, seed=0), folder)
    (folder / CARD_FILE).write_text(json.dumps(CARD))
    return str(folder)


def panel_of(n_channels: int, steps: int = 40) -> Panel:
    t = np.arange(steps)[:, None] / (3 + np.arange(n_channels))
    names = tuple(f"c{c}" for c in range(n_channels))
    values = tuple(np.sin(t + i) + np.arange(n_channels) for i in range(2))
    return Panel(("a", "b"), values, (np.arange(steps),) * 2, names)


def test_the_embedded_base_says_what_it_was_trained_on() -> None:
    card = load_backbone("embedded").card
    assert card is not None
    assert [c["name"] for c in card.codecs] == ["continuous", "compact"]
    assert card.channels == CORPUS_CHANNELS == 4
    assert load_backbone("embedded", random_start=1).card is None


def test_the_stream_has_no_series_of_more_channels() -> None:
    counts = {v.shape[1] for i in range(3) for v in corpus_chunk(5, i, 60, steps=64)}
    assert max(counts) == CORPUS_CHANNELS


@pytest.mark.parametrize("text", [None, "not json", "[]", '{"recipe": 3}', '{"recipe": {}}'])
def test_a_card_of_another_make_says_nothing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / CARD_FILE).write_text(text)
    assert read_card(tmp_path) is None


@pytest.mark.parametrize("codec", ["continuous", "compact"])
@pytest.mark.parametrize("n_channels", [5, 8])
def test_more_channels_than_the_base_has_seen_go_one_by_one(
    carded: str, codec: str, n_channels: int
) -> None:
    """Oracle: a forecast of each channel alone, under the same name."""
    forecaster = Forecaster.from_pretrained(carded, codec, seed=4, n_samples=3)
    panel = panel_of(n_channels)
    seen: list[int] = []
    samples = forecaster.sample(5, panel, progress=seen.append)
    assert samples.shape == (2, 3, 5, n_channels)
    assert sum(seen) == 2 * 3 * 5
    engine = Engine.open(carded, {"name": codec})
    for c in range(n_channels):
        alone = engine.sample(
            [v[:, c : c + 1] for v in panel.values], [f"a/{c}", f"b/{c}"], 5, samples=3, seed=4
        )
        # Rows of another batch: float32 sums in another order, before a mixture is drawn from.
        np.testing.assert_allclose(samples[..., c], alone[..., 0], rtol=1e-3, atol=1e-3)
    report = forecaster.forecast_report
    assert report is not None
    assert report.notes[0].startswith(f"the {n_channels} channels were forecast one by one")
    assert report.flops == pytest.approx(engine.forecast_flops(panel.values, 5, 3), rel=1e-9)
    assert len(engine.channel_groups(4)) == 1


def test_no_channel_of_eight_is_a_constant() -> None:
    """Seen on the shipped base: channels 5 to 8 stood still, whatever they had done before."""
    forecaster = Forecaster.from_pretrained("embedded", seed=0)
    rng = np.random.default_rng(0)
    t = np.arange(120)[:, None]
    period = np.array([9, 11, 13, 15, 10, 12, 14, 16])
    values = np.sin(2 * np.pi * t / period + rng.uniform(0, 6, 8)) * 2
    panel = Panel(("a",), (values[:100],), (np.arange(100),), tuple("abcdefgh"))
    point = np.median(forecaster.sample(20, panel, n_samples=6), axis=1)[0]
    error = np.abs(point - values[100:]).mean(axis=0)
    still = np.abs(values[99] - values[100:]).mean(axis=0)
    assert (error < 0.5 * still).all(), error / still


def test_an_adapter_fitted_on_many_channels_keeps_them_together(
    carded: str, tmp_path: Path
) -> None:
    forecaster = Forecaster.from_pretrained(carded, "continuous")
    forecaster.fit(panel_of(6), 1e12, max_steps=1, training={"batch_size": 1}, out=tmp_path / "o")
    loaded = Forecaster.load(tmp_path / "o")
    for one in (forecaster, loaded):
        assert len(one.engine.channel_groups(6)) == 1
        assert len(one.engine.channel_groups(7)) == 7
        one.predict(2, frame=panel_of(6))
        assert one.forecast_report is not None
        assert not [n for n in one.forecast_report.notes if "one by one" in n]


@pytest.mark.parametrize(
    "codec",
    ["mao", "fung", "miller", "llmtime", {"name": "compact", "digits": 3}],
    ids=lambda c: c if isinstance(c, str) else "compact-3",
)
def test_a_codec_the_base_was_never_shown_is_refused(carded: str, codec: object) -> None:
    forecaster = Forecaster.from_pretrained(carded, codec, n_samples=9)  # type: ignore[arg-type]
    panel = panel_of(1)
    panel.values[0][:] += 430
    panel.values[1][:] += 430
    with pytest.raises(ConfigError, match=r"was never shown codec .* are noise: leave") as caught:
        forecaster.predict(2, frame=panel)
    assert "--force" in str(caught.value)
    assert "\n" not in str(caught.value)
    forecaster.predict(2, frame=panel, force=True)
    assert forecaster.forecast_report is not None
    assert any("are noise" in note for note in forecaster.forecast_report.notes)


@pytest.mark.parametrize(
    "codec",
    [
        "continuous",
        "compact",
        {"name": "continuous", "transform": "log"},
        {"name": "compact", "transform": "asinh"},
    ],
    ids=["continuous", "compact", "log", "asinh"],
)
def test_what_the_base_knows_and_foreign_models_are_not_refused(
    carded: str, base: str, codec: object
) -> None:
    panel = Panel(("a",), (2 + np.sin(np.arange(30.0))[:, None],), (np.arange(30),))
    for model in (carded, base):
        forecaster = Forecaster.from_pretrained(model, codec, n_samples=9)  # type: ignore[arg-type]
        forecaster.predict(1, frame=panel)
        assert forecaster.engine.misfit == ""


def test_a_fit_teaches_any_codec(carded: str) -> None:
    forecaster = Forecaster.from_pretrained(carded, "fung")
    panel = Panel(("a",), (2 + np.sin(np.arange(60.0))[:, None],), (np.arange(60),))
    forecaster.fit(panel, 1e12, max_steps=1, training={"batch_size": 1})
    forecaster.predict(1)
    assert forecaster.engine.misfit == ""


def test_a_backtest_notes_what_its_base_does_not_know(carded: str) -> None:
    panel = Panel(("a",), (2 + np.sin(np.arange(30.0))[:, None],), (np.arange(30),))
    rows = compare_methods(
        panel, context=20, horizon=3, model=carded, codec={"name": "fung"}, samples=2,
        methods=["zero_shot", "naive"],
    )  # fmt: skip
    assert "never shown codec 'fung'" in rows["zero_shot"]["note"]
    assert rows["naive"]["note"] == ""
