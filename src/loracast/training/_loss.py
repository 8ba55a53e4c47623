"""Losses of a batch: cross-entropy over tokens, negative log-likelihood over numbers.

Knows tensors, not tasks. A sequence may hold tokens alone, numbers alone, or both; every labelled
token and every number that is to be predicted counts the same.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from loracast.backbone import History, NumberBatch, embed_mixed, numeric_head_of, text_body
from loracast.training._attention import short_attention
from loracast.training._batches import Batch, SoftTargets
from loracast.training._example import IGNORED

__all__ = ["batch_loss", "scored_positions"]

_SCORED = 64


def scored_positions(labelled: int) -> int:
    """How many positions meet the LM head when so many have a label, beside numbers."""
    return -(-labelled // _SCORED) * _SCORED


def batch_loss(model: Any, batch: Batch, value_noise: float = 0.0) -> tuple[torch.Tensor, int]:
    """Summed loss of a batch in nats, and over how many tokens and numbers.

    Args:
        model: a causal LM; with a numeric head where the batch shows numbers.
        batch: padded sequences.
        value_noise: standard deviation of the Gaussian noise on shown numbers, in units of the
            context's own standard deviation; the targets stay clean. A model that has only seen
            exact pasts drifts when it reads its own forecasts.

    Raises:
        ModelError: numbers for a model without a numeric head.
    """
    with short_attention(model, batch.input_ids.shape[1]):
        if batch.numbers is None:
            return _token_loss(model, batch)
        return _mixed_loss(model, batch, batch.numbers, value_noise)


def _token_loss(model: Any, batch: Batch) -> tuple[torch.Tensor, int]:
    logits = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        use_cache=False,
    ).logits
    labels = batch.labels[:, 1:]
    loss = F.cross_entropy(
        logits[:, :-1].float().flatten(0, 1),
        labels.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )
    if batch.soft is not None:
        rows, columns = batch.soft.rows, batch.soft.columns
        loss = loss + _softened(logits[rows, columns - 1], batch.labels[rows, columns], batch.soft)
    return loss, int((labels != IGNORED).sum())


def _softened(logits: torch.Tensor, labels: torch.Tensor, soft: SoftTargets) -> torch.Tensor:
    """What soft targets add to the cross-entropy with labels (P,), at logits (P, V).

    The logarithm of the sum cancels: log p(label) less the mean of log p under the shares.
    """
    logits = logits.float()
    hard = logits.gather(1, labels[:, None]).sum()
    return hard - (logits.gather(1, soft.ids) * soft.shares).sum()


def _mixed_loss(
    model: Any, batch: Batch, numbers: NumberBatch, noise: float
) -> tuple[torch.Tensor, int]:
    z = numbers.values
    if noise > 0:
        z = z + noise * torch.randn_like(z)
    history = History.of(z)
    inputs = embed_mixed(model, batch.input_ids, numbers, history)
    interface = numeric_head_of(model)
    assert interface is not None
    hidden = text_body(model)(
        inputs_embeds=inputs,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        use_cache=False,
    ).last_hidden_state[:, :-1]
    total = hidden.new_zeros((), dtype=torch.float32)
    count = 0
    if numbers.any_target:
        mixture = interface.distribution(hidden, History(history.values[:, :-1]), numbers.statics)
        nll = mixture.nll(numbers.values[:, 1:], numbers.step)
        total = total + nll[numbers.targets[:, 1:]].sum()
        count += int(numbers.targets[:, 1:].sum())
    asked = batch.labels[:, 1:] != IGNORED
    n_asked = int(asked.sum())
    if n_asked:
        rows, columns = asked.nonzero(as_tuple=True)
        # Rounded for the same reason as `padded_length`; what is added has no label.
        extra = scored_positions(n_asked) - n_asked
        chosen = hidden[F.pad(rows, (0, extra)), F.pad(columns, (0, extra))]
        labels = F.pad(batch.labels[:, 1:][asked], (0, extra), value=IGNORED)
        logits = model.get_output_embeddings()(chosen)
        total = total + F.cross_entropy(
            logits.float(), labels, ignore_index=IGNORED, reduction="sum"
        )
        if batch.soft is not None:
            place = asked.flatten().cumsum(0).view_as(asked) - 1  # in `chosen`, by position
            at = place[batch.soft.rows, batch.soft.columns - 1]
            total = total + _softened(logits[at], labels[at], batch.soft)
        count += n_asked
    return total, count
