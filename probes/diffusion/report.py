"""What is measured of every decoder and text, and how it is shown."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probes.diffusion.arness import global_arness, kendall, local_arness
from probes.diffusion.filling import Filled
from probes.diffusion.readout import answers_read, first_read
from workbench.methods.contracts import Context
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.samples import VALUE, Samples
from workbench.result.tables import columns_from
from workbench.result.views import Heatmap, View

SHUFFLED = "shuffled"
RUNS = ("decoder", "many")
# An average over k has no meaning, and the first axes alone have a table.
KS = ("k", *RUNS)
SLOTS, LAYERS, MAP = ("decoder", "slot"), ("decoder", "layer"), ("decoder", "layer", "step")
Runs = Mapping[tuple[str, int], Sequence[Filled]]
Arrays = dict[str, dict[str, NDArray[np.float64]]]

METRICS = {
    "accuracy": share("Right answers.", *RUNS),
    "steps": number("steps", "Passes of the network until nothing was hidden.", *RUNS),
    "tau": number(
        "", "Kendall's τ-b of the step and place of each position.", *RUNS, bounds=(-1.0, 1.0)
    ),
    "global": share("Filled among the k leftmost hidden ones; a step from the left.", *KS),
    "local": share("Continued a left-to-right run of length k; a step from the left.", *KS),
    "global_at_once": share("The same by what was hidden before the step.", *KS),
    "local_at_once": share("The same by the steps alone, without an order within.", *KS),
    "entropy": number("nats", "Of the position that is filled, at that step.", *RUNS),
    "sample_size": number("draws", "(Σw)²/Σw² of the weighed proposals.", *RUNS),
    "reused": share("Keys and values that were stable and reused.", *RUNS),
    "answer_at": share("Steps before the whole answer is filled.", *RUNS),
    "fixed_at": number("steps", "Step that fills the position, from 0.", *SLOTS),
    "entropy_at": number("nats", "Of the position when it is filled.", *SLOTS),
    "first_read": share("Steps before a probe reads the answer for good.", *LAYERS),
    "reads": share("A probe reads the answer off the states where it will stand.", *MAP),
    "key_drift": number("1 − cosine", "Keys, from the step before; mean over positions.", *MAP),
    "value_drift": number("1 − cosine", "Values, from the step before.", *MAP),
}
CONTROLS = {
    SHUFFLED: Control(
        "shuffled", "steps at random positions; the next problem's answer; shuffled labels"
    )
}
COLUMNS = columns_from("""
    problem: The question.
    response: What was filled in.
    right: Whether its answer is right.
    step: Pass of the network, from 0.
    slot: Position of the response, from 0.
    token: The likeliest token, or the one that stands there.
    hidden (nats): Entropy of a hidden position; 0 once it is filled.
    new: Whether this step fills it.
""")
_AXES = {
    "decoder": Axis(help="How positions and tokens are chosen."),
    "many": Axis(help="Positions filled per step.", unit="positions"),
    "k": Axis(help="Length of the run, or number of leftmost positions."),
    "slot": Axis(help="Position of the response, from 0."),
    "step": Axis(help="Pass of the network, from 0."),
    "layer": Axis(help="Layer whose output is read; −1 is the input of the first one."),
}
PLOTS: tuple[Plot | View, ...] = (
    Plot(title="Right answers by positions per step", metrics=("accuracy",), axes=RUNS),
    Heatmap("One response, step by step", "trajectory", row="step", column="slot",
            value="hidden", text="token", group="decoder", details=("new",)),
    Heatmap("When each position is filled", "slots",
            row="decoder", column="slot", value="fixed_at"),
    *(
        Heatmap(title, "layers_by_step", row="layer", column="step", value=value, group="decoder")
        for title, value in (
            ("How far keys move in a step", "key_drift"),
            ("How far values move in a step", "value_drift"),
            ("Where and when a probe reads the answer", "reads"),
        )
    ),
    Plot(title="Steps before a probe reads the answer", metrics=("first_read",), axes=LAYERS),
)  # fmt: skip


def measured(runs: Runs, right: Mapping[tuple[str, int], NDArray[np.float64]],
             ks: Sequence[int], context: Context) -> Samples:  # fmt: skip
    """Measure every run; the maps and probes are those of the first `many` of each decoder."""
    labels = _labels(runs, ks)
    shapes = {m: tuple(len(labels[a]) for a in about.axes) for m, about in METRICS.items()}
    n = len(next(iter(runs.values())))
    arrays: Arrays = {
        kind: {m: np.full((n, *shape), np.nan) for m, shape in shapes.items()}
        for kind in (VALUE, SHUFFLED)
    }
    for (decoder, many), filled in runs.items():
        at = labels["decoder"].index(decoder), labels["many"].index(many)
        truth, null = arrays[VALUE], arrays[SHUFFLED]
        truth["accuracy"][(slice(None), *at)], null["accuracy"][(slice(None), *at)] = right[
            decoder, many
        ]
        draw = context.stream(f"shuffled steps {decoder} {many}")
        for i, one in enumerate(filled):
            _measure_text(arrays, (i, *at), one, ks, draw)
        if at[1] == 0:
            _measure_maps(arrays, at[0], filled, context.stream(f"shuffled answers {decoder}"))
    kept = {
        kind: {m: x for m, x in some.items() if not np.isnan(x).all()}
        for kind, some in arrays.items()
    }
    return Samples.of(
        kept,
        {m: METRICS[m] for m in kept[VALUE]},
        unit="problems",
        controls_of=CONTROLS,
        axes_of={a: Axis(help=_AXES[a].help, unit=_AXES[a].unit, labels=labels[a]) for a in _AXES},
    )


def trajectory_rows(runs: Runs, text: int, decode: Any) -> list[dict[str, Any]]:
    """Return every step and position of one text under the first `many` of each decoder."""
    rows = []
    for decoder in dict.fromkeys(name for name, _ in runs):
        one = next(found for (name, _), found in runs.items() if name == decoder)[text]
        for step in range(one.n_steps):
            guesses = one.trajectory.guesses[step, one.row].tolist()
            hidden = one.trajectory.entropies[step, one.row].tolist()
            rows += [
                {"decoder": decoder, "step": step, "slot": slot, "token": decode([token]),
                 "hidden": value, "new": bool(one.fixed_at[slot] == step)}
                for slot, (token, value) in enumerate(zip(guesses, hidden, strict=True))
            ]  # fmt: skip
    return rows


def _labels(runs: Runs, ks: Sequence[int]) -> dict[str, tuple[Any, ...]]:
    texts = [one for filled in runs.values() for one in filled]
    layers = max(one.states.shape[1] for one in texts)
    return {
        "decoder": tuple(dict.fromkeys(decoder for decoder, _ in runs)),
        "many": tuple(sorted({many for _, many in runs})),
        "k": tuple(ks),
        "slot": tuple(range(max(len(one.fixed_at) for one in texts))),
        "step": tuple(range(max(one.n_steps for one in texts))),
        "layer": tuple(range(-1, layers - 1)),
    }


def _measure_text(
    arrays: Arrays,
    at: tuple[int, int, int],
    one: Filled,
    ks: Sequence[int],
    draw: np.random.Generator,
) -> None:
    for kind, steps in ((VALUE, one.fixed_at), (SHUFFLED, draw.permutation(one.fixed_at))):
        found = arrays[kind]
        found["tau"][at] = kendall(steps)
        for j, k in enumerate(ks):
            cell = (at[0], j, *at[1:])
            found["global"][cell] = global_arness(steps, k)
            found["local"][cell] = local_arness(steps, k)
            found["global_at_once"][cell] = global_arness(steps, k, in_order=False)
            found["local_at_once"][cell] = local_arness(steps, k, in_order=False)
    told = arrays[VALUE]
    told["steps"][at] = one.n_steps
    told["entropy"][at] = float(one.trajectory.entropy[one.row].mean())
    told["sample_size"][at] = one.mean_of_steps("sample_sizes")
    told["reused"][at] = one.mean_of_steps("reused")
    told["answer_at"][at] = one.fixed_at[-one.hidden.answer :].max() / one.n_steps
    if at[2] == 0:
        slots = (at[0], at[1], slice(len(one.fixed_at)))
        told["fixed_at"][slots] = one.fixed_at
        told["entropy_at"][slots] = one.trajectory.entropy[one.row]
        keys, values = one.drift
        place = (at[0], at[1], slice(1, 1 + len(keys)), slice(one.n_steps))
        told["key_drift"][place], told["value_drift"][place] = keys, values


def _measure_maps(
    arrays: Arrays, decoder: int, filled: Sequence[Filled], draw: np.random.Generator
) -> None:
    """Fit probes to the texts of one shape; with a single text there is nothing to learn from."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, one in enumerate(filled):
        shapes.setdefault(one.states.shape, []).append(i)
    for (steps, layers, *_), some in shapes.items():
        if len(some) < 2:
            continue
        states = np.stack([filled[i].states for i in some])
        tokens = np.array([filled[i].tokens[-filled[i].hidden.answer :] for i in some])
        for kind, stream in ((VALUE, None), (SHUFFLED, draw)):
            read = answers_read(states, tokens, stream)
            rows = np.array(some)
            arrays[kind]["reads"][rows, decoder, :layers, :steps] = read
            arrays[kind]["first_read"][rows, decoder, :layers] = first_read(read)
