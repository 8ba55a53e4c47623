"""Padding must not change a number, and every token of a window must be seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from loracast.backbone import build_embedded, embedded_config, load_backbone
from loracast.training import IGNORED, Example
from loracast.training._batches import collate
from loracast.training._loop import validation_loss


def _example(length: int, seed: int) -> Example:
    ids = np.random.default_rng(seed).integers(0, 257, length)
    return Example(ids=ids, labels=ids.copy())


def test_a_padded_batch_gives_the_same_logits_as_each_row_alone(tmp_path: Path) -> None:
    build_embedded(tmp_path, embedded_config(64, 2, 96), seed=3)
    model = load_backbone(str(tmp_path)).model
    rows = [_example(n, n) for n in (7, 19, 12)]
    batch = collate(rows, torch.device("cpu"))
    assert batch.input_ids.shape == (3, 19)
    with torch.no_grad():
        together = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
        ).logits
        for i, row in enumerate(rows):
            alone = model(input_ids=torch.from_numpy(row.ids)[None]).logits[0]
            # measured: worst 6e-7; another matrix shape sums in another order
            torch.testing.assert_close(together[i, -len(row) :], alone, atol=5e-6, rtol=1e-5)


def test_padding_carries_no_loss_and_no_label_is_lost(tmp_path: Path) -> None:
    rows = [_example(n, n) for n in (5, 9)]
    batch = collate(rows, torch.device("cpu"))
    assert (batch.labels[0, :5] == IGNORED).all()  # padding, and the token that follows it
    assert int((batch.labels != IGNORED).sum()) == 4 + 8
    build_embedded(tmp_path, embedded_config(64, 2, 96), seed=3)
    model = load_backbone(str(tmp_path)).model
    # an independent sum: one row at a time, log-softmax by hand
    total, count = 0.0, 0
    for row in rows:
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(row.ids)[None]).logits[0].double()
        for t in range(1, len(row)):
            total -= float(logits[t - 1].log_softmax(-1)[row.ids[t]])
            count += 1
    found = validation_loss(model, rows, batch_size=2, bf16=False)
    assert abs(found - total / count) < 1e-5


def test_equal_lengths_take_the_unmasked_path() -> None:
    batch = collate([_example(6, 1), _example(6, 2)], torch.device("cpu"))
    assert batch.attention_mask is None
    assert batch.position_ids is None
