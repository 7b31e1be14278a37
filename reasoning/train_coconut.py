"""Train a model to think in continuous thoughts, beside its controls."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from reasoning.coconut.evaluator import Evaluator
from reasoning.coconut.presets import ABLATIONS, PRESETS, CoconutPreset
from reasoning.coconut.report import ablation_report
from reasoning.coconut.training import Stages
from workbench.latent.coconut import RECIPE
from workbench.methods.contracts import Context
from workbench.methods.registry import recipe
from workbench.options import option
from workbench.result.result import Note, Result
from workbench.training.ablations import selected
from workbench.training.network_recipe import NetworkRecipe
from workbench.training.run import TrainingRun
from workbench.training.splits import Splits

_ARMS = "Comma-separated: coconut, pause, no-thought, no-curriculum."
_WRITING = "Steps of the writer; 0: the model named writes chains already."


@recipe(RECIPE, source="Hao et al. 2024, arXiv:2412.06769")
@dataclass(frozen=True, kw_only=True)
class TrainCoconut(NetworkRecipe[CoconutPreset]):
    """Train thoughts in place of written steps, one more step in every stage.

    1. The writer learns whole chains in words (and, beside them, answers without a chain).
    2. Each arm goes on from it: stage k leaves out the first k steps and thinks `per_step`
       thoughts for each. Only what is still written is learned.

    Arms: `coconut` feeds its last state back; `pause` feeds one learned vector as often;
    `no-thought` leaves the steps out and thinks nothing; `no-curriculum` begins with the last
    stage. All make as many steps on the same problems. The writer and all arms answer the same
    problems, kept from training and choosing; `coconut` also with its thoughts replaced by
    nought, by a random direction and by another problem's.

    `tiny` and `cpu` train a small network on the words of the task from nothing, whatever model
    is named; `gpu` puts adapters on the model. Every arm is a checkpoint of its own in the
    folder, for the model in `model` beside it.

    Cost: `cpu` takes about forty minutes on one core, `tiny` seconds.

    Units: losses in nats per token; accuracies are proportions of problems.

    Raises:
        TooLittleData: no problem of the task has written steps.
        FitError: a loss is not finite.

    Source: section 3 of the paper. We differ: marks are vectors and no tokens, problems of fewer
    steps think as long as the others, fewer stages and steps, controls in the same run.
    """

    recipe: ClassVar = RECIPE
    default_task: ClassVar[str] = "prosqa?hops=3&classes=10&brief=yes"

    preset: Literal["tiny", "cpu", "gpu"] = option("cpu", help="Sizes for that much compute.")
    arms: str | None = option(None, help=_ARMS)
    scratch: bool | None = option(None, help="Train a small network from nothing.")
    problems: int | None = option(None, help="Problems to learn from.", low=2, high=10**7)
    held_out: int | None = option(None, help="Problems to choose by.", low=1, high=10**5)
    judged: int | None = option(None, help="Problems to judge by.", low=2, high=10**6)
    batch: int | None = option(None, help="Problems of a step.", low=1, high=10**5)
    writing: int | None = option(None, help=_WRITING, low=0, high=10**7)
    stages: int | None = option(None, help="Written steps left out at last.", low=1, high=100)
    steps: int | None = option(None, help="Training steps of a stage.", low=1, high=10**7)
    per_step: int | None = option(None, help="Thoughts for a step left out.", low=1, high=100)
    rate: float | None = option(None, help="Learning rate of the arms.", low=1e-9, high=1)
    rank: int | None = option(None, help="Rank of adapters; 0: all weights.", low=0, high=4096)
    tokens: int = option(128, help="Most tokens of an answer.", low=1, high=10**5, unit="tokens")
    half: bool = option(True, help="Store the weights in 16 bits.")

    def sizes(self, context: Context) -> CoconutPreset:
        preset = PRESETS[self.preset].with_options(self, context.limit)
        selected(preset.arms, ABLATIONS)
        return preset

    def learn(self, run: TrainingRun[CoconutPreset], splits: Splits, context: Context) -> Result:
        preset = run.preset
        stages = Stages(run=run, splits=splits)
        writer = stages.write()
        context = replace(context, task=splits.address)
        evaluator = Evaluator(splits=splits, context=context, tokens=self.tokens)
        found = evaluator.writer(stages.writer_model(writer), writer.lead)
        base = stages.save_writer(writer)
        for ablation in selected(preset.arms, ABLATIONS):
            place = stages.ablation(ablation, writer, base)
            found += evaluator.ablation(ablation.name, base, place)
        result = ablation_report(found, stages.histories)
        stages.save_scores(found)
        note = Note(
            f"arms written to {run.folder}, for the model {base.spec.name}", code="checkpoint"
        )
        return replace(result, notes=(*result.notes, note))
