"""What an edit of the model changes: in its states as it reads, and in what it writes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadOption
from workbench.methods.contracts import Context, Example, Stopped
from workbench.methods.elsewhere import elsewhere
from workbench.methods.next_token import compare
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.edits import Edit
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.tokens import pad
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.result import Note, Result
from workbench.result.samples import Samples
from workbench.result.tables import Table, columns_from
from workbench.runs.batching import plan
from workbench.runs.counting import start
from workbench.runs.typed_edits import parse_edits
from workbench.sampling.rendering import text_ids

_FINAL = Site(Kind.FINAL_NORM)
_BOTH = ("layer", "position")
_COIN = 0.6  # share of the first choice among the two
_COLUMNS = columns_from("""
    text: Number of the text, from 0.
    kind: Before the edit, after it, and under the control.
    response: What was written.
    step (tokens): Tokens written before this one.
    before: Token written without the edit.
    after: Token written with it.
    differs: Whether both are different tokens.
    p_before (proportion): Probability of the first, as it was written.
    p_after (proportion): Probability of the second, as it was written.
""")


@dataclass(frozen=True, kw_only=True)
class _Moved(PerUnit):
    """What the edits change along a given text."""

    metrics: ClassVar = {
        "moved": Metric(unit="1 − cosine", help="How far the state turns.", axes=_BOTH),
        "kl": Metric(unit="nats", help="KL(before‖after) of the next token.", axes=("position",)),
        "agreement": Metric(
            unit="proportion", help="Same first choice.", axes=("position",), bounds=(0.0, 1.0)
        ),
    }
    controls_of: ClassVar = {
        "elsewhere": Control("elsewhere", "an edit of the same kind and size in another place")
    }
    plots: ClassVar = (
        Plot(title="How far the edit turns states", metrics=("moved",), axes=_BOTH),
        Plot(title="How far, layer by layer", metrics=("moved",)),
        Plot(title="Distance of the next token", metrics=("kl",), axes=("position",)),
    )

    edits: tuple[Edit, ...]
    others: tuple[Edit, ...]

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (*every_layer(Kind.RESID_POST, spec), _FINAL)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        found = self._by(self.edits, trace, context)
        null = {"elsewhere": self._by(self.others, trace, context)} if self.others else {}
        return Measured(values=found, controls=null)

    def _by(self, edits: Sequence[Edit], trace: Trace, context: Context) -> dict[str, Tensor]:
        again = context.rerun(trace.tokens, read=self.sites(trace.spec), edits=list(edits))
        a, b = (one.stack(Kind.RESID_POST).double() for one in (trace, again))
        turned = 1 - torch.cosine_similarity(a, b, dim=-1)
        kl, same = compare(trace.activations[_FINAL], again.activations[_FINAL], context)
        is_same = (a == b).all(dim=-1)
        return {
            "moved": torch.where(is_same, 0.0, turned).transpose(0, 1),
            "kl": kl,
            "agreement": same,
        }

    def summary(self, found: Samples) -> str:
        kl = found.estimate("kl", "elsewhere")
        if kl.control is not None and (kl.value or 0.0) <= kl.control and kl.control > 0:
            return f"The same edit elsewhere changes as much along the text: {kl}."
        return f"Along the text: {kl}."

    def notes(self, found: Samples) -> tuple[Note, ...]:
        if self.others or not self.edits:
            return ()
        return (Note("no place without an edit is left for a control", "warning", "control"),)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Written:
    """What one text was continued with, before and after."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    control: tuple[int, ...]
    p_before: tuple[float, ...]
    p_after: tuple[float, ...]
    p_other: float | None = None

    @property
    def first(self) -> int | None:
        """The step at which the two part, None where they never do."""
        n = max(len(self.before), len(self.after))
        pairs = zip(_padded(self.before, n), _padded(self.after, n), strict=True)
        return next((i for i, (a, b) in enumerate(pairs) if a != b), None)


@probe(
    "edit-effect", source="Interventions as in Meng et al. 2022, arXiv:2202.05262; the map is ours"
)
@dataclass(frozen=True, kw_only=True)
class EditEffect:
    """Run each text with and without an edit, and show what changes in states and in the answer.

    `moved` is 1 − cos of the residual stream before and after at every layer and token of the
    text, `kl` is KL(before‖after) of the next token. Both runs then continue the text with the
    same policy and the same random numbers, and the answers are laid side by side. Control: the
    same operation elsewhere: as many other heads of the layer, the block of another layer, a
    random direction as long.

    Units: KL in nats; moved is 1 − cosine, 0 where nothing changes; agreement is a proportion.

    Cost: two passes and three continuations per text.

    Raises:
        BadOption: no edit is named.
        BadEdit: an edit does not parse, or the model cannot make it.
    """

    edits: tuple[str, ...] = option(
        (), help="Edits: ablate:z.5@0, scale:mlp_out.3:0.5, run:RUN:DOSE; commas between."
    )
    tokens: int = option(24, help="Tokens that are written.", low=1, high=4096, unit="tokens")
    temperature: float = option(0.0, help="Of what is written; 0 is greedy.", low=0, high=10)
    top_p: float = option(1.0, help="Mass of the nucleus.", low=0.01, high=1)
    off: bool = option(False, help="Make no edit: every difference is then 0.")

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        if not self.edits and not self.off:
            raise BadOption("no edit is named", hint="--edits ablate:mlp_out.0")
        given = [e for t in self.edits for e in parse_edits(t, model.spec, context.store)]
        edits = tuple(replace(e, enabled=not self.off) for e in given)
        others = elsewhere(edits, model.spec, context)
        moved = _Moved(edits=edits, others=others)
        accumulator = start(moved, context)
        work = plan(model, examples, max_tokens=model.spec.max_positions, batch_tokens=2048)
        sites = moved.sites(model.spec)
        written: list[_Written] = []

        def report() -> Result:
            found = accumulator.result(context)
            return replace(
                found,
                summary=f"{verdict(model, written, self.edits)} {found.summary}",
                tables={**_tables(model, written), **found.tables},
            )

        try:
            for batch in work.batches():
                accumulator.add(model.run(batch.tokens, read=sites), batch.examples)
                for example in batch.examples:
                    written.append(self._written(model, example, (edits, others), context))
                    context.progress(len(written), len(work.examples), "texts")
        except KeyboardInterrupt as stop:
            if not written:
                raise
            raise Stopped(report()) from stop
        return report()

    def _written(
        self,
        model: Model,
        example: Example,
        edits: tuple[Sequence[Edit], Sequence[Edit]],
        context: Context,
    ) -> _Written:
        prompt = pad([text_ids(model.tokenizer, example.text)], side="left").to(model.device)
        seed = int(context.stream(f"edit-effect {example.text}").integers(2**31))
        before, after, control = (
            model.generate(
                prompt,
                policy=Sampling(temperature=self.temperature, top_p=self.top_p),
                limit=self.tokens,
                edits=list(some),
                options=GenerationOptions(seeds=seed, keep_logprobs=True, keep_logits=True),
            )
            for some in ((), *edits)
        )
        found = _Written(
            before=before.generated[0],
            after=after.generated[0],
            control=control.generated[0],
            p_before=_probabilities(before),
            p_after=_probabilities(after),
        )
        at = found.first
        if at is None or before.logits is None or at >= min(len(found.before), len(found.after)):
            return found
        chances = before.logits[0, at].float().softmax(dim=-1)
        return replace(found, p_other=float(chances[found.after[at]]))


def verdict(model: Model, written: Sequence[_Written], edits: Sequence[str]) -> str:
    """Say whether the answer changed, where it first did, and how close that choice was."""
    name = ", ".join(edits) or "No edit"
    parted = [one for one in written if one.first is not None]
    if not parted:
        n = len(written)
        return f"{name} left what is written unchanged" + (f" in all {n} texts." if n > 1 else ".")
    if len(written) > 1:
        first = sorted(one.first or 0 for one in parted)[len(parted) // 2]
        return (
            f"{name} changed what is written in {len(parted)} of {len(written)} texts, "
            f"in the middle one from token {first} on."
        )
    one, at = parted[0], parted[0].first or 0
    said = [model.decode(list(ids)).strip() for ids in (one.before, one.after)]
    words = f"{name} changed the answer from “{said[0]}” to “{said[1]}”"
    if one.p_other is None:
        return f"{words}; one ends at token {at}."
    a, b = one.p_before[at], one.p_other
    near = "was a coin flip" if a <= _COIN * (a + b) else "was no near choice"
    return f"{words}; the first token that changed, {at}, {near} before ({a:.2g} against {b:.2g})."


def _tables(model: Model, written: Sequence[_Written]) -> dict[str, Table]:
    answers: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    for text, one in enumerate(written):
        for kind in ("before", "after", "control"):
            said = model.decode(list(getattr(one, kind)))
            answers.append({"text": text, "kind": kind, "response": said})
        n = max(len(one.before), len(one.after))
        columns = (one.before, one.after, one.p_before, one.p_after)
        for step, (a, b, p, q) in enumerate(zip(*(_padded(x, n) for x in columns), strict=True)):
            words = {
                "before": "" if a is None else model.decode([int(a)]),
                "after": "" if b is None else model.decode([int(b)]),
            }
            row = {"text": text, "step": step, **words, "differs": a != b}
            steps.append({**row, "p_before": p, "p_after": q})
    return {
        "answers": Table.from_rows(answers, _COLUMNS),
        "steps": Table.from_rows(steps, _COLUMNS),
    }


def _probabilities(trace: Trace) -> tuple[float, ...]:
    found: Float[Tensor, " n"] = torch.tensor(trace.logprobs[0]).exp()
    return tuple(float(p) for p in found)


def _padded(values: Sequence[Any], n: int) -> list[Any]:
    return [*values, *[None] * (n - len(values))]
