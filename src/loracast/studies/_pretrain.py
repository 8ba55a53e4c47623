"""Pretrain the embedded base from a recipe: same loop, same ledger, data that never repeats."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loracast.adapters import AdapterConfig, attach_lora
from loracast.backbone import build_embedded, embedded_config, load_backbone, symbol_ids
from loracast.codec import make_codec
from loracast.errors import ConfigError, StorageError
from loracast.flops import Ledger, parse_flops
from loracast.series._corpus import corpus_chunk
from loracast.tasks import Example, ForecastTask
from loracast.training import Meter, Progress, TrainConfig, TrainResult, train

__all__ = ["PretrainRecipe", "load_pretrain_recipe", "pretrain"]

_CHUNK = 256  # series generated at once


class CodecShare(BaseModel):
    """A codec and how often its examples appear."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    codec: dict[str, Any]
    share: float = Field(gt=0)


class PretrainRecipe(BaseModel):
    """Everything that decides the weights of a base.

    Args:
        seed: of weights and corpus.
        hidden, layers, mlp: shape of the Qwen2 architecture.
        codecs: what the numbers look like, with shares.
        tokens: longest sequence, in tokens; windows are cut to it.
        context_range: share of a window that its scaling is fitted on.
        validation: examples of the stream's own validation chunk.
        budget: FLOPs in all.
        training: dials of the loop.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    hidden: int = 256
    layers: int = 6
    mlp: int = 704
    codecs: tuple[CodecShare, ...]
    tokens: int = 560
    context_range: tuple[float, float] = (0.25, 1.0)
    validation: int = 128
    budget: str = "1e16"
    training: TrainConfig


class _CorpusSource:
    """Batches of the synthetic stream; chunk i serves the steps that fall into it."""

    def __init__(self, recipe: PretrainRecipe, tasks: list[ForecastTask]) -> None:
        self.recipe, self.tasks = recipe, tasks
        shares = np.array([c.share for c in recipe.codecs])
        self.shares = shares / shares.sum()
        self._chunk: tuple[int, list[Example]] = (-1, [])

    def chunk(self, index: int) -> list[Example]:
        """The examples of chunk `index`; index 0 is kept for validation."""
        rng = np.random.default_rng([self.recipe.seed, 7, index])
        examples = []
        for values in corpus_chunk(self.recipe.seed, index, _CHUNK, steps=256):
            task = self.tasks[rng.choice(len(self.tasks), p=self.shares)]
            width = task.grammar(values.shape[1]).max_symbols_per_step
            steps = (self.recipe.tokens - 1) // width
            start = int(rng.integers(0, max(1, len(values) - steps + 1)))
            window = values[start : start + steps]
            share = rng.uniform(*self.recipe.context_range)
            context = int(np.clip(round(share * len(window)), 2, len(window)))
            if np.isfinite(window[:context]).any(axis=0).all():
                examples.append(task.example(window, context))
        # Neighbours of one length make batches with little padding.
        order = sorted(range(len(examples)), key=lambda i: len(examples[i]))
        size = self.recipe.training.batch_size
        batches = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
        return [examples[i] for b in rng.permutation(len(batches)) for i in batches[b]]

    def batch(self, step: int) -> list[Example]:
        size = self.recipe.training.batch_size
        # A few windows of a chunk may be unusable; count on 15 of 16.
        per_chunk = _CHUNK * 15 // 16 // size
        index, place = divmod(step, per_chunk)
        if self._chunk[0] != index:
            self._chunk = (index, self.chunk(index + 1))
        return self._chunk[1][place * size : (place + 1) * size]


def load_pretrain_recipe(path: Path) -> PretrainRecipe:
    """A recipe from YAML.

    Raises:
        ConfigError: missing file or a field that does not fit.
    """
    try:
        return PretrainRecipe.model_validate(yaml.safe_load(Path(path).read_text("utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(f"no recipe at {path}; give a YAML file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"recipe {path} is not valid: {reason}") from error


def pretrain(
    recipe: PretrainRecipe,
    out: Path,
    progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train a base from scratch; resumes by itself when `out` holds an unfinished run.

    Args:
        recipe: what to do.
        out: work folder; the finished model stands in `out/model` (bfloat16 safetensors).
        progress: called after every step.

    Raises:
        StorageError: `out` cannot be written.
        BudgetExceeded: the budget does not hold one step.
    """
    start = out / "start"
    if not (start / "model.safetensors").exists():
        shutil.rmtree(start, ignore_errors=True)
        try:
            build_embedded(
                start, embedded_config(recipe.hidden, recipe.layers, recipe.mlp), recipe.seed
            )
        except OSError as error:
            raise StorageError(f"cannot write to {out}: {error}") from error
    base = load_backbone(str(start))
    tasks = []
    for share in recipe.codecs:
        codec = make_codec(**share.codec)
        ids = symbol_ids(base.tokenizer, codec.alphabet)
        tasks.append(ForecastTask(codec, ids, base.bos_full_id))
    source = _CorpusSource(recipe, tasks)
    validation = source.chunk(0)[: recipe.validation]
    attach_lora(base.model, AdapterConfig(method="full"), recipe.seed)
    with Ledger(out / "ledger.sqlite", parse_flops(recipe.budget), "exact") as ledger:
        meter = Meter(ledger, "pretrain", base.architecture, None, validation)
        result = train(
            base.model,
            source,
            recipe.training,
            meter=meter,
            folder=out / "checkpoints",
            validation=validation,
            progress=progress,
        )
    base.model.to(torch.bfloat16).save_pretrained(out / "model")
    base.tokenizer.save_pretrained(out / "model")
    (out / "model" / "generation_config.json").write_text("{}\n")
    (out / "pretrain.json").write_text(
        json.dumps({"recipe": recipe.model_dump(mode="json"), "result": result.__dict__}, indent=1)
    )
    return result
