"""The ablations of a preference comparison: SFT, DPO and forms of cDPO on the same pairs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from probes.contrast.models import ContrastModels
from probes.contrast.objectives import Form, Likelihood, Pair, Preference, reference_logprobs
from probes.contrast.selection import Response, pair
from probes.contrast.sequences import Row
from probes.contrast.training import ContrastRun, Fitted, Split, fit
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context
from workbench.training.adapter import Adapter
from workbench.training.loop import Objective

SFT, DPO, CDPO = "sft", "dpo", "cdpo"
RELEASED, SHUFFLED = "cdpo-released", "cdpo-shuffled"
ABLATIONS = (SFT, DPO, CDPO, RELEASED, SHUFFLED)
COMPARED = (
    *((CDPO, other) for other in (SFT, DPO, SHUFFLED)),
    *((RELEASED, other) for other in (DPO, CDPO)),
)
"""Which ablations are compared with each other, besides each with the base."""

MakeObjective = Callable[[Adapter], Objective]


def pairs_of(
    prompts: Sequence[tuple[int, ...]], drawn: Sequence[Sequence[Response]], context: Context
) -> list[tuple[int, Row, Row]]:
    """Return (question number, chosen, rejected) of every question that has both.

    Raises:
        TooLittleData: fewer than two have.
    """
    generator = context.stream("pairs")
    found = []
    for i, (prompt, responses) in enumerate(zip(prompts, drawn, strict=True)):
        two = pair(responses, generator)
        if two is not None:
            chosen, rejected = (Row(prompt=prompt, response=r.tokens) for r in two)
            found.append((i, chosen, rejected))
    if len(found) < 2:
        raise TooLittleData(
            f"{len(found)} of {len(prompts)} questions have both a right and a wrong response; "
            "expected at least two: one to train on, one to judge by",
            hint="take a task the model solves 20 to 80 % of the time, or more questions",
        )
    return found


def weighted(
    pairs: Sequence[tuple[int, Row, Row]], models: ContrastModels, run: ContrastRun, beta: float
) -> list[tuple[int, Pair]]:
    """Join every pair with its reference log-probabilities and the weights 1 − s."""
    sides = [[p[1] for p in pairs], [p[2] for p in pairs]]
    run.context.progress(0, 3, "reference passes")
    chosen, rejected = (reference_logprobs(run.model, side, run.preset.at_once) for side in sides)
    run.context.progress(1, 3, "reference passes")
    scores = models.scores(sides[1], beta=beta, at_once=run.preset.with_gradients)
    run.context.progress(3, 3, "reference passes")
    return [
        (
            i,
            Pair(
                chosen=right,
                rejected=wrong,
                chosen_reference=chosen[k],
                rejected_reference=rejected[k],
                weights=-torch.expm1(scores[k]),
            ),
        )
        for k, (i, right, wrong) in enumerate(pairs)
    ]


def fit_ablations(
    run: ContrastRun,
    pairs: Sequence[tuple[int, Pair]],
    split: Split,
    *,
    gamma: float,
    released_gamma: float,
) -> list[Fitted]:
    """Train one adapter per ablation: same pairs, same order, same start, same learning rate.

    SFT raises the likelihood of the chosen responses. DPO weighs every rejected token by one,
    cDPO by 1 − s, its control by the same weights in another order.
    """
    prefer = partial(_preference, run, split)
    generator = run.context.stream("shuffled weights")
    objectives: dict[str, MakeObjective] = {
        SFT: _likelihood(run, split, pairs),
        DPO: prefer([(i, _unweighted(p)) for i, p in pairs], "paper", gamma),
        CDPO: prefer(pairs, "paper", gamma),
        RELEASED: prefer(pairs, "as-released", released_gamma),
        SHUFFLED: prefer([(i, _shuffled(p, generator)) for i, p in pairs], "paper", gamma),
    }
    n = len(split.parts(pairs)[1])
    return [fit(run, name, objectives[name], n) for name in ABLATIONS]


def _likelihood(run: ContrastRun, split: Split, pairs: Sequence[tuple[int, Pair]]) -> MakeObjective:
    rows, held_out = split.parts([(i, pair.chosen) for i, pair in pairs])
    return partial(Likelihood, rows=rows, held_out=held_out, at_once=run.preset.with_gradients)


def _preference(
    run: ContrastRun, split: Split, pairs: Sequence[tuple[int, Pair]], form: Form, gamma: float
) -> MakeObjective:
    kept, held_out = split.parts(pairs)
    return partial(
        Preference,
        rows=kept,
        held_out=held_out,
        gamma=gamma,
        form=form,
        at_once=run.preset.with_gradients,
    )


def _unweighted(pair: Pair) -> Pair:
    return replace(pair, weights=torch.ones_like(pair.weights))


def _shuffled(pair: Pair, generator: np.random.Generator) -> Pair:
    order = torch.from_numpy(generator.permutation(len(pair.weights)))
    return replace(pair, weights=pair.weights[order])
