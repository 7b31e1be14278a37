"""What each dose did, beside random directions, and the direction as an edit."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from workbench.methods.study_report import study_report
from workbench.model.sites import Site
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.result import Note, Result
from workbench.result.row_samples import samples_of
from workbench.result.samples import Samples
from workbench.result.tables import columns_from

Rows = Sequence[dict[str, Any]]
CONTROLS = {"random": Control("random directions", "random directions of the same length")}
SHIFTS = {
    "shift": number("nats per token", "Likelier on the target side, less on the other.", "dose"),
    "slope": number("nats per token and dose", "Slope of the shift up to a dose of 1."),
}
COSTS = {
    "kl": number("nats per token", "KL(unsteered‖steered) on neutral prompts.", "dose"),
    "repeated": share("Trigrams of what is written that were there before.", "dose"),
}
COLUMNS = columns_from("""
    text: Number of the prompt, from 0.
    dose (lengths of the difference): Multiple of the direction that is added.
    prompt: Beginning that was continued.
    response: What was written.
    op: Operation of the edit.
    site: Where it acts.
    array: Array of this run that it takes.
""")
PLOTS = (
    Plot(title="Shift to the target side by dose", metrics=("shift",), axes=("dose",)),
    Plot(title="KL on neutral prompts by dose", metrics=("kl",), axes=("dose",)),
    Plot(title="Repetition by dose", metrics=("repeated",), axes=("dose",)),
)


def report(
    measured: Mapping[float, tuple[Rows, Rows, Rows]],
    direction: Float[np.ndarray, " d_model"],
    site: Site,
    target: str,
) -> Result:
    """Average over texts and prompts; `measured` holds shifts, costs and responses by dose."""
    doses = sorted(measured)
    found = [[row for dose in doses for row in measured[dose][k]] for k in range(3)]
    axes = {"dose": Axis(help="Dose.", unit="lengths of the difference", labels=tuple(doses))}
    shifts = samples_of([*found[0], *_slopes(found[0])], SHIFTS, controls_of=CONTROLS, axes_of=axes)
    costs = samples_of(found[1], COSTS, controls_of=CONTROLS, axes_of=axes, unit="prompts")
    slope = shifts.estimate("slope", "random")
    broken = degenerates_at(costs, doses)
    end = f"text degenerates at {broken:g}" if broken is not None else "no dose degenerates"
    responds = slope.low is not None and (slope.low > 0 or (slope.high or 0.0) < 0)
    edits = [{"op": "add", "site": str(site), "array": "direction"}]
    result = study_report(
        [shifts, costs],
        summary=f"{'Responds' if responds else 'No response'} to {target!r} at {site}: "
        f"{slope}; {end}.",
        averages={"doses": ("dose",)},
        rows={"responses": found[2], "edits": edits},
        columns=COLUMNS,
        plots=PLOTS,
        estimates=[slope, *_at_one(shifts, costs, doses)],
        notes=[Note("the direction is an edit: --edit run:RUN:DOSE", "info", "edit-kept")],
    )
    return Result(**{**vars(result), "arrays": {"direction": direction.astype(np.float32)}})


def degenerates_at(costs: Samples, doses: Sequence[float]) -> float | None:
    """Return the smallest dose, of either sign, whose repetition lies above that of none.

    Intervals must not overlap. None where no dose does.
    """
    mean = costs.mean("repeated", axes=("dose",), with_interval=True)
    most = mean.high[list(doses).index(0.0)]
    over = [d for d, low in zip(doses, mean.low, strict=True) if d and low > most]
    return min(over, key=abs) if over else None


def _at_one(shifts: Samples, costs: Samples, doses: Sequence[float]) -> list[Any]:
    if 1.0 not in doses:
        return []
    return [
        samples.estimate(name, "random", at={"dose": 1.0}, name=f"{name}_at_1")
        for samples, name in ((shifts, "shift"), (costs, "kl"), (costs, "repeated"))
    ]


def _slopes(rows: Rows) -> list[dict[str, Any]]:
    """Return each text's slope through 0, from doses up to 1, or from all if none is so small."""
    small = [row for row in rows if 0 < abs(row["dose"]) <= 1] or [r for r in rows if r["dose"]]
    found = []
    for text in dict.fromkeys(row["text"] for row in small):
        mine = [row for row in small if row["text"] == text]
        size = sum(row["dose"] ** 2 for row in mine)
        slope, null = (
            sum(row["dose"] * row[name] for row in mine) / size
            for name in ("shift", "shift_random")
        )
        found.append({"text": text, "pair": mine[0]["pair"], "slope": slope, "slope_random": null})
    return found
