"""`workbench causal audit`: the labels of a released set beside the exact engine."""

from pathlib import Path

import click

from app.cli.output import Form, say, takes_form, write_csv, write_json


@click.command(
    "audit", epilog="\b\nExample:\n  workbench causal audit test-generate-easy.json.gz --json"
)
@click.argument("file", metavar="FILE")
@click.option("--models", metavar="FILE", help="Model specifications that the questions name.")
@takes_form
def audit_command(file: str, models: str | None, form: Form) -> None:
    """List the wrong labels of a released set of causal questions, each with its proof.

    Sets, told by content: Corr2Cause, CLadder (questions or models), CounterBench, CaLM Lite.
    Rows that cannot be used are named by their line and the others are judged. CLadder questions
    find their models in files beside them whose names hold "meta" and "model".
    """
    from app.cli.progress_bar import ProgressBar
    from causal.worlds.audit import audit

    with ProgressBar() as progress:
        found = audit(Path(file), models=Path(models) if models else None, progress=progress)
    if form is Form.JSON:
        write_json(found.as_dict())
    elif form is Form.CSV:
        table = found.tables.get("wrong")
        columns = ("source", "id", "kind", "stated", "computed", "proof", "note")
        write_csv(table.rows() if table is not None else [], columns)
    else:
        from app.cli.report import show_result

        left_out = show_result(found)
        if left_out:
            say(f"not shown: {', '.join(left_out)}; --csv lists the wrong labels, --json all")
