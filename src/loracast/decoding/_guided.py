"""Greedy answers that cannot be illegal: prefill once, then token by token under a grammar.

    prompts with or without numbers --prefill, left-padded--> KV cache
         Guide: legal tokens, forced tokens --argmax among the legal--> answers, probabilities

Knows token ids, numbers as the numeric head takes them, and regular expressions; not what an
answer means. Rows of a batch move on by different numbers of tokens, since forced ones need no
forward of their own: each forward is padded on the left, and the padding stays masked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from loracast.backbone import Mixed, embed_mixed, left_padded, number_batch
from loracast.decoding._guide import Alternatives, Guide, Reading
from loracast.decoding._model import CausalModel
from loracast.decoding._plan import Work, prefill_calls
from loracast.errors import DataError, ModelError

__all__ = ["Guided", "GuidedAnswer", "guided_answers", "plan_guided"]


@dataclass(frozen=True)
class GuidedAnswer:
    """One answer.

    Args:
        ids: (A,) rows of the model, without the token that ends a text.
        text: what they spell.
        token_probabilities: (A,) of each token among the legal ones; 1 for a forced one.
        ends: (A,) where each token ends in the text, in bytes.
        choices: name -> label -> probability, adding up to 1.
    """

    ids: np.ndarray
    text: str
    token_probabilities: np.ndarray
    ends: np.ndarray
    choices: dict[str, dict[str, float]]

    def probability(self, start: int, stop: int) -> float:
        """Of the tokens that have a part in the bytes [start, stop) of the text, together."""
        begins = np.concatenate([[0], self.ends[:-1]])
        return float(self.token_probabilities[(self.ends > start) & (begins < stop)].prod())


@dataclass(frozen=True)
class Guided(Work):
    """N answers, and the work they took."""

    answers: list[GuidedAnswer]


@dataclass
class _Row:
    """An answer while it is written."""

    place: int
    matcher: Any
    readings: list[Reading]
    text: bytes = b""
    ids: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    done: bool = False


def plan_guided(lengths: Sequence[int], max_tokens: int) -> Work:
    """The most `guided_answers` will feed.

    Args:
        lengths: N prompt lengths in positions.
        max_tokens: of an answer; the bytes of the longest legal text are enough.
    """
    # The rows of a batch may take turns in being the widest: twice the tokens covers it.
    fed = 2 * max_tokens
    calls, cached = [], 0
    order = sorted(lengths)
    for first, last, width in prefill_calls(order):
        calls.append((last - first, width + max_tokens))
        cached += (last - first) * fed * (width + 3 * max_tokens)
    n = len(order)
    return Work(tuple(calls), n * fed, cached, n * max_tokens)


def guided_answers(
    model: Any,
    prompts: Sequence[Mixed],
    regexes: Sequence[str],
    guide: Guide,
    *,
    choices: Sequence[Alternatives] = (),
    dtype: torch.dtype | None = None,
    progress: Callable[[int], None] | None = None,
) -> Guided:
    """The most likely legal token, again and again, until a text is complete.

    What the grammar forces is taken without asking the model, cut into the tokenizer's own tokens.

    Args:
        model: a causal LM in evaluation mode; with a numeric head where prompts hold numbers.
        prompts: N encoded prompts.
        regexes: N regular expressions of the legal answers; finite ones end by themselves.
        guide: of the model's tokens.
        choices: where labels stand whose probabilities are wanted.
        dtype: autocast to this type while computing; None computes as the weights are.
        progress: called with the number of answers just completed.

    Raises:
        DataError: no prompts, or not as many expressions.
        ModelError: numbers without a numeric head, a prompt that does not fit into the model,
            logits that are not finite, or training mode.
    """
    if not prompts or len(prompts) != len(regexes):
        raise DataError(
            f"got {len(prompts)} prompts and {len(regexes)} expressions; expected one each, at "
            "least one"
        )
    lm = CausalModel(model, dtype)
    rows = []
    for place, regex in enumerate(regexes):
        row = _Row(place, guide.matcher(regex), [Reading(c) for c in choices])
        _take_forced(row, guide)
        rows.append(row)
    lengths = [len(p.ids) + len(r.waiting) for p, r in zip(prompts, rows, strict=True)]
    limit = lm.max_positions
    if limit is not None and max(lengths) >= limit:
        raise ModelError(
            f"got a prompt of {max(lengths)} positions; the model has {limit}: shorten the series"
        )
    work = _Counter()
    order = sorted(range(len(prompts)), key=lambda i: (lengths[i], i))
    with lm.computing():
        for first, last, _ in prefill_calls([lengths[i] for i in order]):
            members = [rows[i] for i in order[first:last]]
            _batch(lm, [prompts[r.place] for r in members], members, guide, work)
            if progress is not None:
                progress(len(members))
    answers = [
        GuidedAnswer(
            np.array(r.ids, dtype=np.int64),
            r.text.decode("utf-8", errors="replace"),
            np.array(r.probabilities),
            np.cumsum([len(guide.spelling(i)) for i in r.ids], dtype=np.int64),
            {reading.choice.name: reading.probabilities for reading in r.readings},
        )
        for r in rows
    ]
    return Guided(tuple(work.prefill), work.positions, work.cached, work.heads, answers)


@dataclass
class _Counter:
    prefill: list[tuple[int, int]] = field(default_factory=list)
    positions: int = 0
    cached: int = 0
    heads: int = 0


def _batch(
    lm: CausalModel,
    prompts: Sequence[Mixed],
    rows: list[_Row],
    guide: Guide,
    work: _Counter,
) -> None:
    """Write the answers of prompts that are prefilled together."""
    logits, cache, mask = _prefill(lm, prompts, rows, work)
    live = list(rows)
    while True:
        for row, scores in zip(live, logits, strict=True):
            if not row.done:
                _choose(row, scores, guide)
        keep = [i for i, row in enumerate(live) if not row.done]
        if not keep:
            return
        if len(keep) <= len(live) // 2:
            chosen = torch.tensor(keep, device=lm.device)
            cache.batch_select_indices(chosen)
            mask, live = mask[keep], [live[i] for i in keep]
        logits, cache, mask = _feed(lm, live, cache, mask, work)


def _prefill(
    lm: CausalModel, prompts: Sequence[Mixed], rows: Sequence[_Row], work: _Counter
) -> tuple[np.ndarray, Any, np.ndarray]:
    """Logits (B, V) after each prompt and what is forced first, the cache, the mask (B, L)."""
    from transformers import DynamicCache

    whole = [np.concatenate([p.ids, r.waiting]) for p, r in zip(prompts, rows, strict=True)]
    ids, mask = left_padded(whole)
    length = ids.shape[1]
    pads = [length - len(row) for row in whole]
    for r in rows:
        r.waiting = []
    numbers = number_batch([p.numbers for p in prompts], pads, length, lm.device)
    inputs = embed_mixed(lm.model, torch.from_numpy(ids).to(lm.device), numbers)
    logits, cache = _forward(lm, inputs, mask, mask, DynamicCache())
    work.prefill.append((len(whole), length))
    return logits, cache, mask


def _feed(
    lm: CausalModel, rows: Sequence[_Row], cache: Any, mask: np.ndarray, work: _Counter
) -> tuple[np.ndarray, Any, np.ndarray]:
    """Feed what each row has waiting, padded on the left."""
    ids, new = left_padded([np.array(r.waiting) for r in rows])
    for row in rows:
        row.waiting = []
    mask = np.concatenate([mask, new], axis=1)
    inputs = embed_mixed(lm.model, torch.from_numpy(ids).to(lm.device), None)
    logits, cache = _forward(lm, inputs, mask, new, cache)
    work.positions += new.size
    work.cached += new.size * mask.shape[1]
    work.heads += len(rows)
    return logits, cache, mask


def _forward(
    lm: CausalModel, inputs: torch.Tensor, mask: np.ndarray, new: np.ndarray, cache: Any
) -> tuple[np.ndarray, Any]:
    width = new.shape[1]
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)[:, -width:]
    logits, cache, _ = lm.forward(
        torch.tensor([width - 1], device=lm.device),
        inputs_embeds=inputs,
        attention_mask=None if mask.all() else torch.from_numpy(mask).to(lm.device),
        position_ids=torch.from_numpy(positions).to(lm.device),
        past_key_values=cache,
        use_cache=True,
    )
    return logits[:, 0].float().cpu().double().numpy(), cache


def _choose(row: _Row, logits: np.ndarray, guide: Guide) -> None:
    """Take the most likely legal token, and what it forces."""
    legal = guide.legal(row.matcher)
    scores = logits[legal]
    if not np.isfinite(scores).all():
        raise ModelError("got logits that are not finite; the weights or the adapter are broken")
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    best = int(weights.argmax())
    token = int(legal[best])
    if guide.is_end(token):
        row.done = True
        return
    if any(not r.settled for r in row.readings):
        spelled: dict[bytes, float] = {}
        for option, weight in zip(legal.tolist(), weights.tolist(), strict=True):
            if not guide.is_end(option):
                spelling = guide.spelling(option)
                spelled[spelling] = spelled.get(spelling, 0.0) + weight
        for reading in row.readings:
            if not reading.settled:
                reading.read(row.text, spelled, guide.spelling(token))
    _append(row, token, float(weights[best]), guide)
    if not row.done:
        _take_forced(row, guide)


def _take_forced(row: _Row, guide: Guide) -> None:
    for token in guide.forced(row.matcher):
        if row.done:
            break
        for reading in row.readings:
            if not reading.settled:
                spelling = guide.spelling(token)
                reading.read(row.text, {spelling: 1.0}, spelling)
        _append(row, token, 1.0, guide)


def _append(row: _Row, token: int, probability: float, guide: Guide) -> None:
    guide.consume(row.matcher, token)
    row.ids.append(token)
    row.probabilities.append(probability)
    row.text += guide.spelling(token)
    row.waiting.append(token)
    row.done = bool(row.matcher.is_stopped())
