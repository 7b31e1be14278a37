"""What latent inputs cost: hybrid generation, plain generation by the same loop, `generate`."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from workbench.errors import BadOption
from workbench.latent.gate import Gate, GateShape
from workbench.latent.inputs import GatedMixture
from workbench.latent.thinking import LatentThinking
from workbench.model.generation import GenerationOptions
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Policy, Sampling
from workbench.model.tokens import Tokens
from workbench.progress import Progress, silent
from workbench.runs.bench.hooks import Bar, ran_on, told

BATCHES = (1, 8, 32)
_TEXT = "The history of the city begins with a small settlement on the river, where traders met"
_FREE = GenerationOptions(stop_ids=())
CaptureMethod = Callable[[], object]


def bench_latent(
    name: str = "default",
    *,
    new_tokens: int = 48,
    repeats: int = 5,
    device: str = "auto",
    dtype: str = "auto",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Time hybrid, plain and transformers' generation in turn within one run; check the claims.

    All are greedy and make as many tokens. The gate is a fresh one, always thinking, so every
    step pays for it. Times are processor seconds on a CPU and wall seconds elsewhere; ratios are
    medians over repeats of times in the same repeat.

    Raises:
        BadOption: a size below one.
        ModelNotFound: no model of that name.
    """
    if min(new_tokens, repeats) < 1:
        raise BadOption(f"{new_tokens} new tokens, {repeats} repeats; expected at least 1")
    model = load_model(name, device=device, dtype=dtype)
    gate = Gate(model.spec.d_model, GateShape(), generator=torch.Generator()).to(model.device)
    rows, bars = [], []
    for i, batch in enumerate(BATCHES):
        progress(i, len(BATCHES), "batches")
        seconds = _timed(model, _ways(model, gate, batch, new_tokens), repeats)
        rows.append(_row(batch, seconds, new_tokens))
        bars += _bars(batch, rows[-1])
    progress(len(BATCHES), len(BATCHES), "batches")
    return {
        **ran_on(model),
        "new_tokens": new_tokens,
        "repeats": repeats,
        "clock": "processor seconds" if model.device.type == "cpu" else "wall seconds",
        "batches": rows,
        "bars": told(bars),
    }


def _ways(model: Model, gate: Gate, batch: int, n: int) -> dict[str, CaptureMethod]:
    tokens = model.tokenize([_TEXT] * batch, side="left")
    hybrid = LatentThinking(
        inputs=GatedMixture(gate=gate), sampling=Sampling(temperature=0.5), greedy=True
    )
    return {
        "plain": _loop(model, tokens, GREEDY, n),
        "hybrid": _loop(model, tokens, hybrid, n),
        "generate": _generate(model, tokens, n),
    }


def _loop(model: Model, tokens: Tokens, policy: Policy, n: int) -> CaptureMethod:
    return lambda: model.generate(tokens, policy=policy, limit=n, options=_FREE)


def _generate(model: Model, tokens: Tokens, n: int) -> CaptureMethod:
    module: Any = model.backend.module

    def run() -> object:
        with torch.no_grad():
            return module.generate(
                tokens.ids,
                attention_mask=tokens.mask.long(),
                do_sample=False,
                max_new_tokens=n,
                min_new_tokens=n,
                eos_token_id=None,
            )

    return run


def _timed(model: Model, ways: Mapping[str, CaptureMethod], repeats: int) -> dict[str, list[float]]:
    """Time every way in turn, the order turning; the first repeat fills caches and is lost."""
    clock = time.process_time if model.device.type == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    names = list(ways)
    for repeat in range(repeats + 1):
        for i in range(len(names)):
            way = names[(i + repeat) % len(names)]
            began = clock()
            ways[way]()
            if model.device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:
                seconds[way].append(clock() - began)
    return seconds


def _row(batch: int, seconds: Mapping[str, list[float]], n: int) -> dict[str, Any]:
    def ratio(way: str, other: str) -> list[float]:
        return [a / b for a, b in zip(seconds[way], seconds[other], strict=True)]

    hybrid, loop = ratio("hybrid", "plain"), ratio("generate", "plain")
    return {
        "batch": batch,
        **{
            f"{way}_tokens_per_second": batch * n / statistics.median(spent)
            for way, spent in seconds.items()
        },
        "hybrid_over_plain": statistics.median(hybrid),
        "hybrid_over_plain_low": min(hybrid),
        "hybrid_over_plain_high": max(hybrid),
        "loop_rate_over_generate": statistics.median(loop),
        "loop_rate_over_generate_low": min(loop),
        "loop_rate_over_generate_high": max(loop),
    }


def _bars(batch: int, row: Mapping[str, Any]) -> list[Bar]:
    bars = []
    if batch >= 8:
        claim = f"hybrid / plain generation, time at batch {batch}"
        bars.append(Bar(claim=claim, value=row["hybrid_over_plain"], limit=1.1))
    if batch != 8:
        claim = f"transformers / loop, tokens per second at batch {batch}"
        bars.append(Bar(claim=claim, value=1 / row["loop_rate_over_generate"], limit=1 / 0.9))
    return bars
