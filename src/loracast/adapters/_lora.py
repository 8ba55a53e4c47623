"""Attach LoRA to a backbone through PEFT, on any projections, with an optional head bias.

Knows module names, not data. The head bias (two of the published studies train one) is a plain
parameter of ours beside the adapter, because PEFT would drop or over-train it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from loracast.backbone import numeric_head_of
from loracast.errors import AdapterError
from loracast.flops import LoraSpec

__all__ = ["AdapterConfig", "attach_lora", "head_bias", "lora_parameters"]

_SHORT = {
    "q": "q_proj",
    "k": "k_proj",
    "v": "v_proj",
    "o": "o_proj",
    "gate": "gate_proj",
    "up": "up_proj",
    "down": "down_proj",
}


class AdapterConfig(BaseModel):
    """How a model is adapted.

    Args:
        method: 'lora', or 'full' to train every weight.
        rank: r.
        alpha: the update is scaled by alpha / r (alpha / sqrt(r) with rsLoRA, Kalajdzievski 2023).
        targets: 'all' linear layers, or names such as ['q', 'v'] or full module names.
        dropout: on the input of A, while training.
        head_bias: train a bias on the language-model head.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["lora", "full"] = "lora"
    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0, allow_inf_nan=False)
    targets: tuple[str, ...] | Literal["all"] = "all"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    rslora: bool = True
    head_bias: bool = False

    def modules(self, model: Any) -> tuple[str, ...]:
        """Names of the adapted linear layers in a model.

        Raises:
            AdapterError: a name that no linear layer of the model has.
        """
        head = model.get_output_embeddings()
        names = sorted(
            {
                name.rsplit(".", 1)[-1]
                for name, module in model.named_modules()
                if isinstance(module, nn.Linear)
                and module is not head
                and not name.startswith("value_interface.")
            }
        )
        if self.targets == "all":
            return tuple(names)
        wanted = tuple(_SHORT.get(t, t) for t in self.targets)
        unknown = [t for t in wanted if t not in names]
        if unknown or not wanted:
            raise AdapterError(
                f"got the LoRA targets {list(self.targets)}; this model has the linear layers "
                f"{names} (or use 'all')"
            )
        return wanted

    def spec(self, model: Any) -> LoraSpec | None:
        """What the adapter costs, for the FLOPs formulas; None for full training."""
        if self.method == "full":
            return None
        return LoraSpec(
            rank=self.rank,
            targets=self.modules(model),
            head_bias=self.head_bias,
            inputs_trained=numeric_head_of(model) is not None,
        )


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Peft 0.21 asks transformers 5.23 by an old name, which warns; nothing a user can act on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        yield


def peft_config(config: AdapterConfig, model: Any) -> Any:
    """PEFT's configuration of a LoRA adapter, everything that was not said at its default."""
    from peft import LoraConfig

    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]
        target_modules=list(config.modules(model)),
        lora_dropout=config.dropout,
        use_rslora=config.rslora,
        bias="none",
        task_type="CAUSAL_LM",
    )


def lora_shapes(config: AdapterConfig, model: Any) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor that PEFT saves for a model it has not wrapped yet."""
    targets = set(config.modules(model))
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in model.named_modules():
        if name.rsplit(".", 1)[-1] in targets:
            place = f"base_model.model.{name}.lora_"
            shapes[f"{place}A.weight"] = (config.rank, int(module.in_features))
            shapes[f"{place}B.weight"] = (int(module.out_features), config.rank)
    return shapes


def attach_lora(model: Any, config: AdapterConfig, seed: int) -> Any:
    """The model with fresh adapter weights (B = 0, so it still computes the base's function).

    Args:
        model: a Hugging Face causal LM.
        config: what to adapt; with method 'full' the model itself is made trainable.
        seed: of the A matrices.

    Raises:
        AdapterError: targets that the model does not have.
    """
    if config.method == "full":
        return model.requires_grad_(True)
    from peft import get_peft_model

    lora = peft_config(config, model)
    head = model.get_output_embeddings()
    if config.head_bias and head.bias is None:
        head.bias = nn.Parameter(torch.zeros(head.weight.shape[0], device=head.weight.device))
    with torch.random.fork_rng(devices=[]), quiet_peft():
        torch.manual_seed(seed)
        adapted = get_peft_model(model, lora)
    if config.head_bias:
        head.bias.requires_grad_(True)
    interface = numeric_head_of(model)
    if interface is not None:  # numbers in and out are learned with the adapter, in full
        interface.requires_grad_(True)
    return adapted


def head_bias(model: Any) -> torch.Tensor | None:
    """The trained bias of the head (V,), if there is one."""
    head = model.get_output_embeddings()
    bias = getattr(head, "bias", None)
    return bias if bias is not None and bias.requires_grad else None


def lora_parameters(model: Any) -> dict[str, torch.Tensor]:
    """Every trainable parameter by name: A and B, head bias and numeric head if trained."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
