"""The trained baseline: it learns, repeats itself, survives saving, and refuses what it must."""

from __future__ import annotations

import numpy as np
import pytest

from loracast.errors import ConfigError, DataError, StorageError
from loracast.evaluation import GlobalMLP, run_baseline


def _cycles(n_series, n_steps=60, n_channels=2, seed=0):
    """Positive cycles of different periods, phases and sizes."""
    rng = np.random.default_rng(seed)
    period = rng.uniform(8, 16, (n_series, 1, 1))
    phase = rng.uniform(0, 6, (n_series, 1, n_channels))
    size = rng.uniform(-1, 1, (n_series, 1, n_channels))
    time = np.arange(n_steps)[None, :, None]
    return np.exp(size + 0.6 * np.sin(2 * np.pi * time / period + phase))


@pytest.fixture(scope="module")
def trained():
    return GlobalMLP.fit(_cycles(40), steps=60, seed=3)


def test_learns_from_other_series(trained):
    values = _cycles(20, seed=1)
    contexts, truth = list(values[:, :50]), values[:, 50:55]
    found = trained.forecast(contexts, 5)
    naive = run_baseline("naive", contexts, 5, seed=0)
    assert found.point.shape == truth.shape
    assert np.abs(found.point - truth).mean() < 0.5 * np.abs(naive.point - truth).mean()
    assert found.samples is None
    assert found.seconds >= 0
    assert trained.train_seconds > 0
    assert "trained 60 steps" in found.note


def test_same_seed_same_network_and_no_global_randomness(trained):
    import torch

    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    again = GlobalMLP.fit(_cycles(40), steps=60, seed=3)
    assert torch.equal(before, torch.random.get_rng_state())
    contexts = list(_cycles(3, seed=2))
    # The same steps on weights that lie elsewhere in memory: sums may be taken in another order,
    # and 60 steps carry that on.
    ours, theirs = again.forecast(contexts, 4).point, trained.forecast(contexts, 4).point
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    other = GlobalMLP.fit(_cycles(40), steps=2, seed=4)
    assert not np.allclose(other.forecast(contexts, 4).point, trained.forecast(contexts, 4).point)


def test_units_do_not_matter(trained):
    contexts = list(_cycles(3, seed=2))
    units = np.array([1e-200, 1e250])
    scaled = trained.forecast([c * units for c in contexts], 6).point
    assert np.allclose(scaled / units, trained.forecast(contexts, 6).point, rtol=1e-4)


def test_saved_and_loaded_is_the_same(trained, tmp_path):
    path = trained.save(tmp_path / "mlp.safetensors")
    again = GlobalMLP.load(path)
    contexts = list(_cycles(3, seed=2))
    ours, theirs = again.forecast(contexts, 4).point, trained.forecast(contexts, 4).point
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)  # float32, from another place in memory
    for key, weight in trained.net.state_dict().items():
        assert np.array_equal(weight.numpy(), again.net.state_dict()[key].numpy())  # copied
    assert (again.steps, again.seed, again.train_seconds) == (60, 3, trained.train_seconds)
    assert [p.name for p in tmp_path.iterdir()] == ["mlp.safetensors"]


def test_broken_files_are_refused(trained, tmp_path):
    with pytest.raises(StorageError, match="no such file"):
        GlobalMLP.load(tmp_path / "none.safetensors")
    path = trained.save(tmp_path / "mlp.safetensors")
    blob = path.read_bytes()
    path.write_bytes(blob[: len(blob) // 2])
    with pytest.raises(StorageError, match="no readable global_mlp"):
        GlobalMLP.load(path)
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2)}, path)
    with pytest.raises(StorageError, match="no global_mlp of this version"):
        GlobalMLP.load(path)
    with pytest.raises(StorageError, match="cannot be written"):
        trained.save(tmp_path / "no" / "folder.safetensors")


def test_progress_is_told():
    seen = []
    GlobalMLP.fit(_cycles(4, n_channels=1), steps=3, on_step=lambda *a: seen.append(a))
    assert [(done, total) for done, total, _ in seen] == [(1, 3), (2, 3), (3, 3)]
    assert all(loss > 0 for _, _, loss in seen)


def test_holes_are_interpolated_and_noted(trained):
    context = _cycles(1, seed=2)[0]
    holed = context.copy()
    holed[55, 0] = np.nan
    found = trained.forecast([holed], 4)
    assert "1 missing values interpolated" in found.note
    context[55, 0] = (context[54, 0] + context[56, 0]) / 2
    assert np.allclose(found.point, trained.forecast([context], 4).point)


def test_what_it_refuses(trained):
    with pytest.raises(ConfigError, match="got 0 training steps"):
        GlobalMLP.fit(_cycles(2), steps=0)
    with pytest.raises(DataError, match="needs at least 28"):
        GlobalMLP.fit(_cycles(2, n_steps=27), steps=1)
    with pytest.raises(DataError, match="expected positive"):
        GlobalMLP.fit(-_cycles(2), steps=1)
    with pytest.raises(DataError, match="needs at least 24"):
        trained.forecast(list(_cycles(1, n_steps=23)), 2)
    with pytest.raises(DataError, match="was trained on 2"):
        trained.forecast(list(_cycles(1, n_channels=3)), 2)
    with pytest.raises(DataError, match="takes logarithms"):
        trained.forecast(list(_cycles(1) * 0), 2)
    with pytest.raises(DataError, match="got horizon 0"):
        trained.forecast(list(_cycles(1)), 0)
