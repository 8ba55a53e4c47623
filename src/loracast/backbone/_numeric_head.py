"""Numbers in, numbers out: a value embedding and a distribution head on any causal LM.

    z (B, L, C) --features--> value embedding --> (B, L, hidden), in place of token embeddings
    hidden states (B, L, hidden) --distribution head--> mixture for z at the next step, per channel

The two small modules run in float32, also under autocast: bfloat16 keeps three digits of a value,
fewer than a forecast wants. They know normalised values, not how they were scaled.

The head answers relative to what it sees. The k-th component of the next value is

    z_next = z + q m_k,   scale q s_k

with q the typical step of the series, and m_k, log s_k and the weights read from the hidden state.
(Offsets in units of their own uncertainty, and an autoregression on the last differences inside
the head, both learned worse at equal FLOPs: docs/log.md.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from loracast.codec import VALUE_CHANNELS, VALUE_STATICS, Statics
from loracast.errors import ModelError, faults_in_one_line

__all__ = [
    "History",
    "Mixture",
    "NumericHead",
    "NumericHeadShape",
    "attach_numeric_head",
    "has_numeric_head",
    "load_numeric_head",
    "numeric_head_of",
    "save_numeric_head",
    "text_body",
    "typical_step",
]

_DYNAMIC = 8  # features of a step and channel beside the statics
_LOG_SCALE = (-9.0, 4.0)  # of a component, in units of the typical step


class NumericHeadShape(BaseModel):
    """The size of a numeric head.

    Args:
        hidden: of the model it stands on.
        width: of the embedding's hidden layer.
        components: K of the mixture.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: int = Field(ge=1)
    width: int = Field(ge=1)
    components: int = Field(default=3, ge=1)

    @property
    def inputs(self) -> int:
        """Features of one position."""
        return VALUE_CHANNELS * (_DYNAMIC + VALUE_STATICS)

    @property
    def outputs(self) -> int:
        """Numbers of one position's distribution."""
        return VALUE_CHANNELS * 3 * self.components


@dataclass(frozen=True)
class Mixture:
    """A mixture of K Laplace distributions per channel, in units of z.

    Args:
        location, scale, log_weight: (..., C, K).
    """

    location: torch.Tensor
    scale: torch.Tensor
    log_weight: torch.Tensor

    def nll(self, target: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        """-log density (..., C) of target (..., C), measured in `unit`s (..., C)."""
        distance = (target[..., None] - self.location).abs() / self.scale
        log_density = self.log_weight - distance - torch.log(2 * self.scale / unit[..., None])
        return -torch.logsumexp(log_density, -1)

    def spread_by(self, factor: float) -> Mixture:
        """The same locations with every scale multiplied."""
        return Mixture(self.location, self.scale * factor, self.log_weight)

    def draw(self, uniforms: torch.Tensor) -> torch.Tensor:
        """(..., C) drawn by inversion from uniforms (..., C, 2): which component, and where.

        Where u becomes 1 - u, the draw is mirrored about its component's location.
        """
        weights = self.log_weight.softmax(-1).cumsum(-1)
        chosen = (uniforms[..., :1] > weights[..., :-1]).sum(-1, keepdim=True)
        location = self.location.gather(-1, chosen)[..., 0]
        scale = self.scale.gather(-1, chosen)[..., 0]
        centred = (uniforms[..., 1] - 0.5).clamp(-0.4999995, 0.4999995)
        return location - scale * torch.sign(centred) * torch.log1p(-2 * centred.abs())


@dataclass
class History:
    """The last three values of each channel, newest first: (B, L, C, 3)."""

    values: torch.Tensor

    @classmethod
    def of(cls, z: torch.Tensor) -> History:
        """Of values z (B, L, C) without gaps; before the first stands the first."""
        length = z.shape[1]
        padded = torch.cat([z[:, :1], z[:, :1], z], 1)
        return cls(torch.stack([padded[:, 2 - j : 2 - j + length] for j in range(3)], -1))

    def then(self, z: torch.Tensor) -> History:
        """One step on, after z (B, 1, C)."""
        return History(torch.cat([z[..., None], self.values[:, -1:, :, :-1]], -1))

    def differences(self, statics: torch.Tensor) -> torch.Tensor:
        """The last two differences (B, L, C, 2) in units of the typical step."""
        step = typical_step(statics)[..., None]
        return (self.values[..., :-1] - self.values[..., 1:]) / step


def typical_step(statics: torch.Tensor) -> torch.Tensor:
    """The size of a step (B, 1, C) in units of z, from statics (B, C, VALUE_STATICS)."""
    return Statics.of(statics).log_step[:, None].exp()


class NumericHead(nn.Module):
    """The value embedding and the distribution head.

    Args:
        shape: sizes.
    """

    def __init__(self, shape: NumericHeadShape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_in = nn.Linear(shape.inputs, shape.width)
        self.embed_out = nn.Linear(shape.width, shape.hidden)
        self.head_in = nn.Linear(shape.hidden, shape.hidden)
        self.head_out = nn.Linear(shape.hidden, shape.outputs)
        # A fresh head forecasts "as now", with scales spread over the size of a step.
        nn.init.zeros_(self.head_out.weight)
        nn.init.zeros_(self.head_out.bias)
        spread = torch.linspace(-1.0, 1.0, shape.components) if shape.components > 1 else [0.0]
        self.register_buffer("spread", torch.as_tensor(spread) - 2.0, persistent=False)

    def embed(
        self, history: History, observed: torch.Tensor, present: torch.Tensor, statics: torch.Tensor
    ) -> torch.Tensor:
        """Embeddings of value positions.

        Args:
            history: values, gaps filled by the last one seen.
            observed: (B, L, C) bool, False where the value was missing (or only forecast).
            present: (B, C) bool, False for channels the series does not have.
            statics: (B, C, VALUE_STATICS), the array of a `Statics`.

        Returns:
            (B, L, hidden) float32.
        """
        z = history.values[..., 0]
        d = history.differences(statics)
        told = Statics.of(statics)
        bend = (d[..., 0] - d[..., 1]) * torch.exp(-told.log_jerk[:, None])
        natural = torch.exp((z * told.log_scale[:, None].exp()).clamp(-6.0, 3.0))
        there = present[:, None, :].to(z.dtype).expand_as(z)
        dynamic = torch.stack(
            [
                z.clamp(-8.0, 8.0),
                torch.asinh(z),
                natural,
                torch.asinh(d[..., 0]),
                torch.asinh(d[..., 1]),
                torch.asinh(bend),
                observed.to(z.dtype),
                there,
            ],
            -1,
        )
        fixed = statics[:, None].expand(-1, z.shape[1], -1, -1)
        features = torch.cat([dynamic, fixed], -1) * there[..., None]
        with torch.autocast(z.device.type, enabled=False):
            hidden = F.gelu(self.embed_in(features.float().flatten(-2)))
            out: torch.Tensor = self.embed_out(hidden)
        return out

    def distribution(
        self, hidden: torch.Tensor, history: History, statics: torch.Tensor
    ) -> Mixture:
        """What comes after each position: hidden (B, L, hidden) -> mixture (B, L, C, K)."""
        with torch.autocast(hidden.device.type, enabled=False):
            out = self.head_out(F.gelu(self.head_in(hidden.float())))
        out = out.unflatten(-1, (VALUE_CHANNELS, -1))
        k = self.shape.components
        log_scale = (out[..., :k] + self.spread).clamp(*_LOG_SCALE)
        scale = log_scale.exp()
        step = typical_step(statics)[..., None]
        location = history.values[..., :1] + step * out[..., k : 2 * k]
        return Mixture(location, step * scale, torch.log_softmax(out[..., 2 * k :], -1))


def _plain(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def numeric_head_of(model: Any) -> NumericHead | None:
    """The numeric head of a causal LM, with or without PEFT around it; None if it has none."""
    found = getattr(_plain(model), "value_interface", None)
    return found if isinstance(found, NumericHead) else None


def text_body(model: Any) -> Any:
    """The transformer under the LM head of a causal LM: embeddings in, hidden states out.

    Raises:
        ModelError: a model that does not keep them apart.
    """
    plain = _plain(model)
    body = getattr(plain, plain.base_model_prefix, None)
    if body is None or body is plain:
        raise ModelError(
            f"{type(plain).__name__} does not keep its transformer apart from its head; the "
            "continuous codec needs that: use a digit codec"
        )
    return body


def attach_numeric_head(
    model: Any, shape: NumericHeadShape | None = None, seed: int = 0
) -> NumericHead:
    """Give a causal LM a fresh numeric head, replacing one it has.

    Args:
        model: without PEFT around it.
        shape: sizes; default is for the model's hidden size.
        seed: of the weights.
    """
    text_body(model)
    hidden = int(model.get_input_embeddings().weight.shape[1])
    if shape is None:
        shape = NumericHeadShape(hidden=hidden, width=max(256, 2 * min(hidden, 1024)))
    if shape.hidden != hidden:
        raise ModelError(
            f"got a numeric head for hidden size {shape.hidden}; the model has {hidden}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        interface = NumericHead(shape)
    model.value_interface = interface.to(model.get_input_embeddings().weight.device)
    return interface


_FILE = "values.safetensors"


def save_numeric_head(interface: NumericHead, folder: Path) -> Path:
    """Write an interface into a model's or an adapter's folder; its shape is in the metadata."""
    tensors = {n: weight.detach().contiguous() for n, weight in interface.state_dict().items()}
    path = Path(folder) / _FILE
    save_file(tensors, path, metadata={"shape": interface.shape.model_dump_json()})
    return path


def has_numeric_head(folder: Path) -> bool:
    """Whether a model's or an adapter's folder holds a numeric head."""
    return (Path(folder) / _FILE).is_file()


def load_numeric_head(model: Any, folder: Path) -> NumericHead | None:
    """Attach the interface that a folder holds; None where it holds none.

    Raises:
        ModelError: a broken file, or one for another hidden size.
    """
    path = Path(folder) / _FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            shape = NumericHeadShape.model_validate_json((file.metadata() or {}).get("shape", ""))
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        interface = attach_numeric_head(model, shape)
        interface.load_state_dict(tensors)
    except (SafetensorError, ValidationError, RuntimeError, OSError) as error:
        raise ModelError(
            f"the numeric head {path} could not be read: {faults_in_one_line(error)}"
        ) from error
    return interface
