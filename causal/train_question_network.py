"""Train a small network to answer what follows from correlations, from nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from causal.corr2cause import Corr2Cause
from causal.worlds.question_objective import QuestionObjective
from causal.worlds.question_packs import PackSource
from workbench.errors import BadOption
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import recipe
from workbench.model.model import Model
from workbench.options import option
from workbench.result.result import Result
from workbench.result.tables import Column, Table
from workbench.sampling.choice_baselines import (
    BASELINES,
    beside_baselines,
    estimates_by_name,
)
from workbench.sampling.choice_metrics import UNITS
from workbench.sampling.choice_scores import log_probabilities, requests
from workbench.sampling.items import Item
from workbench.sampling.task import open_task
from workbench.training.drawn import drawn_run, train_drawn
from workbench.training.presets import ScratchOptions, ScratchPreset
from workbench.training.scratch import scratch_model

RECIPE = "question-network"
_POSITIONS = 512
_TOLD = ("accuracy", "balanced_accuracy", "auroc")

PRESETS = {
    "tiny": ScratchPreset(
        layers=2, width=16, heads=2, batch=4, steps=20, held_out=4, judged=4, learning_rate=1e-2,
    ),
    "cpu": ScratchPreset(
        layers=2, width=32, heads=4, batch=8, steps=600, held_out=8, judged=30, learning_rate=1e-2,
    ),
    "gpu": ScratchPreset(
        layers=6, width=128, heads=8, batch=128, steps=20_000, held_out=128, judged=200,
        learning_rate=1e-3,
    ),
}  # fmt: skip


@recipe(RECIPE, source="Jin et al. 2024, arXiv:2306.05836")
@dataclass(frozen=True, kw_only=True)
class TrainQuestionNetwork(ScratchOptions):
    """Train a small causal network to say whether a causal statement follows from correlations.

    Premises of the task corr2cause are drawn anew for every step, each with several questions
    behind it that do not see one another; half of the answers are yes where a premise has as
    many. A tenth of all premises, told by what they say whatever the order of names, is never
    learned from: these choose the weights and judge the network, whatever model is named. Control:
    the best baseline that is fitted to other premises (commonest answer, length, template, bag of
    words). The folder is a model that `--model` takes.

    Cost: `cpu` takes half a minute on one core, `tiny` a second.

    Units: accuracy and AUROC as proportions; losses in nats per answer.

    Raises:
        BadOption: the task is another one, reads a file, or has more than four variables.
        FitError: the loss is not finite.

    Source: Jin et al. 2024, section 5, fine-tune large models on released labels; ours are exact.
    """

    losses: ClassVar = (
        Column("nats", "Cross-entropy of the answers on new premises."),
        Column("nats per answer", "Cross-entropy on held-out premises; lowest is kept."),
    )

    default_task: ClassVar[str] = "corr2cause?nodes=3&wording=brief&letters=4"

    asked: int = option(12, help="Questions of a premise.", low=2, high=72)

    def base_model(self, context: Context) -> Model | None:
        """Return the random network to begin with."""
        texts = [f"{text}\nAnswer: Yes No" for text in self._source(context).texts()]
        shape = PRESETS[self.preset].with_options(self, context.limit).shape(_POSITIONS)
        name = f"questions of {context.task or self.default_task}"
        return scratch_model(texts, shape, seed=context.seed, name=name)

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        preset = PRESETS[self.preset].with_options(self, context.limit)
        source = self._source(context)
        held = source.draw(preset.held_out, context.stream("held-out premises"), held_out=True)
        objective = QuestionObjective(model, source, batch=preset.batch, held_out=held)
        run = drawn_run(self, RECIPE, preset, model, context, ("premises", str(source)))
        drawn = source.draw(preset.judged, context.stream("judged premises"), held_out=True)
        items = [item for i, pack in enumerate(drawn) for item in pack.items(f"premise-{i}")]
        words = "{loss:.3g} nats per held-out answer after {step} steps"
        return train_drawn(run, objective, partial(judged, items, context), self.losses, words)

    def _source(self, context: Context) -> PackSource:
        task = open_task(context.task or self.default_task)
        if not isinstance(task, Corr2Cause) or task.path:
            raise BadOption(
                f"task {context.task}; expected drawn questions of corr2cause",
                hint=f"--task '{self.default_task}'",
            )
        return PackSource(
            nodes=task.nodes, letters=task.letters, wording=task.wording, asked=self.asked
        )


def judged(items: Sequence[Item], context: Context, model: Model) -> Result:
    """Score a model on questions, beside the baselines that need no reasoning."""
    asked = [one for i in items for one in requests(model, i.prompt, i.choices, chat=False)]
    scores = log_probabilities(model, asked, context).reshape(len(items), -1)
    told = estimates_by_name(beside_baselines({"model": scores}, items, context), context)
    best = {m: max(BASELINES, key=lambda b: told[b][m].value or 0.0) for m in _TOLD}
    found = tuple(told["model"][m].against(told[best[m]][m].value, f"{best[m]} baseline")
                  for m in _TOLD)  # fmt: skip
    rows = [{"scored by": name} | {m: e[m].value for m in _TOLD} for name, e in told.items()]
    return Result(
        summary=f"{found[0]} on premises that were not learned from.",
        estimates=found,
        tables={"judged": Table.from_rows(
            rows, {m: Column(UNITS[m], f"{m} on held-out premises.") for m in _TOLD}
        )},
    )  # fmt: skip
