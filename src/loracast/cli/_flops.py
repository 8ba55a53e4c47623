"""`loracast flops`: what one piece of work costs, by component and convention, without weights."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from loracast.cli._options import AsJson, split_names
from loracast.cli._output import print_json
from loracast.errors import ConfigError
from loracast.flops import (
    CONVENTIONS,
    Architecture,
    CostTable,
    LoraSpec,
    format_flops,
    get_convention,
    trained_parameters,
)

__all__ = ["architecture_of", "flops"]

MODES = ("train", "validate", "prefill", "decode", "forecast")
TABLES = ("mao2025", "steps")


def architecture_of(model: str) -> Architecture:
    """The shape of the embedded base, of a model folder, or of a built-in name.

    Raises:
        ModelError: none of these.
    """
    if model == "embedded":
        return Architecture.from_config(
            Path(str(resources.files("loracast"))) / "backbone" / "embedded"
        )
    if Path(model).exists():
        return Architecture.from_config(Path(model))
    return Architecture.known(model)


def flops(
    model: Annotated[
        str,
        typer.Option(
            "--model", help="Model: embedded, a folder, or the name of a known architecture."
        ),
    ] = "Qwen/Qwen2.5-0.5B-Instruct",
    convention: Annotated[
        str,
        typer.Option("--convention", help=f"Convention that counts: {', '.join(CONVENTIONS)}."),
    ] = "exact",
    mode: Annotated[
        str, typer.Option("--mode", help=f"Kind of work: one of {', '.join(MODES)}.")
    ] = "train",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Number of rows in a batch.")] = 4,
    context: Annotated[
        int, typer.Option("--context", min=1, help="Tokens of a row, or keys already in the cache.")
    ] = 512,
    rank: Annotated[int, typer.Option("--rank", min=0, help="Rank of the LoRA; 0 for none.")] = 4,
    targets: Annotated[
        str,
        typer.Option(
            "--targets", help="Projections to adapt, separated by commas: q,v or q_proj,... or all."
        ),
    ] = "q,v",
    head_bias: Annotated[
        bool, typer.Option("--head-bias", help="Also train a bias of the head.")
    ] = False,
    vocab: Annotated[
        int | None,
        typer.Option("--vocab", min=1, help="Number of tokens kept when the vocabulary is pruned."),
    ] = None,
    attention: Annotated[
        str,
        typer.Option(
            "--attention", help="How attention runs: sdpa or eager (exact convention only)."
        ),
    ] = "sdpa",
    optimizer: Annotated[
        str, typer.Option("--optimizer", help="Optimiser of a training step: adamw, muon or none.")
    ] = "adamw",
    new_tokens: Annotated[
        int, typer.Option("--new-tokens", min=1, help="Tokens that a forecast writes per sample.")
    ] = 50,
    forced: Annotated[
        int, typer.Option("--forced", min=0, help="How many of the new tokens the grammar forces.")
    ] = 0,
    samples: Annotated[
        int, typer.Option("--samples", min=1, help="Sampled paths of each row.")
    ] = 1,
    table: Annotated[
        str | None, typer.Option("--table", help=f"Table to print instead: {', '.join(TABLES)}.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What a training step, validation, prefill, decode step or forecast costs, by component."""
    if table is not None:
        _table(table, context, rank, as_json)
        return
    if mode not in MODES:
        raise ConfigError(f"--mode: got {mode!r}; expected one of {', '.join(MODES)}")
    options = {"attention": attention} if convention == "exact" else {}
    rules = get_convention(convention, **options)
    arch = architecture_of(model)
    if vocab is not None:
        arch = arch.pruned(vocab)
    lora = None
    if rank:
        names = arch.resolve_targets(split_names(targets) or ())
        lora = LoraSpec(rank, names, head_bias)
    if mode == "train":
        cost = rules.train_step(arch, batch, context, lora)
        if optimizer != "none":
            cost = cost + rules.update(trained_parameters(arch, lora), optimizer)
    elif mode == "validate":
        cost = rules.validate(arch, batch, context, lora)
    elif mode == "prefill":
        cost = rules.prefill(arch, batch, context, lora)
    elif mode == "decode":
        cost = rules.decode(arch, batch, batch * (context + 1), batch, lora)
    else:
        cost = rules.forecast(arch, batch, context, new_tokens, samples, forced, lora)
    if as_json:
        print_json(
            {
                "flops": cost.total,
                "matmul": cost.matmul,
                "elementwise": cost.elementwise,
                "convention": rules.name,
                "source": rules.source,
                "model": model,
                "mode": mode,
                "n_parameters": arch.n_parameters,
                "components": cost.components,
                "forward": dict(cost.forward),
                "backward": dict(cost.backward),
                "update": dict(cost.update),
            }
        )
        return
    _show(cost, f"{model}, {mode}, {rules.name}: {rules.source}")


def _show(cost: CostTable, title: str) -> None:
    """The components as a table for people."""
    rows = [
        [
            name,
            *(f"{part.get(name, 0):.4e}" for part in (cost.forward, cost.backward, cost.update)),
            f"{100 * flops / cost.total:.2f} %",
        ]
        for name, flops in cost.components.items()
        if flops
    ]
    _print(title, ("component", "forward", "backward", "update", "share"), rows)
    typer.echo(f"matrix products: {format_flops(cost.matmul)}")
    typer.echo(f"element-wise:    {format_flops(cost.elementwise)}")
    typer.echo(f"total:           {format_flops(cost.total)}")


def _print(title: str, head: tuple[str, ...], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


def _table(name: str, context: int, rank: int, as_json: bool) -> None:
    """A published table beside its recomputation, or one step as several count it."""
    if name not in TABLES:
        raise ConfigError(f"--table: got {name!r}; expected one of {', '.join(TABLES)}")
    if name == "steps":
        _steps(context, rank, as_json)
    else:
        _mao2025(as_json)


def _mao2025(as_json: bool) -> None:
    from loracast.flops import mao2025_table10, mao2025_table14

    tables = {
        "table10": ("Mao 2025, table 10: steps in 1e17 FLOPs (B=4)", mao2025_table10()),
        "table14": ("Mao 2025, table 14: percent of 1e17 FLOPs", mao2025_table14()),
    }
    if as_json:
        print_json({k: [_facts(row) for row in rows] for k, (_, rows) in tables.items()})
        return
    for title, rows in tables.values():
        cells = [
            [
                r.what,
                f"{r.flops:.4e}",
                f"{r.published:,g}",
                f"{r.recomputed:,g}",
                f"{r.difference:+.3g}",
            ]
            for r in rows
        ]
        _print(title, ("case", "FLOPs", "published", "recomputed", "difference"), cells)


def _facts(row: Any) -> dict[str, Any]:
    return {
        "what": row.what,
        "flops": row.flops,
        "published": row.published,
        "recomputed": row.recomputed,
        "difference": row.difference,
    }


def _steps(context: int, rank: int, as_json: bool) -> None:
    from loracast.flops import step_by_convention

    rows = step_by_convention(context, rank or 4)
    if as_json:
        print_json(rows)
        return
    exact = rows["exact"]
    cells = [[k, f"{v:.4e}", f"{v / exact:.3f}"] for k, v in rows.items()]
    title = f"One LoRA step of Qwen2.5-0.5B, B=4, S={context}, r={rank or 4}"
    _print(title, ("counted as", "FLOPs", "of exact"), cells)
