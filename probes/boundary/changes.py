"""One step of a chain changed, and the chain that follows set beside the chain itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from probes.boundary.chains import MOST_STEPS, Exchanged, Thought, think
from probes.boundary.grid import partners
from probes.boundary.scores import mean_cells
from probes.boundary.settings import Settings
from workbench.methods.contracts import Context
from workbench.result.control_words import with_control
from workbench.result.estimate import Estimate
from workbench.result.intervals import grouped_proportion_estimate
from workbench.result.tables import Column, Table
from workbench.result.views import Curve
from workbench.training.sentence_model import SentenceModel

NOISE, FORCED, SHIFTED = "noise", "another sentence", "as far, at random"
_ROUNDS = 300
_RATE = 0.05
_SURE = 0.3
VIEW = Curve(
    title="How far a changed step is felt",
    table="propagation",
    x="steps_after",
    y=("same_sentence",),
    group="intervention",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Changed:
    """A chain by itself and with step `at` (from 0) changed; `wanted` was to be forced there."""

    problem: int
    intervention: str
    at: int
    before: Thought
    after: Thought
    wanted: str = ""

    @property
    def answer_differs(self) -> bool:
        """Whether another answer comes out."""
        return self.before.answer != self.after.answer


def change_step(
    trained: SentenceModel,
    questions: Sequence[str],
    thoughts: Sequence[Thought],
    settings: Settings,
    context: Context,
) -> list[Changed]:
    """Change one step of every chain that goes on after it, in three ways.

    `noise` adds a random direction; `another sentence` moves the vector until the decoder writes
    a given sentence, or that of another chain; `as far, at random` moves it by the same length
    in a random direction, which is the control of the former.
    """
    at = settings.step - 1
    rows = [i for i in range(len(questions)) if len(thoughts[i].vectors) > at + 1]
    if not rows:
        return []
    own = torch.stack([thoughts[i].vectors[at] for i in rows])
    asked = [questions[i] for i in rows]
    noise = torch.stack([_direction(context, i, own) for i in rows])
    wanted = _wanted(thoughts, rows, at, settings, context)
    forced = say(trained, own, wanted)
    far = (forced - own).norm(dim=-1, keepdim=True)
    ways = {
        NOISE: own + noise * own.norm(dim=-1, keepdim=True) * settings.noise,
        FORCED: forced,
        SHIFTED: own + noise * far,
    }
    found: list[Changed] = []
    # Run again beside the changed ones, so that nothing differs but the change.
    before = think(trained, asked, steps=MOST_STEPS, limit=settings.limit)
    for i, (name, vectors) in enumerate(ways.items()):
        context.progress(i, len(ways), "changed chains")
        swap: Exchanged = {n: (at, vector) for n, vector in enumerate(vectors)}
        after = think(trained, asked, steps=MOST_STEPS, limit=settings.limit, exchanged=swap)
        told = wanted if name == FORCED else [""] * len(rows)
        found += [
            Changed(problem=row, intervention=name, at=at, before=was, after=now, wanted=said)
            for row, was, now, said in zip(rows, before, after, told, strict=True)
        ]
    context.progress(len(ways), len(ways), "changed chains")
    return found


def say(
    trained: SentenceModel, vectors: Float[Tensor, "n d_model"], sentences: Sequence[str]
) -> Float[Tensor, "n d_model"]:
    """Move vectors, by descent from where they are, until the decoder would write the sentences.

    A row stands still once every token is likely.
    Whether the decoder then does write the sentence is for the caller to look at.
    """
    codec, p_out = trained.codec, trained.latent.heads.p_out
    targets = [codec.lines.sentence(text) for text in sentences]
    scale = vectors.square().mean(dim=-1, keepdim=True).sqrt()
    moved = torch.zeros_like(vectors, requires_grad=True)
    descent = torch.optim.Adam([moved], lr=_RATE)
    for _ in range(_ROUNDS):
        with torch.enable_grad():
            losses, mask = codec.token_losses(p_out(vectors + scale * moved), targets)
            live = (losses.max(dim=1).values > _SURE).detach()
            if not live.any():
                break
            loss = ((losses.sum(dim=1) / mask.sum(dim=1)) * live).sum()
            (moved.grad,) = torch.autograd.grad(loss, [moved])
        still = moved.detach().clone()
        descent.step()
        with torch.no_grad():
            moved[~live] = still[~live]
    return (vectors + scale * moved).detach()


def change_tables(found: Sequence[Changed], context: Context) -> dict[str, Table]:
    """Return every step of both chains beside each other, and means by steps after the change."""
    rows = [row for one in found for row in _steps(one)]
    means = []
    for name, after in dict.fromkeys((r["intervention"], r["steps_after"]) for r in rows):
        some = [r for r in rows if (r["intervention"], r["steps_after"]) == (name, after)]
        units = [r["problem"] for r in some]
        same = [float(not r["differs"]) for r in some]
        cosines = [r["cosine"] for r in some if r["cosine"] is not None]
        means.append(
            {
                "intervention": name,
                "steps_after": after,
                "n": len(some),
                **mean_cells("same_sentence", same, units, context),
                "cosine": sum(cosines) / len(cosines) if cosines else None,
            }
        )
    return {
        "interventions": Table.from_rows(rows, _STEPS),
        "propagation": Table.from_rows(means, _MEANS),
    }


def change_estimates(found: Sequence[Changed], context: Context) -> tuple[Estimate, ...]:
    """Return how often a forced sentence changes the answer, beside a random shift as long."""
    forced = [one for one in found if one.intervention == FORCED]
    if not forced:
        return ()
    shifted = [one for one in found if one.intervention == SHIFTED]
    name = "answer changes with a forced sentence"
    control = _share(SHIFTED, shifted, context) if shifted else None
    return (with_control(_share(name, forced, context), SHIFTED, control),)


def _share(name: str, some: Sequence[Changed], context: Context) -> Estimate:
    return grouped_proportion_estimate(
        name,
        [float(one.answer_differs) for one in some],
        [str(one.problem) for one in some],
        generator=context.stream("sentence lens bootstrap"),
        n_unit="chains",
        resamples=context.resamples,
    )


def _steps(one: Changed) -> Iterator[dict[str, Any]]:
    before, after = one.before, one.after
    cosines = [
        float(torch.cosine_similarity(a.float(), b.float(), dim=0))
        for a, b in zip(before.vectors, after.vectors, strict=False)
    ]
    for step in range(one.at, max(len(before.vectors), len(after.vectors))):
        was, now = (t.sentences[step] if step < len(t.sentences) else "" for t in (before, after))
        yield {
            "problem": one.problem,
            "intervention": one.intervention,
            "step": step + 1,
            "steps_after": step - one.at,
            "before": was,
            "after": now,
            "differs": was != now,
            "cosine": cosines[step] if step < len(cosines) else None,
            "wanted": one.wanted if step == one.at else "",
        }


def _direction(
    context: Context, row: int, like: Float[Tensor, "n d_model"]
) -> Float[Tensor, " d_model"]:
    draw = context.stream(f"sentence lens change {row}").standard_normal(like.shape[1])
    unit: Tensor = torch.nn.functional.normalize(torch.from_numpy(draw).to(like), dim=0)
    return unit


def _wanted(
    thoughts: Sequence[Thought],
    rows: Sequence[int],
    at: int,
    settings: Settings,
    context: Context,
) -> list[str]:
    """Return the sentence to force on each row: the one given, or another chain's at that step."""
    if settings.sentence:
        return [settings.sentence] * len(rows)
    other = partners(list(rows), context.stream("sentence lens forced"))
    wanted = []
    for i, near in enumerate(other):
        own = thoughts[rows[i]].sentences[at]
        # The nearest row after the partner whose sentence is a different one, if there is any.
        turned = [thoughts[rows[(near + k) % len(rows)]].sentences[at] for k in range(len(rows))]
        wanted.append(next((text for text in turned if text != own), own))
    return wanted


_STEPS = {
    "problem": Column(help="Number of the problem, from 0."),
    "intervention": Column(help="What was done to the step."),
    "step": Column(help="Step, counted from 1."),
    "steps_after": Column("steps", "Steps since the one that was changed; 0: that one."),
    "before": Column(help="Sentence of the chain by itself; nothing where it had ended."),
    "after": Column(help="Sentence of the chain that went on from the changed step."),
    "differs": Column(help="Whether they are different."),
    "cosine": Column("", "Cosine of the two vectors."),
    "wanted": Column(help="Sentence that was to be forced."),
}
_MEANS = {
    "intervention": _STEPS["intervention"],
    "steps_after": _STEPS["steps_after"],
    "n": Column("chains", "Chains that reach so far with or without the change."),
    "same_sentence": Column(
        "proportion", "Sentences as without the change.", "same_sentence_low", "same_sentence_high"
    ),
    "cosine": Column("", "Mean cosine of the two vectors."),
}
