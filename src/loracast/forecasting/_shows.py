"""Digits or numbers: the one place where one of the two ways of showing numbers is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loracast.backbone import Backbone, has_values, resolve_model, symbol_ids
from loracast.codec import Codec, ContinuousCodec, TextCodec, make_codec
from loracast.forecasting._continuous import NumberTask
from loracast.forecasting._digits import DigitTask
from loracast.forecasting._task import ForecastTask

__all__ = ["default_codec", "forecast_task", "shows_numbers", "task_of"]


def default_codec(model: str) -> Codec:
    """Numbers where a model brings a value interface, digits (`compact`) where it does not."""
    return make_codec("continuous" if has_values(resolve_model(model)) else "compact")


def shows_numbers(codec: Codec) -> bool:
    """Whether a model needs a value interface for this codec."""
    return isinstance(codec, ContinuousCodec)


def forecast_task(
    codec: Codec,
    token_ids: Sequence[int],
    bos: int | None = None,
    positions: int | None = None,
    vocab_size: int | None = None,
) -> ForecastTask[Any]:
    """The task of a codec.

    Args:
        codec: how numbers are shown.
        token_ids: (A,) the model's token id of each symbol of the codec's alphabet.
        bos: the model's token that starts a document, or None.
        positions: the longest sequence the model has positions for; None where it has no limit.
        vocab_size: rows of the model, for sampling.

    Raises:
        CodecError: not one token id for each symbol.
    """
    if isinstance(codec, ContinuousCodec):
        return NumberTask(codec, token_ids, bos, positions)
    assert isinstance(codec, TextCodec)
    return DigitTask(codec, token_ids, bos, positions, vocab_size)


def task_of(backbone: Backbone, codec: Codec) -> ForecastTask[Any]:
    """The task of a codec with the tokens of a model, pruned to them or not."""
    vocabulary, bos = backbone.vocabulary, backbone.bos_full_id
    ids = vocabulary.to_model(symbol_ids(backbone.tokenizer, codec.alphabet))
    return forecast_task(
        codec,
        [int(i) for i in ids],
        None if bos is None else int(vocabulary.to_model([bos])[0]),
        backbone.positions,
        len(vocabulary.kept),
    )
