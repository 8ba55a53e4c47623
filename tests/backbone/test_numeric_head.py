"""The numeric head: densities against scipy, draws against their distribution, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from loracast.backbone import (
    History,
    Numbers,
    attach_numeric_head,
    build_embedded,
    embed_mixed,
    embedded_config,
    left_padded,
    load_backbone,
    load_numeric_head,
    number_batch,
    numeric_head_of,
    save_numeric_head,
)
from loracast.backbone._numeric_head import Mixture
from loracast.codec import VALUE_CHANNELS, VALUE_STATICS
from loracast.errors import ModelError


def _mixture() -> Mixture:
    location = torch.tensor([[[-1.0, 0.5, 2.0]]])
    scale = torch.tensor([[[0.1, 0.5, 1.5]]])
    return Mixture(location, scale, torch.log(torch.tensor([[[0.2, 0.5, 0.3]]])))


def _density(x: np.ndarray) -> np.ndarray:
    parts = zip((0.2, 0.5, 0.3), (-1.0, 0.5, 2.0), (0.1, 0.5, 1.5), strict=True)
    return np.sum([w * stats.laplace.pdf(x, m, s) for w, m, s in parts], axis=0)


def test_the_likelihood_is_that_of_scipy_in_the_given_unit() -> None:
    for x in (-3.0, -1.0, 0.2, 5.0):
        nll = _mixture().nll(torch.tensor([[x]]), torch.tensor([[0.25]]))
        # the density of x / 0.25 is 0.25 times that of x
        np.testing.assert_allclose(nll.item(), -np.log(_density(np.array(x)) * 0.25), rtol=1e-5)


def test_draws_follow_the_mixture() -> None:
    rng = np.random.default_rng(3)
    uniforms = torch.from_numpy(rng.random((20_000, 1, 2))).float()
    n = len(uniforms)
    mixture = Mixture(*(t.expand(n, -1, -1) for t in vars(_mixture()).values()))
    drawn = mixture.draw(uniforms).numpy().ravel()
    grid = np.linspace(-60, 60, 400_001)
    cdf = np.cumsum(_density(grid)) * (grid[1] - grid[0])
    assert stats.kstest(drawn, lambda x: np.interp(x, grid, cdf)).pvalue > 0.01


def test_mirrored_uniforms_mirror_the_draw_about_its_component() -> None:
    uniforms = torch.tensor([[[0.5, 0.9]], [[0.5, 0.1]]])
    mixture = Mixture(*(t.expand(2, -1, -1) for t in vars(_mixture()).values()))
    first, second = mixture.draw(uniforms).ravel().tolist()
    assert first > 0.5 > second
    np.testing.assert_allclose(first - 0.5, 0.5 - second, rtol=1e-5)


def test_the_extremes_of_the_uniform_are_finite() -> None:
    uniforms = torch.tensor([[[0.0, 0.0]], [[0.999999, 1.0]]])
    mixture = Mixture(*(t.expand(2, -1, -1) for t in vars(_mixture()).values()))
    assert torch.isfinite(mixture.draw(uniforms)).all()


def test_history_holds_the_last_three_values() -> None:
    z = torch.arange(10.0).reshape(1, 5, 2)
    history = History.of(z)
    assert history.values[0, 3, 1].tolist() == [7.0, 5.0, 3.0]
    assert history.values[0, 0, 0].tolist() == [0.0, 0.0, 0.0]
    grown = History.of(z[:, :4]).then(z[:, 4:])
    assert torch.equal(grown.values, history.values[:, 4:])


def test_gaps_are_filled_by_the_last_value_seen_and_marked() -> None:
    values = np.array([[np.nan, 1], [2, np.nan], [np.nan, np.nan], [5, 7]], dtype=np.float32)
    statics = np.ones((2, VALUE_STATICS), np.float32)
    batch = number_batch([None, Numbers(2, values, statics)], [0, 0], 7, torch.device("cpu"))
    assert batch is not None
    shown = batch.values[1, :, :2].numpy()
    expected = [[2, 1], [2, 1], [2, 1], [2, 1], [2, 1], [5, 7], [5, 7]]
    np.testing.assert_array_equal(shown, expected)
    assert batch.observed[1, 2:6, :2].tolist() == [
        [False, True],
        [True, False],
        [False, False],
        [True, True],
    ]
    assert batch.is_value[1].tolist() == [False, False, True, True, True, True, False]
    assert not batch.is_value[0].any()
    # the first value has nothing before it, a missing one is never asked for
    assert batch.targets[1].sum() == 3
    assert not batch.targets[1, :3].any()
    assert number_batch([None], [0], 3, torch.device("cpu")) is None


def test_a_mixed_batch_embeds_each_position_as_its_row_alone_does(folder: Path) -> None:
    """Oracle: token rows from the table, numbers one step at a time from their last three."""
    model = load_backbone(str(folder)).model
    interface = attach_numeric_head(model, seed=1)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4, 2)).astype(np.float32)
    told = rng.normal(0, 0.3, (2, VALUE_STATICS)).astype(np.float32)
    rows = [rng.integers(3, 90, n) for n in (7, 3, 5)]
    shown = [Numbers(2, z, told), None, Numbers(0, z[:, :1], told[:1])]
    ids, mask = left_padded(rows, 8)
    assert mask.tolist() == [[0] + 7 * [1], 5 * [0] + 3 * [1], 3 * [0] + 5 * [1]]
    numbers = number_batch(shown, [1, 5, 3], 8, torch.device("cpu"))
    with torch.no_grad():
        found = embed_mixed(model, torch.from_numpy(ids), numbers)
        table = model.get_input_embeddings().weight
        for row, own, embedded in zip(rows, shown, found, strict=True):
            for at, token in enumerate(row):
                step = -1 if own is None else at - own.start
                expected = table[token]
                if own is not None and 0 <= step < len(own.values):
                    channels = own.values.shape[1]
                    past = torch.zeros(1, 1, VALUE_CHANNELS, 3)
                    for back in range(3):
                        past[0, 0, :channels, back] = torch.from_numpy(
                            own.values[max(0, step - back)]
                        )
                    there = torch.arange(VALUE_CHANNELS)[None] < channels
                    statics = torch.zeros(1, VALUE_CHANNELS, VALUE_STATICS)
                    statics[0, :channels] = torch.from_numpy(own.statics)
                    expected = interface.embed(History(past), there[:, None], there, statics)[0, 0]
                torch.testing.assert_close(embedded[8 - len(row) + at], expected)


def test_numbers_are_refused_without_an_interface(folder: Path) -> None:
    numbers = number_batch(
        [Numbers(0, np.zeros((2, 1), np.float32), np.zeros((1, VALUE_STATICS), np.float32))],
        [0],
        2,
        torch.device("cpu"),
    )
    model = load_backbone(str(folder)).model
    with pytest.raises(ModelError, match="without a numeric head"):
        embed_mixed(model, torch.zeros(1, 2, dtype=torch.int64), numbers)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_embedded(tmp_path / "base", embedded_config(64, 1, 96), seed=0)
    return tmp_path / "base"


def test_an_interface_is_saved_beside_a_model_and_found_again(folder: Path) -> None:
    model = load_backbone(str(folder)).model
    assert numeric_head_of(model) is None
    made = attach_numeric_head(model, seed=5)
    with torch.no_grad():
        made.head_out.weight.normal_()
    save_numeric_head(made, folder)
    found = numeric_head_of(load_backbone(str(folder)).model)
    assert found is not None
    for name, weight in made.state_dict().items():
        assert torch.equal(weight, found.state_dict()[name])


def test_a_broken_interface_is_one_line(folder: Path) -> None:
    (folder / "values.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="numeric head"):
        load_backbone(str(folder))
    model = load_backbone(str(folder), random_start=1).model
    assert load_numeric_head(model, folder.parent) is None


def test_absent_channels_change_nothing(folder: Path) -> None:
    interface = attach_numeric_head(load_backbone(str(folder)).model, seed=1)
    z = torch.randn(1, 6, VALUE_CHANNELS)
    present = torch.tensor([[True, True] + [False] * (VALUE_CHANNELS - 2)])
    observed = present[:, None].expand(1, 6, -1)
    statics = torch.randn(1, VALUE_CHANNELS, VALUE_STATICS)
    first = interface.embed(History.of(z), observed, present, statics)
    z[..., 2:] += 100.0
    statics[:, 2:] -= 1.0
    second = interface.embed(History.of(z), observed, present, statics)
    # The same features from another tensor: a product may round by where its operands lie.
    torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-6)
    z[..., 1] += 0.1
    moved = interface.embed(History.of(z), observed, present, statics)
    assert (moved - first).abs().max() > 1e-4
