"""What it costs to read every layer's residual stream, against a plain forward pass."""

import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from workbench.errors import BadOption
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.tokens import Tokens
from workbench.progress import Progress, silent
from workbench.runs.bench.capture import (
    CAPTURE_METHODS,
    CaptureMethod,
    capture_method,
    random_tokens,
)
from workbench.runs.bench.memory import peak_memory


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one way costs: seconds, ratios to plain forward, peak megabytes above the model.

    `ratio` is the median over repeats of the time divided by that of plain forward in the same
    repeat, with the lowest and the highest: processor time on a CPU, wall time elsewhere.
    `fixed_ms` is the extra time per call on 1 × 8 tokens, where little else is left.
    """

    way: str
    cpu_seconds: float
    wall_seconds: float
    ratio: float
    ratio_low: float
    ratio_high: float
    fixed_ms: float
    peak_mb: float


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One claim about the costs: what was measured, and the limit it must not exceed."""

    claim: str
    value: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the value is within the limit."""
        return self.value <= self.limit


class Times:
    """Processor and wall seconds of each way, repeat by repeat."""

    def __init__(self, seconds: Mapping[str, list[tuple[float, float]]], *, wall: bool) -> None:
        """Keep the seconds; `wall` says which clock comparisons use."""
        self._seconds = seconds
        self._clock = 1 if wall else 0

    def median(self, way: str) -> tuple[float, float]:
        """Return the median processor and wall seconds."""
        processor, wall = zip(*self._seconds[way], strict=True)
        return statistics.median(processor), statistics.median(wall)

    def ratios(self, way: str, other: str) -> list[float]:
        """Return the time of one way over that of another, both of the same repeat."""
        return [a / b for a, b in self._pairs(way, other)]

    def extra(self, way: str, other: str) -> float:
        """Return the median of how many seconds more one way takes than another."""
        return statistics.median(a - b for a, b in self._pairs(way, other))

    def _pairs(self, way: str, other: str) -> list[tuple[float, float]]:
        pairs = zip(self._seconds[way], self._seconds[other], strict=True)
        return [(a[self._clock], b[self._clock]) for a, b in pairs]


def bench_hooks(
    name: str = "default",
    *,
    batch: int = 32,
    length: int = 128,
    repeats: int = 5,
    device: str = "auto",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure every way of reading all layers, in turn within one run, and check the claims.

    Raises:
        BadOption: a size below one.
        ModelNotFound: no model of that name.
        EnvironmentProblem: the memory could not be measured.
    """
    sizes = {"batch": batch, "length": length, "repeats": repeats}
    if min(sizes.values()) < 1:
        raise BadOption(f"batch {batch}, length {length}, repeats {repeats}; expected at least 1")
    model = load_model(name, device=device)
    tokens = random_tokens(model, batch=batch, length=length)
    ways = {way: capture_method(way, model) for way in CAPTURE_METHODS}
    times = time_ways(model, ways, tokens, repeats=repeats, progress=progress)
    few = random_tokens(model, batch=1, length=8)
    fixed = time_ways(model, ways, few, repeats=30)
    peaks: dict[str, float] = {}
    for way in CAPTURE_METHODS:
        progress(len(peaks), len(CAPTURE_METHODS), f"memory of {way}")
        peaks[way] = peak_memory(name, way, batch=batch, length=length, device=device)
    bars = [Bar(**bar) for bar in _bars(times, fixed, peaks)]
    return {
        **ran_on(model),
        "attention": model.spec.attention,
        **sizes,
        "costs": [asdict(_cost(way, times, fixed, peaks[way])) for way in CAPTURE_METHODS],
        "bit_identical": _bit_identical(ways, tokens),
        "bars": told(bars),
    }


def ran_on(model: Model) -> dict[str, Any]:
    """Return the model, and what it ran on."""
    found = {name: getattr(model.spec, name) for name in ("device", "dtype")}
    return {"model": model.spec.name, **found, "threads": torch.get_num_threads()}


def told(bars: Iterable[Bar]) -> list[dict[str, Any]]:
    """Return bars as plain values, each with whether it was passed."""
    return [{**asdict(bar), "passed": bar.passed} for bar in bars]


def time_ways(
    model: Model,
    ways: Mapping[str, CaptureMethod],
    tokens: Tokens,
    *,
    repeats: int,
    progress: Progress = silent,
) -> Times:
    """Time every way on one batch, in turn; the order turns with every repeat, the first is lost.

    The first repeat is not counted: it fills caches.
    """
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    names = list(ways)
    for repeat in range(repeats + 1):
        for i in range(len(names)):
            way = names[(i + repeat) % len(names)]
            progress(repeat * len(names) + i, (repeats + 1) * len(names), way)
            spent = _spent(ways[way], tokens, model)
            if repeat:
                seconds[way].append(spent)
    return Times(seconds, wall=model.device.type != "cpu")


def _spent(way: CaptureMethod, tokens: Tokens, model: Model) -> tuple[float, float]:
    _wait(model)
    processor, wall = time.process_time(), time.perf_counter()
    kept = way(tokens)
    _wait(model)
    spent = time.process_time() - processor, time.perf_counter() - wall
    del kept
    return spent


def _wait(model: Model) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def _bit_identical(ways: Mapping[str, CaptureMethod], tokens: Tokens) -> bool:
    plain, captured = ways["plain"](tokens), ways["hooks"](tokens)
    return plain is not None and captured is not None and torch.equal(plain, captured)


def _cost(way: str, times: Times, fixed: Times, peak_mb: float) -> Cost:
    processor, wall = times.median(way)
    ratios = times.ratios(way, "plain")
    return Cost(
        way=way,
        cpu_seconds=processor,
        wall_seconds=wall,
        ratio=statistics.median(ratios),
        ratio_low=min(ratios),
        ratio_high=max(ratios),
        fixed_ms=1000 * fixed.extra(way, "plain"),
        peak_mb=peak_mb,
    )


def _bars(times: Times, fixed: Times, peaks: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """Yield the claims.

    All ways compute the same and hold the same states, so on a large batch the peers differ
    from hooks by less than repeated measurements do; there the claim is to be no worse within
    that noise. What they cost on top shows on a few tokens, where hooks must take less.
    """

    def time_over(way: str, other: str) -> float:
        return statistics.median(times.ratios(way, other))

    yield {"claim": "hooks / plain, time", "value": time_over("hooks", "plain"), "limit": 1.03}
    without = time_over("hooks, no logits", "plain")
    yield {"claim": "hooks without logits / plain, time", "value": without, "limit": 0.85}
    for peer in ("TransformerBridge cache", "nnsight trace"):
        yield {"claim": f"hooks / {peer}, time", "value": time_over("hooks", peer), "limit": 1.03}
        yield {
            "claim": f"hooks - {peer}, ms per call on 1 x 8 tokens",
            "value": 1000 * fixed.extra("hooks", peer),
            "limit": 0.0,
        }
        memory = peaks["hooks"] / peaks[peer]
        yield {"claim": f"hooks / {peer}, peak memory", "value": memory, "limit": 1.005}
