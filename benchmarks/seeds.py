"""One table from studies that differ in their seed: medians and ranges, never one lucky run.

    for seed in 0 1 2; do loracast study run --data FILE --seed $seed --out out/$seed; done
    python benchmarks/seeds.py out/0 out/1 out/2

Reads `result.json` of finished studies. Refuses studies of other data, split, context or budget in
one table; precision, threads and machine are named as the results name them. Ends in a JSON line.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median

from loracast.evaluation import ADAPTED, FULL_FINE_TUNING, RANDOM_START, ZERO_SHOT
from loracast.studies import StudyResult, read_result

ORDER = [row.name for row in (ADAPTED, FULL_FINE_TUNING, RANDOM_START, ZERO_SHOT)]


def alike(results: list[StudyResult]) -> dict[str, object]:
    """What all studies of a table share.

    Raises:
        SystemExit: they do not.
    """
    shared = []
    for result in results:
        data = result.data
        shared.append(
            {
                "data_sha256": data.sha256,
                "split": f"{data.n_train}/{data.n_val}/{data.n_test}",
                "evaluated_on": data.evaluated_on,
                "context": data.context,
                "convention": result.budget.convention,
                "limit_flops": result.budget.limit_flops,
                "base": result.model.base_hash,
            }
        )
    if any(facts != shared[0] for facts in shared):
        differ = [key for key in shared[0] if len({str(facts[key]) for facts in shared}) > 1]
        raise SystemExit(f"got studies that differ in {', '.join(differ)}; expected seeds alone")
    seeds = [result.seed for result in results]
    if len(set(seeds)) < len(seeds):
        raise SystemExit(f"got the seeds {seeds}; expected each once")
    return shared[0]


def rows_of(results: list[StudyResult]) -> dict[str, dict[str, object]]:
    """Method -> by horizon the errors and coverages of all seeds, and what adapting cost."""
    names = dict.fromkeys(name for result in results for name in result.test)
    found: dict[str, dict[str, object]] = {}
    for name in sorted(names, key=lambda n: ORDER.index(n) if n in ORDER else len(ORDER)):
        having = [result for result in results if name in result.test]
        horizons = sorted({h for r in having for h in r.test[name].horizons})
        scores = {
            h: {
                "mae": [r.test[name].horizons[h].mae for r in having],
                "coverage80": [r.test[name].horizons[h].coverage80 for r in having],
            }
            for h in horizons
        }
        stage = "final" if name == ADAPTED.name else name
        trained = [
            s for r in having for s in r.stages if s.name == stage and s.val_loss is not None
        ]
        found[name] = {
            "seeds": len(having),
            "horizons": scores,
            "flops": [s.flops for s in trained],
            "seconds": [s.seconds for s in trained],
        }
    return found


def span(values: list[float | None], form: str = "{:.4f}") -> str:
    """The median with its range; the value alone where all seeds agree."""
    known = [v for v in values if v is not None]
    if not known:
        return "-"
    low, middle, high = form.format(min(known)), form.format(median(known)), form.format(max(known))
    return middle if low == high else f"{middle} ({low} to {high})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    results = [read_result(folder / "result.json") for folder in arguments.folders]
    shared, rows = alike(results), rows_of(results)
    horizons = sorted({h for row in rows.values() for h in row["horizons"]})
    print("| method | " + " | ".join(f"{h} steps" for h in horizons) + " | FLOPs | seconds |")
    print("|---|" + "---|" * (len(horizons) + 2))
    for name, row in rows.items():
        cells = [span(row["horizons"][h]["mae"]) if h in row["horizons"] else "-" for h in horizons]
        flops, seconds = span(row["flops"], "{:.3g}"), span(row["seconds"], "{:.0f}")
        some = "" if row["seeds"] == len(results) else f" ({row['seeds']} of {len(results)} seeds)"
        print(f"| {name}{some} | {' | '.join(cells)} | {flops} | {seconds} |")
    bands = {
        name: [span(row["horizons"][h]["coverage80"], "{:.2f}") for h in horizons]
        for name, row in rows.items()
        if any(v is not None for h in row["horizons"].values() for v in h["coverage80"])
    }
    for name, cells in bands.items():
        print(f"80 % band of {name}: {' / '.join(cells)}")
    facts = {
        "benchmark": "seeds",
        **shared,
        "seeds": [result.seed for result in results],
        "chosen": [(result.details or {}).get("chosen") for result in results],
        "machine": sorted({str(result.machine) for result in results}),
        "spent_flops": [result.budget.spent_flops for result in results],
        "methods": rows,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
