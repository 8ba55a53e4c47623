#!/usr/bin/env python
"""Put an annotator beside the embedded base, to be shipped with it, and write its card.

    python scripts/ship-annotator.py DIR [--also FACTS.json]   # DIR of `loracast annotations train`
    python scripts/ship-annotator.py                           # writes the shipped one anew

The second form is for a change of how adapters are saved: the same weights, the card's facts kept,
new digests. FACTS.json is merged into the card: what was measured beside `result.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from loracast.adapters import lora_parameters, read_manifest
from loracast.annotation import SHIPPED_CARD, SHIPPED_DIR, AnnotationEngine
from loracast.files import sha256_of_file

FACTS = (
    "created", "versions", "seed", "model", "base_sha256", "numbers", "method", "fields", "lengths",
    "max_points", "budget", "seconds",
)  # fmt: skip
TRAINING = (
    "config", "steps", "stopped", "best_step", "best_val_loss", "calibration_rows", "seconds",
)  # fmt: skip
SCORES = ("accuracy", "clear", "accuracy_by_seed", "clear_by_seed", "clear_by_length", "ece")
JUDGED = ("trend", "noise")


def saved(source: Path, lengths: list[int] | None) -> AnnotationEngine:
    """Write the adapter of `source` into the package, without a word about where it was made."""
    engine = AnnotationEngine.to_train(source)
    peft = engine.backbone.model.peft_config["default"]
    peft.base_model_name_or_path = "embedded"
    peft.target_modules = sorted(peft.target_modules)
    kept = {k: v for k, v in engine.settings.temperatures.items() if k in JUDGED}
    update: dict[str, Any] = {"temperatures": kept}
    if lengths is not None:
        update["min_points"] = lengths[0]
    engine.settings = engine.settings.model_copy(update=update)
    engine.save(SHIPPED_DIR, read_manifest(source).training)
    for path in SHIPPED_DIR.iterdir():
        path.chmod(0o644)
    again = AnnotationEngine.to_train(SHIPPED_DIR)
    there = lora_parameters(again.backbone.model)
    for name, weight in lora_parameters(engine.backbone.model).items():
        assert torch.equal(weight, there[name]), name
    return engine


def card_of(result: dict[str, Any]) -> dict[str, Any]:
    """What a reader wants to know of how it was made and how right it is."""
    methods = {
        name: {
            "flops": scores["flops"],
            "fields": {
                n: {k: f[k] for k in SCORES if k in f}
                for n, f in scores["fields"].items()
                if n in JUDGED
            },
        }
        | {k: scores[k] for k in ("valid_json", "contradictions") if k in scores}
        for name, scores in result["test"]["methods"].items()
    }
    return {
        "command": "loracast annotations train --out DIR",
        "data": "generated described series (loracast.series.describe_chunk), none shown twice",
        **{k: result[k] for k in FACTS},
        "training": {k: result["training"][k] for k in TRAINING},
        "test": {k: result["test"][k] for k in ("n", "seeds")} | {"methods": methods},
    }


def main() -> None:
    """Save, digest, write the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", metavar="DIR")
    parser.add_argument("--also", type=Path, metavar="FACTS.json")
    args = parser.parse_args()
    if args.folder is None:
        card = json.loads(SHIPPED_CARD.read_text(encoding="utf-8"))
        saved(SHIPPED_DIR, None)
    else:
        result = json.loads((args.folder / "result.json").read_text(encoding="utf-8"))
        card = card_of(result)
        saved(args.folder / "adapter", result["lengths"])
    if args.also is not None:
        card |= json.loads(args.also.read_text(encoding="utf-8"))
    card["sha256"] = {path.name: sha256_of_file(path) for path in sorted(SHIPPED_DIR.iterdir())}
    SHIPPED_CARD.write_text(json.dumps(card, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    total = sum(path.stat().st_size for path in SHIPPED_DIR.iterdir())
    print(f"{SHIPPED_DIR}: {total / 1e6:.2f} MB, {len(card['sha256'])} files")


if __name__ == "__main__":
    main()
