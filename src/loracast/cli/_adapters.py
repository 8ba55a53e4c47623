"""`loracast adapters`: look into an adapter, or merge it into its base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loracast.cli._options import AsJson
from loracast.cli._output import print_json

__all__ = ["app"]

app = typer.Typer(help="Inspect or merge adapters.", no_args_is_help=True)

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of an adapter, a fit or a study.")
]


@app.command("inspect")
def inspect(folder: Folder, as_json: AsJson = False) -> None:
    """Show what an adapter belongs to and how it was trained."""
    from loracast.adapters import adapter_folder, read_manifest

    manifest = read_manifest(adapter_folder(folder))
    facts = manifest.model_dump(mode="json")
    if as_json:
        print_json(facts)
        return
    facts["kept_ids"] = f"{len(manifest.kept_ids)} tokens"
    if isinstance(record := facts["training"].get("seen"), dict):
        facts["training"]["seen"] = f"digests of {record.get('n_series')} series"
    for name, value in facts.items():
        shown = (
            ", ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else value
        )
        typer.echo(f"{name:16} {shown}")


@app.command("merge")
def merge(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="New folder to write the merged model to.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Folder or hub id of the base, where it is not the one that the adapter names.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fold an adapter into its base: plain Hugging Face weights, full vocabulary."""
    from loracast.adapters import adapter_folder, merge_adapter

    merge_adapter(adapter_folder(folder), out, model=model)
    if as_json:
        print_json({"model": str(out)})
    else:
        typer.echo(f"model: {out} (use it: loracast forecast FILE --model {out})")
