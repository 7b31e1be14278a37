"""`workbench models`: what can be loaded here, what it is, and making it ready."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from app.cli.output import Form, console, say, show_table, takes_form, write_json, write_rows
from app.cli.progress_bar import ProgressBar
from app.cli.run_flags import BACKEND, DEVICE, DTYPE

if TYPE_CHECKING:
    from workbench.model.model import Model

_PARITY = (
    "backend", "attention", "check", "batch", "reference", "largest", "allowed", "outcome", "note",
)  # fmt: skip


@click.group(epilog="\b\nExample:\n  workbench models show default")
def command() -> None:
    """List models, look at one, fetch one before it is needed."""


@command.command("list", epilog="\b\nExample:\n  workbench models list --json")
@takes_form
def list_models(form: Form) -> None:
    """List the models that load here without a download; any hub id or folder loads too."""
    from workbench.model.catalog import available_models

    rows = [
        {
            "name": m.name,
            "origin": m.origin,
            "ready": m.ready,
            "megabytes": round(m.n_bytes / 1e6, 1) if m.n_bytes else None,
            "note": m.note,
        }
        for m in available_models()
    ]
    write_rows(rows, form)


@command.command(
    epilog="\b\nExample:\n  workbench models show default --parity\n  workbench models show "
    "./my-model --backend nnsight --json"
)
@click.argument("name")
@click.option("--parity", is_flag=True, help="Compare the backends with a plain forward pass.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, parity: bool, as_json: bool, **where: Any) -> None:
    """Show a model's sizes, its sites, and what its backend can do there.

    Every site is tried on a few tokens; what fails is shown with the reason. With --parity, every
    backend is compared with a plain forward pass; the exit code is 1 when one differs by more
    than is allowed.
    """
    from workbench.runs.models import shared_model
    from workbench.runs.spec import ModelRef

    chosen = {key: value for key, value in where.items() if value is not None}
    with ProgressBar() as progress:
        model = shared_model(ModelRef(name=name, **chosen), progress)
    facts: dict[str, Any] = {**vars(model.spec), "sites": _sites(model)}
    if parity:
        facts["parity"] = _parity(name, chosen)
    if as_json:
        write_json(facts)
    else:
        _draw(facts)
    if not all(row["passed"] for row in facts.get("parity", ())):
        say("a backend differs from the plain forward pass by more than is allowed", style="red")
        raise click.exceptions.Exit(1)


show.params.extend((BACKEND, DEVICE, DTYPE))


@command.command(epilog="\b\nExample:\n  workbench models fetch default")
@click.argument("name")
@click.option("--revision", help="Branch, tag or commit of a hub model.")
def fetch(name: str, revision: str | None) -> None:
    """Convert or download a model now, so that loading it later takes seconds."""
    from workbench.model.catalog import fetch_model

    with ProgressBar() as progress:
        found = fetch_model(name, progress, revision=revision)
    say(f"{found.name} is ready: {found.n_bytes / 1e6:.1f} MB in {found.note}")


def _sites(model: "Model") -> list[dict[str, Any]]:
    from workbench.model.offers import site_offers

    return [
        {
            "kind": str(offer.kind),
            "address": f"{offer.kind}.LAYER" if offer.kind.has_layer else str(offer.kind),
            "layers": offer.where,
            "shape": _shape(offer.kind, model),
            "read": offer.read.works,
            "edit": offer.edit.works,
            "because": offer.reason,
        }
        for offer in site_offers(model)
    ]


def _shape(kind: Any, model: "Model") -> str:
    from workbench.model.sites import Kind

    spec = model.spec
    if kind is Kind.ATTN_PATTERN:
        return f"batch {spec.n_heads} pos pos"
    if kind in (Kind.K, Kind.V):
        return f"batch pos {spec.n_key_value_heads} {spec.d_head}"
    if kind.has_heads:
        return f"batch pos {spec.n_heads} {spec.d_head}"
    return f"batch pos {spec.d_vocab if kind is Kind.LOGITS else spec.d_model}"


def _parity(name: str, where: Mapping[str, str]) -> list[dict[str, Any]]:
    from workbench.model.parity import parity_table

    placed: dict[str, Any] = {key: where[key] for key in ("device", "dtype") if key in where}
    with ProgressBar() as progress:
        rows = parity_table(name, progress=progress, **placed)
    return [{**vars(row), "passed": row.passed, "outcome": row.outcome} for row in rows]


def _draw(facts: Mapping[str, Any]) -> None:
    from rich.text import Text

    from app.cli.escaping import visible
    from workbench.result.tables import Table

    out = console()
    for key, value in facts.items():
        if not isinstance(value, list):
            shown = f"{value:,}" if isinstance(value, int) else visible(str(value))
            out.print(Text.assemble((f"{key.replace('_', ' '):<20}", "dim"), shown))
    out.print()
    show_table(Table.from_rows(facts["sites"]), title="sites", wrap=True)
    if "parity" in facts:
        compared = Table.from_rows(facts["parity"]).pick(_PARITY)
        show_table(compared, title="parity", most_rows=10**6, wrap=True)
        out.print(Text("largest: relative error per token, or share of tokens that differ"))
