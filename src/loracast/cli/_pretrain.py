"""`loracast pretrain`: train a base on synthetic series, by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loracast.cli._options import AsJson
from loracast.cli._output import print_json
from loracast.cli._progress import Watcher
from loracast.flops import format_flops

__all__ = ["pretrain"]


def pretrain(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe: a YAML file.")],
    out: Annotated[
        Path, typer.Option("--out", help="Folder to work in; the model is written to OUT/model.")
    ],
    start: Annotated[
        Path | None, typer.Option("--start", help="Folder of an older base to grow from.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Pretrain a base; the same command goes on where a killed one stopped."""
    from loracast.pretraining import load_pretrain_recipe
    from loracast.pretraining import pretrain as run
    from loracast.studies import changed_recipe

    chosen = changed_recipe(
        load_pretrain_recipe(recipe), {"start": None if start is None else str(start)}
    )
    with Watcher() as watcher:
        result = run(chosen, out, watcher.trained)
    facts = {
        "model": str(out / "model"),
        "steps": result.steps,
        "stopped": result.stopped,
        "val_loss": result.best_val_loss,
        "flops": result.flops,
        "seconds": result.seconds,
    }
    if as_json:
        print_json(facts)
        return
    loss = "none" if result.best_val_loss is None else f"{result.best_val_loss:.4f}"
    typer.echo(
        f"{result.steps} steps, validation loss {loss}, {format_flops(result.flops)}, "
        f"{result.seconds:.0f} s\nmodel: {facts['model']}"
    )
