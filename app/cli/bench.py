"""`workbench bench`: what things cost, as ratios measured in one run."""

from collections.abc import Mapping
from typing import Any

import click

from app.cli.bench_sentences import sentence_reasoning
from app.cli.output import console, say, show_table, write_json
from app.cli.progress_bar import ProgressBar
from app.cli.run_flags import DEVICE


@click.group(epilog="\b\nExample:\n  workbench bench hooks --json")
def command() -> None:
    """Measure what things cost, side by side in one run."""


command.add_command(sentence_reasoning)


@command.command(
    epilog="\b\nExample:\n  workbench bench hooks --json\n"
    "  workbench bench hooks --model tiny:llama --batch 4 --repeats 2"
)
@click.option("--model", default="default", show_default=True, help="Model to measure on.")
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True, help="Rows.")
@click.option(
    "--length", type=click.IntRange(min=1), default=128, show_default=True, help="Tokens of a row."
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How often each way is timed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def hooks(as_json: bool, device: str | None, **sizes: Any) -> None:
    """Compare the ways of reading every layer with a plain forward pass.

    The exit code is 1 when a captured pass differs from a plain one, or a claim does not hold.
    """
    from workbench.runs.bench.hooks import bench_hooks

    with ProgressBar() as progress:
        found = bench_hooks(sizes.pop("model"), device=device or "auto", progress=progress, **sizes)
    if as_json:
        write_json(found)
    else:
        _draw(found)
    if not (found["bit_identical"] and all(bar["passed"] for bar in found["bars"])):
        say("not every claim holds here", style="red")
        raise click.exceptions.Exit(1)


hooks.params.append(DEVICE)


def _draw(found: Mapping[str, Any]) -> None:
    from rich.text import Text

    from workbench.result.tables import Column, Table

    columns = {
        "ratio": Column(help="Time over plain forward.", low="ratio_low", high="ratio_high"),
        "cpu_seconds": Column(unit="s"),
        "wall_seconds": Column(unit="s"),
        "fixed_ms": Column(unit="ms"),
        "peak_mb": Column(unit="MB"),
    }
    facts = ("model", "device", "dtype", "attention", "threads", "batch", "length", "repeats")
    out = console()
    out.print(Text(" · ".join(f"{name} {found[name]}" for name in facts), style="dim"))
    show_table(Table.from_rows(found["costs"], columns), title="costs", wrap=True)
    show_table(Table.from_rows(found["bars"]), title="claims", wrap=True)
    same = "yes" if found["bit_identical"] else "NO"
    out.print(Text(f"a captured forward pass is bit-identical to a plain one: {same}"))


@command.command(
    name="critical-tokens",
    epilog="\b\nExample:\n  workbench bench critical-tokens --json\n"
    "  workbench bench critical-tokens --trajectories 2 --draws 16 --dtype bfloat16",
)
@click.option("--model", default="default", show_default=True, help="Model to measure on.")
@click.option("--dtype", default="auto", show_default=True, help="Number format of the weights.")
@click.option("--task", default="", help="Task; by default the probe's own.")
@click.option(
    "--trajectories",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Wrong responses to search.",
)
@click.option(
    "--draws",
    type=click.IntRange(min=8),
    default=64,
    show_default=True,
    help="Continuations of a position.",
)
@click.option(
    "--new-tokens",
    type=click.IntRange(min=4),
    default=32,
    show_default=True,
    help="Limit of a response.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every draw.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def critical_tokens(
    as_json: bool, device: str | None, model: str, dtype: str, **sizes: Any
) -> None:
    """Compare the modes of the critical-token search with exhaustive rollouts.

    Draws, wall time and agreement of every mode on the same wrong responses; the exit code is 1
    when a claim does not hold.
    """
    from workbench.runs.bench.critical import CriticalBench, bench_critical
    from workbench.runs.spec import ModelRef

    reference = ModelRef(name=model, dtype=dtype, device=device or "auto")
    with ProgressBar() as progress:
        found = bench_critical(CriticalBench(model=reference, **sizes), progress=progress)
    if as_json:
        write_json(found)
    else:
        _draw_modes(found)
    if not all(bar["passed"] for bar in found["bars"]):
        say("not every claim holds here", style="red")
        raise click.exceptions.Exit(1)


critical_tokens.params.append(DEVICE)


def _draw_modes(found: Mapping[str, Any]) -> None:
    from rich.text import Text

    from workbench.result.tables import Column, Table

    facts = ("model", "dtype", "device", "task", "trajectories", "draws_per_position")
    out = console()
    out.print(Text(" · ".join(f"{name} {found[name]}" for name in facts), style="dim"))
    rows = [{"mode": mode, **row} for mode, row in found["modes"].items()]
    columns = {"seconds": Column("s"), "draws": Column("draws"), "new_tokens": Column("tokens")}
    show_table(Table.from_rows(rows, columns), title="modes", wrap=True)
    show_table(Table.from_rows(found["bars"]), title="claims", wrap=True)


@command.command(
    epilog="\b\nExample:\n  workbench bench latent --json\n"
    "  workbench bench latent --model tiny:llama --repeats 2"
)
@click.option("--model", default="default", show_default=True, help="Model to measure on.")
@click.option("--dtype", default="auto", show_default=True, help="Number format of the weights.")
@click.option(
    "--new-tokens",
    type=click.IntRange(min=1),
    default=48,
    show_default=True,
    help="Tokens generated in each row.",
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How often each way is timed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def latent(as_json: bool, device: str | None, model: str, **sizes: Any) -> None:
    """Compare hybrid generation with plain generation, and the loop with transformers.

    The exit code is 1 when a claim does not hold.
    """
    from workbench.runs.bench.latent import bench_latent

    with ProgressBar() as progress:
        found = bench_latent(model, device=device or "auto", progress=progress, **sizes)
    if as_json:
        write_json(found)
    else:
        _draw_batches(found)
    if not all(bar["passed"] for bar in found["bars"]):
        say("not every claim holds here", style="red")
        raise click.exceptions.Exit(1)


latent.params.append(DEVICE)


def _draw_batches(found: Mapping[str, Any]) -> None:
    from rich.text import Text

    from workbench.result.tables import Column, Table

    facts = ("model", "device", "dtype", "threads", "new_tokens", "repeats", "clock")
    out = console()
    out.print(Text(" · ".join(f"{name} {found[name]}" for name in facts), style="dim"))
    columns = {
        name: Column(low=f"{name}_low", high=f"{name}_high")
        for name in ("hybrid_over_plain", "loop_rate_over_generate")
    }
    show_table(Table.from_rows(found["batches"], columns), title="batches", wrap=True)
    show_table(Table.from_rows(found["bars"]), title="claims", wrap=True)


@command.command(
    epilog="\b\nExample:\n  workbench bench batch --json\n"
    "  workbench bench batch --plan plan.toml --rows 2000 --blocks 4"
)
@click.option("--plan", metavar="SPEC.toml", help="Plan of probes; by default a small one.")
@click.option(
    "--rows", type=click.IntRange(min=1), default=48, show_default=True, help="Rows to time."
)
@click.option(
    "--blocks",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Blocks of rows; each is sorted by itself and makes one shard.",
)
@click.option(
    "--memory-rows",
    type=click.IntRange(min=0),
    nargs=2,
    default=(16, 64),
    show_default=True,
    help="Two numbers of rows whose peak memory is compared; 0 0 leaves that out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def batch(as_json: bool, plan: str | None, **sizes: Any) -> None:
    """Compare a batch of probes with bare loops of the model over the same rows.

    The exit code is 1 when a claim does not hold.
    """
    from pathlib import Path

    from workbench.batch.bench import PLAN, BatchBench, bench_batch
    from workbench.batch.plan import BatchPlan, read_plan

    chosen = read_plan(Path(plan)) if plan else BatchPlan.from_toml(PLAN)
    with ProgressBar() as progress:
        found = bench_batch(BatchBench(plan=chosen, **sizes), progress=progress)
    if as_json:
        write_json(found)
    else:
        _draw_batch(found)
    if not all(bar["passed"] for bar in found["bars"]):
        say("not every claim holds here", style="red")
        raise click.exceptions.Exit(1)


def _draw_batch(found: Mapping[str, Any]) -> None:
    from workbench.result.tables import Table

    rows = [
        {"quantity": name, "value": str(value)}
        for name, value in found.items()
        if name not in ("bars", "environment")
    ]
    show_table(Table.from_rows(rows), title="batch", most_rows=len(rows))
    show_table(Table.from_rows(found["bars"]), title="claims", wrap=True)
