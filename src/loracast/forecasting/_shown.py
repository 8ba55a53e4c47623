"""What a model is shown: how many steps, in how many tokens, and whether it knows the codec.

Who asks for a context is shown exactly that, as far as the model has positions. Where nobody asks,
as many steps are shown as the embedded base was pretrained on, less a horizon, and windows for
training are as long as that; other models are shown no more by default, for the cost (assumption).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from loracast.backbone import Backbone
from loracast.codec import Codec, make_codec
from loracast.errors import DataError
from loracast.forecasting._task import ForecastTask, Prompt
from loracast.series import Panel

__all__ = ["check_positions", "default_context", "misfit", "told_together", "window_steps"]

WINDOW_TOKENS, PROMPT_TOKENS = 560, 440  # of digit text
WINDOW_STEPS, PROMPT_STEPS = 192, 160  # of numbers, one position a step
_SERIES_COUNTED = 64  # that are looked at for the tokens of a step
_BENDS = ("transform", "reach", "headroom")  # options that change values, not the kind of text


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


def window_steps(task: ForecastTask, panel: Panel) -> int:
    """Steps of a training window where nobody asked for a number, at least 2.

    Of digit text, as many as fit 560 tokens, counted in the text of these very series.
    """
    if task.continuous:
        return WINDOW_STEPS
    width = max(
        (_step_tokens(task, v).mean() for v in panel.values[:_SERIES_COUNTED] if _scalable(v)),
        default=float(task.grammar(panel.n_channels).max_symbols_per_step),
    )
    return max(2, int((WINDOW_TOKENS - 1) / width))


def default_context(task: ForecastTask, values: np.ndarray, made_for: int = 0) -> int:
    """How many of the last steps of a history (T, C) are shown where nobody asked for a number.

    160 steps of numbers, or as much digit text as 440 tokens hold, counted in this history's own
    text; and no fewer than an adapter was made for.
    """
    if task.continuous:
        return min(len(values), max(PROMPT_STEPS, made_for))
    tail = values[-PROMPT_TOKENS:]
    if _scalable(tail):
        fitting = int((np.cumsum(_step_tokens(task, tail)[::-1]) <= PROMPT_TOKENS).sum())
    else:
        fitting = PROMPT_TOKENS // task.grammar(values.shape[1]).max_symbols_per_step
    return min(len(values), max(2, fitting, made_for))


def _step_tokens(task: ForecastTask, values: np.ndarray) -> np.ndarray:
    """(T,) tokens of each step of a series, scaled from itself."""
    state = task.codec.fit(values)
    rows = (task.codec.encode(values[t : t + 1], state) for t in range(len(values)))
    return np.array([len(row.symbols) for row in rows])


def _scalable(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).any(axis=0).all())


def check_positions(
    task: ForecastTask,
    prompts: Sequence[Prompt],
    steps: Sequence[int],
    keys: Sequence[str],
    horizon: int,
) -> None:
    """Refuse contexts that, with the longest forecast they may get, exceed the model's positions.

    Args:
        task: its positions and its codec.
        prompts: N encoded contexts.
        steps: N lengths in steps.
        keys: N names of series.
        horizon: H.

    Raises:
        DataError: such a context, with the longest one that fits.
    """
    if task.positions is None:
        return
    for prompt, shown, key in zip(prompts, steps, keys, strict=True):
        width = 1 if task.continuous else task.grammar(prompt.n_channels).max_symbols_per_step
        tokens, ahead = len(prompt.ids), horizon * width
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
