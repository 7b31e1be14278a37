"""The generation loop against transformers' `generate`: seconds and ratio, taken in turns.

Run: python tests/bench/generation.py [--batches 1,32] [--tokens 48] [--repeats 3] [--model NAME]
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from statistics import median

import torch

from reasoning.policy_contrastive import ContrastiveSearch
from reasoning.policy_momentum import MomentumDecoding
from workbench.model.generation import GenerationOptions
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Policy, Sampling
from workbench.model.tokens import Tokens

TEXT = "The history of the city begins with a small settlement on the river, where traders met"


def ours(model: Model, batch: Tokens, n: int, policy: Policy) -> Callable[[], object]:
    options = GenerationOptions(stop_ids=())
    return lambda: model.generate(batch, limit=n, policy=policy, options=options)


def theirs(model: Model, batch: Tokens, n: int, **how: object) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return model.backend.module.generate(
                batch.ids,
                attention_mask=batch.mask.long(),
                max_new_tokens=n,
                min_new_tokens=n,
                **how,
            )

    return run


def seconds(run: Callable[[], object], device: torch.device) -> float:
    # On a shared machine CPU time is what the work costs; a GPU has to be waited for.
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    began = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def compare(model: Model, rows: int, n: int, repeats: int) -> dict[str, object]:
    batch = model.tokenize([TEXT] * rows, side="left")
    runs = {
        "greedy": ours(model, batch, n, GREEDY),
        "greedy_transformers": theirs(model, batch, n, do_sample=False),
        "sampling": ours(model, batch, n, Sampling(top_p=0.95)),
        "sampling_transformers": theirs(model, batch, n, do_sample=True, top_p=0.95, top_k=0),
        "momentum": ours(model, batch, n, MomentumDecoding()),
        "contrastive": ours(model, batch, n, ContrastiveSearch()),
    }
    ours(model, batch, 2, GREEDY)()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(seconds(run, model.device))
    middle = {name: median(found) for name, found in times.items()}
    return {
        "rows": rows,
        "tokens_per_row": n,
        "clock": "CPU seconds" if model.device.type == "cpu" else "wall seconds",
        "seconds_per_token": {name: t / (rows * n) for name, t in middle.items()},
        "throughput_ratio": {
            name: median(
                b / a for a, b in zip(times[name], times[f"{name}_transformers"], strict=True)
            )
            for name in ("greedy", "sampling")
        },
        "time_over_greedy": {
            name: middle[name] / middle["greedy"] for name in ("momentum", "contrastive")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="default")
    parser.add_argument("--batches", default="1,32")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    model = load_model(given.model)
    found = [
        compare(model, int(rows), given.tokens, given.repeats) for rows in given.batches.split(",")
    ]
    json.dump(found, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
