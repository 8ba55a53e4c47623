"""Windows become sequences and sequences numbers again, with nothing lost on the way."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from loracast.codec import Codec, make_codec
from loracast.errors import CodecError, DataError
from loracast.forecasting import Engine, forecast_task
from loracast.forecasting._bounds import path_limits
from loracast.forecasting._task import Draw
from loracast.forecasting._windows import ForecastWindows
from loracast.series import Panel
from loracast.training import IGNORED

CODEC = make_codec("compact", digits=3)
IDS = [100 + i for i in range(len(CODEC.alphabet))]
TASK = forecast_task(CODEC, IDS, bos=7)


def _panel(lengths: list[int]) -> Panel:
    rng = np.random.default_rng(0)
    return Panel(
        ids=tuple(range(len(lengths))),
        values=tuple(rng.normal(size=(n, 2)).cumsum(axis=0) for n in lengths),
        times=tuple(np.arange(n) for n in lengths),
        channels=("a", "b"),
    )


def test_a_prompt_is_the_codec_text_in_model_tokens() -> None:
    context = _panel([20]).values[0]
    prompt = TASK.prompt(context)
    text = CODEC.text(CODEC.encode(context, CODEC.fit(context)))
    assert prompt.ids[0] == 7
    assert "".join(CODEC.alphabet[i - 100] for i in prompt.ids[1:]) == text


def test_parse_undoes_the_encoding_of_a_future() -> None:
    values = _panel([30]).values[0]
    prompt = TASK.prompt(values[:20])
    example = TASK.example(values, context_steps=20)
    future = TASK.parse(example.ids[len(prompt.ids) :], prompt)
    assert np.array_equal(example.ids[: len(prompt.ids)], prompt.ids)
    span = np.ptp(values[:20], axis=0)
    assert future.shape == (10, 2)
    inside = np.abs(future - values[20:]) <= span / 600 + 1e-12  # half a code of 600 in the range
    seen = (values[20:] >= values[:20].min(0)) & (values[20:] <= values[:20].max(0))
    assert inside[seen].all()


def test_missing_values_are_shown_but_never_a_target() -> None:
    values = _panel([12]).values[0].copy()
    values[5, 1] = np.nan
    example = TASK.example(values, context_steps=10)
    missing = 100 + CODEC.alphabet.index("?")
    assert (example.ids == missing).sum() == 3
    assert (example.labels[example.ids == missing] == IGNORED).all()
    assert (example.labels != IGNORED).sum() == len(example) - 3 - 1  # and not the first token


def test_unknown_tokens_and_bad_splits_are_refused() -> None:
    prompt = TASK.prompt(_panel([5]).values[0])
    with pytest.raises(CodecError, match="stands for no symbol"):
        TASK.parse(np.array([99]), prompt)
    with pytest.raises(DataError, match="expected 1 to 5"):
        TASK.example(_panel([5]).values[0], context_steps=6)


def test_every_window_comes_once_an_epoch_and_batches_depend_on_the_step_alone() -> None:
    panel = _panel([40, 25, 9])
    source = ForecastWindows(TASK, panel, window_steps=16, stride=8, batch_size=4, seed=1)
    n = len(source)
    assert n == 4 + 3 + 1  # 0, 8, 16, 24 | 0, 8, 9 | the short one whole

    def signature(window: int, epoch: int) -> bytes:
        return source.example(window, epoch).ids.tobytes()

    first = Counter(e.ids.tobytes() for step in range(n // 4) for e in source.batch(step))
    assert first == Counter(signature(i, 0) for i in range(n))
    again = ForecastWindows(TASK, panel, window_steps=16, stride=8, batch_size=4, seed=1)
    for step in (7, 0, 3):
        for a, b in zip(source.batch(step), again.batch(step), strict=True):
            assert np.array_equal(a.ids, b.ids)
    other = ForecastWindows(TASK, panel, window_steps=16, stride=8, batch_size=4, seed=2)
    assert any(
        not np.array_equal(a.ids, b.ids)
        for a, b in zip(source.batch(0), other.batch(0), strict=True)
    )


def test_a_panel_without_usable_windows_is_refused() -> None:
    panel = Panel(
        ids=("x",),
        values=(np.full((10, 1), np.nan),),
        times=(np.arange(10),),
    )
    with pytest.raises(DataError, match="without a usable window"):
        ForecastWindows(TASK, panel, window_steps=5, stride=5, batch_size=2, seed=0)


@pytest.mark.parametrize("name", ["compact", "llmtime", "continuous"])
def test_both_ways_of_showing_numbers_keep_one_contract(base: str, name: str) -> None:
    """Prepare, plan, sample, read: the plan bounds the work, and what is read keeps its limits."""
    engine = Engine.open(base, {"name": name})
    task, model = engine.task, engine.backbone.model
    contexts = [_panel([n]).values[0] for n in (44, 9, 30)]
    contexts[1][:, 1] = 2.5  # a channel that never moved
    keys = ["a", "b", "c"]
    draw = Draw(3, 4, seed=1)
    request = task.prepare(contexts, keys, draw, task.widens)
    least, most = task.plan(request, shortest=True), task.plan(request)
    told: list[int] = []
    drawn = task.sample(model, request, told.append)
    assert len(least) == len(most) == len(drawn) == (2 if task.widens else 1)
    for low, work, high in zip(least, drawn, most, strict=True):
        assert low.positions <= work.positions <= high.positions
        assert low.cached <= work.cached <= high.cached
        assert low.prefill_positions == work.prefill_positions == high.prefill_positions
        assert (low.positions < high.positions) == (name == "llmtime")
    assert sum(told) == 3 * 4 * 3
    values, met = task.read(request, drawn, ())
    for context, paths, held in zip(contexts, values, met, strict=True):
        assert paths.shape == (4, 3, 2)
        assert held.shape == (4,)
        low, high = path_limits(context, 3)
        assert (paths >= low - 1e-4).all()
        assert (paths <= high + 1e-4).all()
    assert (values[1][..., 1] == 2.5).all()
    # the same path whatever stands beside it; to rounding, since batches have other shapes
    alone = task.prepare(contexts[2:], keys[2:], draw)
    one, _ = task.read(alone, task.sample(model, alone), ())
    np.testing.assert_allclose(one[0], values[2], rtol=1e-4)


@pytest.mark.parametrize("codec", [CODEC, make_codec("continuous")])
def test_a_loss_may_ask_for_the_last_steps_alone(codec: Codec) -> None:
    task = forecast_task(codec, IDS[: len(codec.alphabet)], bos=7)
    window = _panel([12]).values[0].copy()
    window[10:] = np.nan
    for first in (-3, 0, 1, 5, 9):
        example = task.asking_from(window, 6, first)
        assert example is not None
        if example.numbers is not None:
            assert example.numbers.asked_from == max(1, first)
            assert (example.labels == IGNORED).all()
        else:
            step, place = np.divmod(np.arange(len(example) - 1), 7)  # `123456;`
            # a missing step still has its end
            asked = (step >= first) & ((step < 10) | (place == 6))
            np.testing.assert_array_equal(example.labels[1:] != IGNORED, asked)
    if task.widens:
        assert task.asking_from(window, 6, 10) is None
