"""`exact` beside torch's own FLOP counter, as a table with its worst error.

The counter runs the real modules (small random models, and the full Qwen2.5-0.5B shape under fake
tensors), so it is an oracle: it knows nothing of our formulas. `benchmarks/flops_agreement.py`
prints the whole table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from loracast.flops import (
    Architecture,
    LoraSpec,
    get_convention,
    muon_takes,
    trained_parameters,
)

if TYPE_CHECKING:
    import torch

__all__ = [
    "FAMILIES",
    "TARGETS",
    "TINY",
    "CountedStep",
    "adapted",
    "agreement_table",
    "counted_flops",
    "worst_error",
]

TINY: dict[str, dict[str, Any]] = {
    "qwen2": {
        "hidden_size": 64,
        "intermediate_size": 176,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "llama": {
        "hidden_size": 48,
        "intermediate_size": 112,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
    },
    "gemma": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 24,
    },
    "gpt_neox": {
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
    },
    "phi3": {
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "qwen3": {
        "hidden_size": 64,
        "intermediate_size": 144,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
    },
}
_FULL_QWEN25 = {
    # config.json of Qwen/Qwen2.5-0.5B-Instruct
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
FAMILIES = tuple(TINY)
VOCABULARIES = {"full": 500, "pruned": 13}
TARGETS = {
    "llama": (("q_proj", "v_proj"), ("q_proj", "k_proj"), ("o_proj",), ("down_proj",), ("all",)),
    "neox": (("query_key_value",), ("dense",), ("dense_4h_to_h",), ("all",)),
    "phi3": (("qkv_proj",), ("o_proj",), ("gate_up_proj",), ("all",)),
}


@dataclass(frozen=True)
class CountedStep:
    """One case: the counter's FLOPs and the matmul part of `exact`."""

    model: str
    vocabulary: str
    attention: str
    work: str
    counted: float
    exact: float

    @property
    def error(self) -> float:
        """Relative difference of `exact` from the counter."""
        return abs(self.exact - self.counted) / self.counted


def worst_error(rows: list[CountedStep]) -> float:
    """The largest relative difference in a table."""
    return max(row.error for row in rows)


def counted_flops(run: Callable[[], Any]) -> float:
    """FLOPs that torch's counter sees in `run`, with the CPU's fused attention mapped."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def forward(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop_count(q, k, v))

    def backward(grad: Any, q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
        del grad  # five products of the two of the forward pass: scores again, dV, dP, dQ, dK
        return int(sdpa_flop_count(q, k, v)) * 5 // 2

    aten = torch.ops.aten
    mapping = {
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        run()
    return float(counter.get_total_flops())


def agreement_table(
    families: tuple[str, ...] = FAMILIES,
    full_shape: bool = True,
    attentions: tuple[str, ...] = ("sdpa", "eager"),
    works: tuple[str, ...] | None = None,
) -> list[CountedStep]:
    """All cases: models x attention x vocabulary x work.

    Args:
        families: which small random models.
        full_shape: also Qwen2.5-0.5B's full shape under fake tensors (minutes when all is asked).
        attentions: which attention implementations.
        works: beginnings of the works to run, for instance `("forward", "LoRA q_proj")`.
    """
    rows: list[CountedStep] = []
    for family in families:
        for attention in attentions:
            for label, vocab in VOCABULARIES.items():
                size = {**TINY[family], "vocab_size": vocab}
                rows += _cases(family, family, size, label, attention, 2, 24, False, works)
    if full_shape:
        for attention in attentions:
            for label, vocab in (("full", 151936), ("pruned", 13)):
                size = {**_FULL_QWEN25, "vocab_size": vocab}
                name = "Qwen2.5-0.5B"
                rows += _cases(name, "qwen2", size, label, attention, 4, 512, True, works)
    return rows


def _cases(
    name: str,
    family: str,
    size: dict[str, Any],
    vocabulary: str,
    attention: str,
    batch: int,
    length: int,
    fake: bool,
    works: tuple[str, ...] | None,
) -> Iterator[CountedStep]:
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family, **size)
    arch = Architecture.from_config(config)
    exact = get_convention("exact", attention=attention)

    def build(lora: LoraSpec | None = None) -> Any:
        # Fake weights begin on the meta device: PEFT cannot move adapters of fake tensors.
        with torch.device("meta") if fake else nullcontext():
            model = AutoModelForCausalLM.from_config(
                config, attn_implementation=attention, dtype=torch.float32
            )
            model = model if lora is None else adapted(model, lora)
        if not fake:
            return model
        with fakes:
            return _on_cpu(model)

    def row(work: str, counted: float, matmul: float) -> CountedStep:
        return CountedStep(name, vocabulary, attention, work, counted, matmul)

    fakes = FakeTensorMode()
    with fakes if fake else nullcontext():
        ids = torch.zeros((batch, length), dtype=torch.long)

    def wanted(work: str) -> bool:
        return works is None or work.startswith(works)

    model = build().eval()
    with fakes if fake else nullcontext(), torch.no_grad():
        if wanted("forward"):
            counted = counted_flops(lambda: model(ids, use_cache=False))
            yield row("forward", counted, exact.forward(arch, batch, length).matmul)
        if wanted("prefill"):
            counted = counted_flops(lambda: model(ids, use_cache=True, logits_to_keep=1))
            yield row("prefill", counted, exact.prefill(arch, batch, length).matmul)
        if wanted("decode"):
            yield row("decode", *_decode(model, ids, exact, arch))
    targets = TARGETS.get(arch.layout, TARGETS["llama"])
    trained: list[tuple[str, LoraSpec | None]] = [("full training", None)]
    trained += [(f"LoRA {','.join(n)}", LoraSpec(4, arch.resolve_targets(n))) for n in targets]
    ends = (trained[0], trained[-1])
    stepped = [(f"{work}, {o}", lora, o) for work, lora in ends for o in ("adamw", "muon")]
    upper = LoraSpec(2, arch.resolve_targets(("all",)), False, tuple(range(1, arch.layers)))
    plain: list[tuple[str, LoraSpec | None, str | None]] = [(*case, None) for case in trained]
    for work, lora, optimizer in [*plain, ("LoRA all, layer 1 up", upper, None), *stepped]:
        if not wanted(work):
            continue
        model = build(lora).train()
        with fakes if fake else nullcontext():
            counted = counted_flops(partial(_step, model, ids, optimizer))
        table = exact.train_step(arch, batch, length, lora)
        if optimizer is not None:
            table = table + exact.update(trained_parameters(arch, lora), optimizer)
        yield row(work, counted, table.matmul)


def _step(model: Any, ids: torch.Tensor, optimizer: str | None) -> None:
    import torch

    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    taken = [n for n, p in trained.items() if optimizer == "muon" and muon_takes(n, p.shape)]
    rest = [p for n, p in trained.items() if n not in taken]
    if taken:
        torch.optim.Muon([trained[n] for n in taken]).step()
    if rest and optimizer is not None:
        torch.optim.AdamW(rest).step()


def _decode(
    model: Any, ids: torch.Tensor, exact: Any, arch: Architecture, steps: int = 3
) -> tuple[float, float]:
    """Three cached steps after a prompt: counted, and as `exact` says."""
    batch, length = ids.shape
    cache = model(ids, use_cache=True, logits_to_keep=1).past_key_values

    def run() -> None:
        for _ in range(steps):
            model(ids[:, :1], past_key_values=cache, use_cache=True)

    keys = batch * sum(length + i + 1 for i in range(steps))
    rows = batch * steps
    return counted_flops(run), exact.decode(arch, rows, keys, rows).matmul


def adapted(model: Any, lora: LoraSpec) -> Any:
    """The model with its LoRA attached by PEFT."""
    from peft import LoraConfig, get_peft_model

    layers = None if lora.layers is None else list(lora.layers)
    config = LoraConfig(
        r=lora.rank, target_modules=list(lora.targets), layers_to_transform=layers, lora_dropout=0.0
    )
    return get_peft_model(model, config)


def _on_cpu(model: Any) -> Any:
    """A meta-device model with empty CPU weights in place (fake ones inside a fake mode)."""
    import torch

    made: dict[int, torch.Tensor] = {}  # tied weights stay tied
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for name, old in held.items():
                if old is None:
                    continue
                if id(old) not in made:
                    new = torch.empty(old.shape, dtype=old.dtype, device="cpu")
                    if isinstance(old, torch.nn.Parameter):
                        new = torch.nn.Parameter(new, requires_grad=old.requires_grad)
                    made[id(old)] = new
                held[name] = made[id(old)]
    return model
