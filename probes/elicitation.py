"""Which question to ask next: information gain by simulated answers, and interviews that use it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probes.beliefs.elicit import Asked, Elicitor
from probes.beliefs.interview import (
    SEQUENCE,
    Item,
    Wording,
    exact_predictor,
    model_predictor,
    read_items,
)
from workbench.errors import DataError
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.model import Model
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.metric import Axis, Control, Metric, Plot
from workbench.result.result import Note, Result
from workbench.result.samples import VALUE, Samples
from workbench.result.tables import columns_from
from workbench.sampling.processes.latent_class import LatentClass
from workbench.sampling.processes.sequences import open_sequences

_ROUNDING = 1e-6
_METRICS = {
    "gain": Metric(
        unit="nats", help="Information gain about a target, before anything is asked.",
        axes=("question",), headline=None,
    ),
    "negative": Metric(
        unit="proportion", help="Targets of which a question seems to tell less than nothing.",
        axes=("question",), bounds=(0.0, 1.0),
    ),
}  # fmt: skip
_AFTER = {
    "entropy": Metric(unit="nats", help="Mean entropy of the targets.", axes=("asked",)),
}
_GAIN_CONTROLS = {
    "exact": Control("Bayes", "the exact gain on the process"),
    "unrelated": Control("an unrelated question", "a question that tells nothing in its place"),
}
_AFTER_CONTROLS = {"random": Control("random questions", "the same with questions at random")}
_COLUMNS = columns_from("""
    interview: Number of the interview.
    asked (questions): Questions asked before.
    question: The question that was chosen.
    worth (nats): What it was expected to tell, to the depth.
    answer: Its answer, known, of the drawn entity, or drawn from the model.
""")


@probe("elicitation", source="Wang et al. 2025, arXiv:2504.04204")
@dataclass(frozen=True, kw_only=True)
class Elicitation:
    """Measure what each question would tell about the targets, and ask the best ones.

    The gain of a question is the entropy of the targets' answers less its mean over the simulated
    answers, each put before the targets. No gain of a coherent predictor is negative, so a
    negative one says that the model's answers fit no belief. Rows are questions: `answers` (yes and
    no by default), `target` for what should be found out (all where none is marked), `answer`
    where it is known. With `process` the questions are those of a latent-class process and Bayes'
    rule stands beside. Controls: an unrelated question, and interviews with random questions.

    Units: nats, mean over targets; n counts targets, or interviews.

    Raises:
        BadRows: a row has fewer than two answers, or a known one that is none of them.
        DataError: the process is no latent-class one.

    Source: Wang et al. 2025, arXiv:2504.04204, section 3. We differ: no fine-tuning is needed, and
    shares of the listed answers are normalised.
    """

    depth: int = option(1, help="Questions looked ahead; cost grows as a power.", low=1, high=4)
    steps: int = option(3, help="Questions of an interview.", low=1, high=64)
    interviews: int = option(4, help="Interviews held.", low=1, high=1000)
    questions: int = option(16, help="Rows read as questions, the first ones.", low=1, high=256)
    targets: int = option(
        4, help="With --process: its last questions, to find out.", low=1, high=32
    )
    process: str = option("", help="Address of a latent-class task, in place of the rows.")
    lead: str = option("", help="Text before the first question, such as whom it is about.")
    unrelated: str = option(
        "Is it raining in Lisbon at this moment?", help="A question that tells nothing."
    )

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        known = self._process()
        if known is None:
            items = read_items(examples[: self.questions])
            wording = Wording(lead=f"{self.lead}\n" if self.lead else "")
        else:
            items, wording = self._items(known), SEQUENCE
        targets = tuple(i for i, item in enumerate(items) if item.is_target)
        targets = targets or tuple(range(len(items)))
        spare = Item(question=self.unrelated)
        predict = model_predictor(model, [*items, spare], wording, context)
        elicitor = Elicitor(predict=predict, n_questions=len(items), targets=targets)
        gains = self._gains(elicitor, items, known)
        rows, after = self._interviews(elicitor, items, known, context)
        return self._report(items, elicitor, gains, rows, after)

    def _process(self) -> LatentClass | None:
        if not self.process:
            return None
        found = open_sequences(self.process).process()
        if not isinstance(found, LatentClass):
            raise DataError(f"{self.process} asks no questions", hint="latent-class?length=24")
        return found

    def _items(self, known: LatentClass) -> list[Item]:
        first = max(1, len(known.questions) - self.targets)
        return [
            Item(question=name, answers=known.answers, is_target=i >= first)
            for i, name in enumerate(known.questions)
        ]

    def _gains(
        self, elicitor: Elicitor, items: Sequence[Item], known: LatentClass | None
    ) -> Samples:
        free = elicitor.left(())
        values = {VALUE: np.stack([elicitor.gains((), q) for q in free], axis=1)}
        if known is not None:
            exact = replace(elicitor, predict=exact_predictor(known), _known={})
            values["exact"] = np.stack([exact.gains((), q) for q in free], axis=1)
        else:
            values["unrelated"] = np.stack([elicitor.gains((), len(items))] * len(free), axis=1)
        return Samples.of(
            {
                kind: {"gain": x, "negative": np.where(np.isnan(x), np.nan, x < -_ROUNDING)}
                for kind, x in values.items()
            },
            _METRICS,
            unit="targets",
            controls_of=_GAIN_CONTROLS,
            axes_of={
                "question": Axis(
                    help="The question.",
                    labels=tuple(f"{q + 1} {items[q].question[:60]}" for q in free),
                )
            },
        )

    def _interviews(
        self,
        elicitor: Elicitor,
        items: Sequence[Item],
        known: LatentClass | None,
        context: Context,
    ) -> tuple[list[dict[str, Any]], Samples]:
        steps = min(self.steps, len(elicitor.left(())))
        values = {kind: np.empty((self.interviews, steps + 1)) for kind in (VALUE, "random")}
        rows: list[dict[str, Any]] = []
        for number in range(self.interviews):
            entity = _entity(items, known, context.stream(f"entity {number}"))
            for kind, curve in values.items():
                draw = context.stream(f"interview {number}")
                asked: Asked = ()
                curve[number, 0] = elicitor.entropies(asked).mean()
                for step in range(steps):
                    question, worth = self._next(elicitor, asked, kind, draw)
                    said = entity[question]
                    if said is None:
                        p = np.exp(elicitor.log_p(asked, question))
                        said = int(draw.choice(len(p), p=p / p.sum()))
                    asked = (*asked, (question, said))
                    curve[number, step + 1] = elicitor.entropies(asked).mean()
                    if kind == VALUE:
                        rows.append(
                            {"interview": number, "asked": step, "worth": worth,
                             "question": items[question].question,
                             "answer": items[question].answers[said]}
                        )  # fmt: skip
            context.progress(number + 1, self.interviews, "interviews")
        axis = Axis(help="Questions asked.", unit="questions", labels=tuple(range(steps + 1)))
        samples = Samples.of(
            {kind: {"entropy": x} for kind, x in values.items()},
            _AFTER,
            unit="interviews",
            controls_of=_AFTER_CONTROLS,
            axes_of={"asked": axis},
        )
        return rows, samples

    def _next(
        self, elicitor: Elicitor, asked: Asked, kind: str, draw: np.random.Generator
    ) -> tuple[int, float | None]:
        if kind != VALUE:
            return int(draw.choice(elicitor.left(asked))), None
        question, worth = elicitor.choose(asked, self.depth)
        return question, worth[question]

    def _report(
        self,
        items: Sequence[Item],
        elicitor: Elicitor,
        gains: Samples,
        rows: Sequence[dict[str, Any]],
        after: Samples,
    ) -> Result:
        control = next(iter(gains.controls))
        estimates: list[Estimate] = [gains.estimate("negative", control, name="incoherent")]
        means = gains.mean("gain").value
        if np.isfinite(means).any():
            best = gains.axes_of["question"].labels[int(np.nanargmax(means))]
            estimates.insert(0, gains.estimate("gain", control, at={"question": best}, name="gain"))
            told = f"{best!r} would tell most: {estimates[0]}"
        else:
            told = "no question has a target beside itself"
        end = after.axes_of["asked"].labels[-1]
        estimates.append(after.estimate("entropy", "random", at={"asked": end}, name="entropy"))
        share = estimates[-2]
        said = f"; negative gains, which no belief has: {share}" if share.value else ""
        return study_report(
            [gains, after],
            summary=f"{told}{said}; after {end} questions {estimates[-1]}.",
            averages={"gains": ("question",), "entropy": ("asked",)},
            rows={"interviews": rows},
            columns=_COLUMNS,
            plots=(
                Plot(title="Information gain", metrics=("gain",), axes=("question",)),
                Plot(title="Entropy of the targets", metrics=("entropy",), axes=("asked",)),
            ),
            estimates=estimates,
            notes=_notes(items),
        )


def _entity(
    items: Sequence[Item], known: LatentClass | None, draw: np.random.Generator
) -> list[int | None]:
    """Return the answers of one entity, None where the model's own is to be drawn."""
    if known is None:
        return [item.known for item in items]
    kind = draw.choice(len(known.prior), p=known.prior)
    answers: list[NDArray[np.float64]] = list(known.answer[kind])
    return [int(draw.choice(len(p), p=p)) for p in answers]


def _notes(items: Sequence[Item]) -> list[Note]:
    if any(item.is_target for item in items):
        return []
    return [Note("no row is marked as a target: every question is one", "info", "targets")]
