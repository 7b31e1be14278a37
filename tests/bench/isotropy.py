"""Counting tokens for isotropy against the forward pass: seconds and ratio, taken in turns.

Run: python tests/bench/isotropy.py [--rows 32] [--tokens 128] [--repeats 3] [--model NAME]
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from statistics import median

import torch

from probes.isotropy import Isotropy
from workbench.methods.contracts import Context, Example
from workbench.model.loading import load_model
from workbench.model.tokens import Tokens


def seconds(run: Callable[[], object], device: torch.device) -> float:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    began = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="default")
    given = parser.parse_args()
    model = load_model(given.model)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.spec.d_vocab, (given.rows, given.tokens), generator=generator)
    tokens = Tokens(ids=ids, mask=torch.ones_like(ids, dtype=torch.bool)).to(model.device)
    examples = [Example(text=f"text {i}", source=f"row {i}") for i in range(given.rows)]
    probe, context = Isotropy(), Context(spec=model.spec, decode=model.decode)
    sites = probe.sites(model.spec)
    trace = model.run(tokens, read=sites)
    accumulator = probe.start(context)
    accumulator.add(trace, examples)
    runs: dict[str, Callable[[], object]] = {
        "forward": lambda: model.run(tokens),
        "add": lambda: accumulator.add(trace, examples),
        "result": lambda: accumulator.result(context),
    }
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(given.repeats):
        for name, run in runs.items():
            taken[name].append(seconds(run, model.device))
    middle = {name: median(values) for name, values in taken.items()}
    ratios = {f"{name}_over_forward": middle[name] / middle["forward"] for name in runs}
    state = sum(array.nbytes for array in accumulator.state().values())
    json.dump({**middle, **ratios, "state_mb": state / 1e6}, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
