"""Series per second of sampled forecasts, beside Hugging Face `generate` on the same model.

    python benchmarks/forecast.py [--series 100] [--peer-series 10] [--repeats 3] [--threads 1]

Both get the same prompts, the same model and the same number of new tokens. `generate` samples
freely (it has no grammar to obey) from a full softmax; it runs on fewer series, at the best of
several batch sizes. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from loracast.codec import make_codec
from loracast.decoding import MAX_ROWS, Sampled, TokenAutomaton, sample_paths
from loracast.flops import Architecture, get_convention

CONTEXT, HORIZON, SAMPLES, VOCAB = 70, 20, 20, 270
PEER_BATCHES = (1, 2, 5)


def build(vocab: int) -> Any:
    """A Qwen2 of 4.7M parameters in its layers, random weights, evaluation mode."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=vocab,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        initializer_range=0.06,
    )
    return Qwen2ForCausalLM(config).eval()


def prompts_and_automaton(n_series: int) -> tuple[list[np.ndarray], TokenAutomaton]:
    """Noisy cycles of two channels as `compact` text, and what may follow."""
    codec = make_codec("compact")
    rng = np.random.default_rng(0)
    steps = np.arange(CONTEXT)[:, None]
    prompts = []
    for _ in range(n_series):
        period, phase = rng.uniform(10, 40), rng.uniform(0, 6, size=(1, 2))
        values = (
            2 + np.sin(2 * np.pi * steps / period + phase) + 0.1 * rng.normal(size=(CONTEXT, 2))
        )
        prompts.append(codec.encode(values, codec.fit(values)))
    grammar = codec.grammar(2)
    ids = np.arange(len(codec.alphabet))
    return prompts, TokenAutomaton.from_grammar(grammar, ids, VOCAB)


def timed(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result, its wall seconds and its CPU seconds (all threads)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def ours(
    model: Any, prompts: list[np.ndarray], automaton: TokenAutomaton, **options: Any
) -> Sampled:
    """Twenty paths of twenty steps after each prompt."""
    keys = options.pop("keys", [f"series {i}" for i in range(len(prompts))])
    return sample_paths(
        model, prompts, automaton, HORIZON, n_samples=SAMPLES, seed=0, keys=keys, **options
    )


def peer(model: Any, prompts: list[np.ndarray], new_tokens: int, batch: int) -> None:
    """The same amount of text from `generate`, `batch` prompts x 20 samples at a time."""
    for first in range(0, len(prompts), batch):
        ids = torch.from_numpy(np.stack(prompts[first : first + batch]))
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=SAMPLES,
            max_new_tokens=new_tokens,
            eos_token_id=None,
            pad_token_id=0,
        )
        if out.shape != (SAMPLES * len(ids), ids.shape[1] + new_tokens):
            raise RuntimeError(f"generate gave {tuple(out.shape)}; it stopped early")


def peaks() -> tuple[float, float]:
    """Matmul FLOP/s in fp32 and bytes/s of a stream, both the best of several."""
    a = torch.randn(1024, 1024)
    big = torch.empty(1 << 26)
    matmul = min(timed(lambda: a @ a)[1] for _ in range(30))
    stream = min(timed(lambda: big.mul_(1.0))[1] for _ in range(8))
    return 2 * 1024**3 / matmul, 2 * big.numel() * 4 / stream


def floor(model: Any, found: Sampled) -> dict[str, float]:
    """The least seconds that the counted work can take here, from measured peaks."""
    flops_peak, bytes_peak = peaks()
    arch, exact = Architecture.from_config(model.config), get_convention("exact")
    cost = exact.decode(arch, found.positions, found.cached, found.head_positions)
    for rows, length in found.prefill:
        cost = cost + exact.forward(arch, rows, length, head_positions=1)
    n_rows = SAMPLES * sum(rows for rows, _ in found.prefill)
    length = found.prefill[0][1]
    config = model.config
    kv_bytes = 2 * config.num_hidden_layers * config.num_key_value_heads
    kv_bytes *= config.hidden_size // config.num_attention_heads * 4
    groups = -(-n_rows // (MAX_ROWS // SAMPLES * SAMPLES))
    forwards = found.head_positions / n_rows
    fed = found.positions / n_rows
    # Per forward: the weights, each prefix once, each suffix once (half its final length).
    weights = 4 * sum(p.numel() for p in model.parameters())
    moved = forwards * groups * weights
    moved += (
        forwards * (n_rows / SAMPLES) * length * kv_bytes + forwards * n_rows * fed / 2 * kv_bytes
    )
    return {
        "flops": cost.total,
        "matmul_flops": cost.matmul,
        "bytes": moved,
        "peak_gflops_per_second": flops_peak / 1e9,
        "peak_gbytes_per_second": bytes_peak / 1e9,
        "compute_seconds": cost.matmul / flops_peak,
        "memory_seconds": moved / bytes_peak,
    }


def invariance(
    model: Any, prompts: list[np.ndarray], automaton: TokenAutomaton, n: int
) -> dict[str, Any]:
    """The first n prompts alone and among all: how many paths agree, how far logits differ."""
    seen: list[list[np.ndarray]] = []
    sampling = sys.modules[sample_paths.__module__]
    plain = sampling.choose

    def recording(logits: np.ndarray, *rest: Any, **options: Any) -> np.ndarray:
        seen[-1].append(logits)
        return plain(logits, *rest, **options)

    try:
        sampling.choose = recording
        seen.append([])
        whole = ours(model, prompts, automaton, max_rows=10**9)
        among = seen[-1]
        same, worst, total = 0, 0.0, 0
        for i in range(n):
            seen.append([])
            alone = ours(model, prompts[i : i + 1], automaton, keys=[f"series {i}"])
            equal = [
                np.array_equal(a, b) for a, b in zip(alone.paths[0], whole.paths[i], strict=True)
            ]
            same, total = same + sum(equal), total + len(equal)
            rows = slice(i * SAMPLES, (i + 1) * SAMPLES)
            for one, many in zip(seen.pop(), among, strict=True):
                worst = max(worst, float(np.abs(one - many[rows])[np.array(equal)].max(initial=0)))
    finally:
        sampling.choose = plain
    spread = float(np.std(among[0]))
    return {
        "prompts_alone": n,
        "prompts_together": len(prompts),
        "paths_identical": same / total,
        "worst_logit_difference": worst,
        "logit_std": spread,
    }


def main() -> None:
    """Measure, print a table, end with one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--peer-series", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-batch", type=int, help="skip the trial of batch sizes")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--max-rows", type=int, default=MAX_ROWS)
    parser.add_argument("--invariance", type=int, default=5, help="prompts to decode alone too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    model = build(VOCAB)
    prompts, automaton = prompts_and_automaton(args.series)
    few = prompts[: args.peer_series]
    new_tokens = HORIZON * automaton.max_tokens_per_step
    load_before = os.getloadavg()[0]

    tried: dict[int, float] = {}
    if args.peer_batch is None:
        trial = few[: max(PEER_BATCHES)]
        for size in PEER_BATCHES:
            tried[size] = timed(lambda b=size: peer(model, trial, 24, b))[2] / len(trial)
    batch = args.peer_batch or min(tried, key=lambda b: tried[b])
    ours(model, few[:2], automaton)

    walls: dict[str, list[float]] = {"loracast": [], "bfloat16": [], "generate": []}
    cpus: dict[str, list[float]] = {"loracast": [], "bfloat16": [], "generate": []}
    for _ in range(args.repeats):  # interleaved, so that other load falls on all alike
        found, wall, cpu = timed(lambda: ours(model, prompts, automaton, max_rows=args.max_rows))
        walls["loracast"].append(len(prompts) / wall)
        cpus["loracast"].append(len(prompts) / cpu)
        half, wall, cpu = timed(
            lambda: ours(model, few, automaton, max_rows=args.max_rows, dtype=torch.bfloat16)
        )
        walls["bfloat16"].append(len(few) / wall)
        cpus["bfloat16"].append(len(few) / cpu)
        _, wall, cpu = timed(lambda: peer(model, few, new_tokens, batch))
        walls["generate"].append(len(few) / wall)
        cpus["generate"].append(len(few) / cpu)
        print({name: [round(v, 4) for v in values] for name, values in walls.items()}, flush=True)

    median = {name: statistics.median(v) for name, v in walls.items()}
    median_cpu = {name: statistics.median(v) for name, v in cpus.items()}
    bound = floor(model, found)
    seconds = len(prompts) / median["loracast"]
    least = max(bound["compute_seconds"], bound["memory_seconds"])
    agree = np.mean(
        [
            np.array_equal(a, b)
            for x, y in zip(half.paths, found.paths, strict=False)
            for a, b in zip(x, y, strict=True)
        ]
    )
    result = {
        "benchmark": "forecast",
        "model": "random Qwen2: hidden 256, 6 layers, 4 heads, 2 kv heads, mlp 768, vocab 270",
        "series": args.series,
        "peer_series": len(few),
        "context_tokens": len(prompts[0]),
        "new_tokens": new_tokens,
        "samples": SAMPLES,
        "threads": args.threads,
        "repeats": args.repeats,
        "load_before": load_before,
        "method": found.method,
        "series_per_second": median,
        "series_per_cpu_second": median_cpu,
        "series_per_second_all": walls,
        "peer_batch": batch,
        "peer_batches_cpu_seconds_per_series_24_tokens": tried,
        "ratio": median["loracast"] / median["generate"],
        "ratio_cpu": median_cpu["loracast"] / median_cpu["generate"],
        "floor": bound,
        "floor_seconds": least,
        "gap": seconds / least,
        "bfloat16_paths_identical": float(agree),
        "invariance": invariance(model, prompts, automaton, args.invariance)
        if args.invariance
        else None,
    }
    for name in walls:
        print(
            f"{name:10s} {median[name]:8.3f} series/s  {median_cpu[name]:8.3f} series/CPU-s  "
            f"({'all' if name == 'loracast' else len(few)} series, median of {args.repeats})"
        )
    print(f"ratio {result['ratio']:.2f} by wall, {result['ratio_cpu']:.2f} by CPU time")
    print(
        f"floor {least:.1f} s (compute {bound['compute_seconds']:.1f}, memory "
        f"{bound['memory_seconds']:.1f}), measured {seconds:.1f} s, gap {result['gap']:.2f}"
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
