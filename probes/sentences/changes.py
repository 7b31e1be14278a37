"""One step of a chain changed, and the chain that follows set beside the chain itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from probes.sentences.chains import MOST_STEPS, Exchanged, Thought, think
from probes.sentences.grid import partners
from probes.sentences.nats import Teller
from probes.sentences.settings import Settings
from workbench.methods.contracts import Context
from workbench.result.estimate import Estimate
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.row_samples import samples_of
from workbench.result.samples import Samples
from workbench.result.tables import columns_from
from workbench.training.sentence_model import SentenceModel

NOISE, FORCED, SHIFTED = "noise", "another sentence", "as far, at random"
_ROUNDS = 300
_RATE = 0.05
_SURE = 0.3
_BY_STEP = ("intervention", "steps_after")
_FELT = {
    "same_sentence": share("Sentences as without the change.", *_BY_STEP),
    "cosine": number("", "Cosine of the two vectors.", *_BY_STEP),
    "saved": number("nats", "Saved of the sentence without the change.", *_BY_STEP),
}
UNCHANGED = "unchanged"
_ITSELF = {UNCHANGED: Control("the chain by itself", "the same from its vector without the change")}
_ANSWER = {
    "differs": share("Chains with another answer.", name="answer changes with a forced sentence")
}
PLOT = Plot(title="How far a changed step is felt", metrics=("same_sentence",), axes=_BY_STEP)
STEPS = columns_from("""
    problem: Number of the problem, from 0.
    intervention: What was done to the step.
    step: Step, counted from 1.
    steps_after (steps): Steps since the one that was changed; 0: that one.
    before: Sentence of the chain by itself; nothing where it had ended.
    after: Sentence of the chain that went on from the changed step.
    differs: Whether they are different.
    wanted: Sentence that was to be forced.
    saved (nats): What the vector saves of the chain's sentence without the change.
    saved_unchanged (nats): What its vector without the change saves of it.
""")


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


def step_rows(found: Sequence[Changed], teller: Teller | None = None) -> list[dict[str, Any]]:
    """Return every step of both chains beside each other."""
    return [row for one in found for row in _steps(one, teller)]


def change_samples(steps: Sequence[Mapping[str, Any]]) -> tuple[Samples, ...]:
    """Return how far a change is felt, by steps after it; nothing where nothing was changed."""
    rows = [{**row, "same_sentence": not row["differs"]} for row in steps]
    axes_of = {axis: Axis(help=STEPS[axis].help, unit=STEPS[axis].unit) for axis in _BY_STEP}
    found = samples_of(rows, _FELT, by=("problem",), unit="chains", controls_of=_ITSELF,
                       axes_of=axes_of)  # fmt: skip
    return (found,) if rows else ()


def change_estimates(found: Sequence[Changed]) -> tuple[Estimate, ...]:
    """Return how often a forced sentence changes the answer, beside a random shift as long."""
    rows = [
        {"problem": one.problem, "by": one.intervention, "differs": one.answer_differs}
        for one in found
        if one.intervention in (FORCED, SHIFTED)
    ]
    answers = samples_of(
        rows,
        _ANSWER,
        by=("problem",),
        kind="by",
        unit="chains",
        controls_of={SHIFTED: Control(SHIFTED)},
    )
    return tuple(answers.estimate(name, SHIFTED) for name in answers.metrics)


def _steps(one: Changed, teller: Teller | None) -> Iterator[dict[str, Any]]:
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
            **(_saved(one, step, teller) if teller else {}),
        }


def _saved(one: Changed, step: int, teller: Teller) -> dict[str, float | None]:
    """Return what both vectors of a step save of the sentence that stood there by itself."""
    found = {
        "saved": teller.of_step(one.after, one.before, step, one.problem),
        f"saved_{UNCHANGED}": teller.of_step(one.before, one.before, step, one.problem),
    }
    # Only where both are there, so that the two means are over the same steps.
    return found if None not in found.values() else dict.fromkeys(found)


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
