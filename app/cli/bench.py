"""`workbench bench`: what things cost, as ratios measured in one run."""

from typing import TYPE_CHECKING, Any

import click

from app.cli.bench_reasoners import reasoners
from app.cli.bench_report import DTYPE, JSON, MODEL, count, repeats, report
from app.cli.bench_sentences import sentence_reasoning
from app.cli.progress_bar import ProgressBar
from app.cli.run_flags import DEVICE

if TYPE_CHECKING:
    from workbench.batch.plan import BatchPlan


@click.group(epilog="\b\nExample:\n  workbench bench hooks --json")
def command() -> None:
    """Measure what things cost, side by side in one run."""


command.add_command(reasoners)
command.add_command(sentence_reasoning)


@command.command(
    epilog="\b\nExample:\n  workbench bench hooks --json\n"
    "  workbench bench hooks --model tiny:llama --batch 4 --repeats 2"
)
@MODEL
@count("--batch", 32, "Rows.")
@count("--length", 128, "Tokens of a row.")
@repeats(5)
@JSON
def hooks(as_json: bool, device: str | None, **sizes: Any) -> None:
    """Compare the ways of reading every layer with a plain forward pass.

    The exit code is 1 when a captured pass differs from a plain one, or a claim does not hold.
    """
    from workbench.result.tables import Column
    from workbench.runs.bench.hooks import bench_hooks

    with ProgressBar() as progress:
        found = bench_hooks(sizes.pop("model"), device=device or "auto", progress=progress, **sizes)
    same = "yes" if found["bit_identical"] else "NO"
    report(
        found,
        ("model", "device", "dtype", "attention", "threads", "batch", "length", "repeats"),
        "costs",
        as_json=as_json,
        columns={
            "ratio": Column(help="Time over plain forward.", low="ratio_low", high="ratio_high"),
            "cpu_seconds": Column(unit="s"),
            "wall_seconds": Column(unit="s"),
            "fixed_ms": Column(unit="ms"),
            "peak_mb": Column(unit="MB"),
        },
        line=f"a captured forward pass is bit-identical to a plain one: {same}",
    )


@command.command(
    name="critical-tokens",
    epilog="\b\nExample:\n  workbench bench critical-tokens --json\n"
    "  workbench bench critical-tokens --trajectories 2 --draws 16 --dtype bfloat16",
)
@MODEL
@DTYPE
@click.option("--task", default="", help="Task; by default the probe's own.")
@count("--trajectories", 10, "Wrong responses to search.")
@count("--draws", 64, "Continuations of a position.", least=8)
@count("--new-tokens", 32, "Limit of a response.", least=4)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every draw.")
@JSON
def critical_tokens(
    as_json: bool, device: str | None, model: str, dtype: str, **sizes: Any
) -> None:
    """Compare the modes of the critical-token search with exhaustive rollouts.

    Draws, wall time and agreement of every mode on the same wrong responses; the exit code is 1
    when a claim does not hold.
    """
    from workbench.result.tables import Column
    from workbench.runs.bench.critical import CriticalBench, bench_critical
    from workbench.runs.spec import ModelRef

    reference = ModelRef(name=model, dtype=dtype, device=device or "auto")
    with ProgressBar() as progress:
        found = bench_critical(CriticalBench(model=reference, **sizes), progress=progress)
    report(
        found,
        ("model", "dtype", "device", "task", "trajectories", "draws_per_position"),
        "modes",
        as_json=as_json,
        rows=[{"mode": mode, **row} for mode, row in found["modes"].items()],
        columns={
            "seconds": Column("s"),
            "draws": Column("draws"),
            "new_tokens": Column("tokens"),
        },
    )


@command.command(
    epilog="\b\nExample:\n  workbench bench latent --json\n"
    "  workbench bench latent --model tiny:llama --repeats 2"
)
@MODEL
@DTYPE
@count("--new-tokens", 48, "Tokens generated in each row.")
@repeats(5)
@JSON
def latent(as_json: bool, device: str | None, model: str, **sizes: Any) -> None:
    """Compare hybrid generation with plain generation, and the loop with transformers.

    The exit code is 1 when a claim does not hold.
    """
    from workbench.result.tables import Column
    from workbench.runs.bench.latent import bench_latent

    with ProgressBar() as progress:
        found = bench_latent(model, device=device or "auto", progress=progress, **sizes)
    report(
        found,
        ("model", "device", "dtype", "threads", "new_tokens", "repeats", "clock"),
        "batches",
        as_json=as_json,
        columns={
            name: Column(low=f"{name}_low", high=f"{name}_high")
            for name in ("hybrid_over_plain", "loop_rate_over_generate")
        },
    )


@command.command(
    epilog="\b\nExample:\n  workbench bench batch --json\n"
    "  workbench bench batch --plan plan.toml --rows 2000 --blocks 4"
)
@click.option("--plan", metavar="SPEC.toml", help="Plan of probes; by default a small one.")
@count("--rows", 48, "Rows to time.")
@count("--blocks", 1, "Blocks of rows; each is sorted by itself and makes one shard.")
@click.option(
    "--memory-rows",
    type=click.IntRange(min=0),
    nargs=2,
    default=(16, 64),
    show_default=True,
    help="Two numbers of rows whose peak memory is compared; 0 0 leaves that out.",
)
@click.option(
    "--growth", is_flag=True, help="Time a cheap model at several numbers of rows and layers."
)
@JSON
def batch(as_json: bool, plan: str | None, growth: bool, **sizes: Any) -> None:
    """Compare a batch of probes with bare loops of the model over the same rows.

    With --growth: how processor time and memory grow with 500, 2,000 and 8,000 rows and with 6, 30
    and 60 layers, of the plan's probes on a model that costs next to nothing; the other sizes are
    not used. The exit code is 1 when a claim does not hold.
    """
    from pathlib import Path

    from workbench.batch.bench import PLAN, BatchBench, bench_batch
    from workbench.batch.plan import BatchPlan, read_plan

    chosen = read_plan(Path(plan)) if plan else BatchPlan.from_toml(PLAN)
    if growth:
        _grow(chosen, as_json=as_json)
        return
    with ProgressBar() as progress:
        found = bench_batch(BatchBench(plan=chosen, **sizes), progress=progress)
    quantities = [
        {"quantity": name, "value": str(value)}
        for name, value in found.items()
        if name not in ("bars", "environment")
    ]
    report(found, (), "batch", as_json=as_json, rows=quantities)


def _grow(plan: "BatchPlan", *, as_json: bool) -> None:
    from workbench.batch.growth import bench_growth

    with ProgressBar() as progress:
        found = bench_growth(plan, progress=progress)
    report(found, ("probes",), "growth", as_json=as_json)


@command.command(
    epilog="\b\nExample:\n  workbench bench host --json\n"
    "  workbench bench host --model default --texts 8"
)
@click.option(
    "--model",
    default="cheap",
    show_default=True,
    help="Model to measure on; cheap is one that is built for it.",
)
@count("--texts", 40, "Texts of the one pass.")
@count("--layers", 30, "Layers of the cheap model.")
@JSON
def host(as_json: bool, model: str, **sizes: Any) -> None:
    """Count what the host asks of an accelerator, on one that is not there.

    Kernels launched, blocking syncs and copies to the device, of one forward pass and of one token
    step, bare and under probes. Tensors of a pretend device are computed on the processor; the
    counts do not depend on the machine. With --json every line of code that asked is named.
    """
    from workbench.batch.host_bench import bench_host

    with ProgressBar() as progress:
        found = bench_host(model, progress=progress, **sizes)
    report(found, ("model", "layers", "texts", "rows"), "host", as_json=as_json)


for measured in (hooks, critical_tokens, latent):
    measured.params.append(DEVICE)
