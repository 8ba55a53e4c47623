"""How a model is shown numbers: as digits or as numbers, and what speaks against it.

The one place where one of the two is chosen. Who asks for a context is shown exactly that, as far
as the model has positions. Where nobody asks, the task says how many steps: as many as the embedded
base was pretrained on, less a horizon, and windows for training as long as that; other models are
shown no more by default, for the cost (assumption).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from loracast.backbone import Backbone, has_numeric_head, resolve_model, symbol_ids
from loracast.codec import Codec, ContinuousCodec, make_codec
from loracast.errors import DataError
from loracast.forecasting._continuous import NumberTask
from loracast.forecasting._digits import DigitTask
from loracast.forecasting._task import ForecastTask, Request

__all__ = [
    "check_positions",
    "default_codec",
    "forecast_task",
    "misfit",
    "shows_numbers",
    "task_of",
    "told_together",
]

_BENDS = ("transform", "reach", "headroom")  # options that change values, not the kind of text


def default_codec(model: str) -> Codec:
    """Numbers where a model brings a numeric head, digits (`compact`) where it does not."""
    return make_codec("continuous" if has_numeric_head(resolve_model(model)) else "compact")


def shows_numbers(codec: Codec) -> bool:
    """Whether a model needs a numeric head for this codec."""
    return isinstance(codec, ContinuousCodec)


def forecast_task(
    codec: Codec,
    token_ids: Sequence[int],
    bos: int | None = None,
    positions: int | None = None,
    vocab_size: int | None = None,
) -> ForecastTask[Any]:
    """The task of a codec; arguments as of `ForecastTask`."""
    kind = NumberTask if shows_numbers(codec) else DigitTask
    return kind(codec, token_ids, bos, positions, vocab_size)


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


def misfit(backbone: Backbone, codec: Codec) -> str:
    """Why forecasts of a base that is not adapted would be noise, "" if nothing speaks against it.

    Judged by the base's own card; of a base without one nothing is known.
    """
    if backbone.card is None:
        return ""

    def text_of(one: Codec) -> dict[str, object]:
        return {k: v for k, v in one.config().items() if k not in _BENDS}

    seen = [make_codec(**known) for known in backbone.card.codecs]
    if any(text_of(codec) == text_of(known) for known in seen):
        return ""
    names = list(dict.fromkeys(known.name for known in seen))
    options = " with these options" if codec.name in names else ""
    return (
        f"the base {backbone.name!r} was never shown codec {codec.name!r}{options} (it knows "
        f"{' and '.join(names)}), so its forecasts without an adapter are noise"
    )


def check_positions(task: ForecastTask[Any], request: Request) -> None:
    """Refuse contexts that, with the longest forecast they may get, exceed the model's positions.

    Raises:
        DataError: such a context, with the longest one that fits.
    """
    if task.positions is None:
        return
    horizon = request.draw.horizon
    for prompt, key in zip(request.prompts, request.keys, strict=True):
        shown, tokens = prompt.n_steps, len(prompt.ids)
        ahead = horizon * task.longest_step(prompt.n_channels)
        if tokens + ahead <= task.positions:
            continue
        room = int((task.positions - ahead) * shown / tokens)
        remedy = (
            f"show at most {room} steps (context={room}, --context {room}), or forecast fewer"
            if room >= 2
            else "forecast fewer steps, or choose a codec with fewer tokens a step"
        )
        raise DataError(
            f"series {key!r}: got {shown} steps of context in {tokens} tokens, and up to {ahead} "
            f"for a horizon of {horizon}; expected at most {task.positions} in all, the model's "
            f"positions: {remedy}"
        )


def told_together(parts: int, progress: Callable[[int], None]) -> Callable[[int], None]:
    """Steps of channels that are forecast apart, told as steps of whole series."""
    done = 0

    def tell(n: int) -> None:
        nonlocal done
        whole = (done + n) // parts - done // parts
        done += n
        if whole:
            progress(whole)

    return tell
