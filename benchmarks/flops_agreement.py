"""`exact` beside torch's own FLOP counter: every model, attention, vocabulary and kind of work.

    python benchmarks/flops_agreement.py [--small]

Small random models of six families, and Qwen2.5-0.5B's full shape under fake tensors (minutes;
`--small` leaves it out). Prints the matrix products that the counter sees in the real modules and
those that `exact` says, and ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "flops"))
from torch_counter import agreement_table, worst_error


def main() -> None:
    """Counts all cases."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="leave the full shape out")
    rows = agreement_table(full_shape=not parser.parse_args().small)
    print("| model | vocabulary | attention | work | counted | exact | error |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.model} | {row.vocabulary} | {row.attention} | {row.work} "
            f"| {row.counted:.6e} | {row.exact:.6e} | {100 * row.error:.4f} % |"
        )
    facts = {"cases": len(rows), "worst_error": worst_error(rows)}
    print(json.dumps({"benchmark": "flops_agreement"} | facts))


if __name__ == "__main__":
    main()
