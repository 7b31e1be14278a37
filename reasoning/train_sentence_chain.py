"""Train a sentence pipeline: writer, codec, latent model and stop head."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from reasoning._sentence_evaluation import held_out_accuracies, reasoners
from reasoning.sentences.curves import report
from reasoning.sentences.keeping import Trained, answer_ids, reopened
from reasoning.sentences.prediction_objective import PredictionOptions
from reasoning.sentences.presets import PRESETS, SentencePreset
from reasoning.sentences.stages import Stages
from workbench.methods.contracts import Context
from workbench.methods.registry import recipe
from workbench.options import option
from workbench.result.result import Result
from workbench.training.codec import Space
from workbench.training.lines import Lines
from workbench.training.network_recipe import NetworkRecipe
from workbench.training.run import TrainingRun
from workbench.training.sentence_model import RECIPE
from workbench.training.splits import Splits

_WRITING = "Steps of the writer; 0: the model named writes chains already."


@recipe(RECIPE, source="Hwang et al. 2025, arXiv:2505.22202")
@dataclass(frozen=True, kw_only=True)
class TrainSentenceChain(NetworkRecipe[SentencePreset]):
    """Train what sentence reasoning needs: a writer, a sentence codec, a latent model, a stop head.

    1. The writer learns chains in words (and, beside them, answers without a chain).
    2. The codec, from the writer's weights, learns to write each sentence from one vector.
    3. The latent model, from the writer's weights, learns to predict the next vector: the frozen
       decoder must write the true sentence from it, and InfoNCE holds it near the encoder's
       vector. The stop head learns beside it which vector is the last.

    `tiny` and `cpu` train a small network on the words of the task from nothing, whatever model
    is named; `gpu` puts adapters on the model. Each stage resumes where it was stopped and keeps
    its best weights by held-out problems. Tasks divide themselves into parts: judge the result
    on `part=test`, which is never looked at here.

    Cost: `cpu` takes about twenty minutes on one core, `tiny` seconds.

    Units: losses in nats per token; accuracies are proportions of held-out problems.

    Raises:
        TooLittleData: no problem of the task has written steps.
        FitError: a loss is not finite.

    Source: sections 3 and 4 of the paper. We differ: shared normalisation of what is fed, outputs
    fed back in part of the training, a trained stop head, answers in every stage, reduced
    schedule.
    """

    recipe: ClassVar = RECIPE
    default_task: ClassVar[str] = "blocksworld?blocks=4&brief=yes"

    preset: Literal["tiny", "cpu", "gpu"] = option("cpu", help="Sizes for that much compute.")
    space: Space = option("ctx-b", help="Vectors after a sentence alone, or before it in context.")
    scratch: bool | None = option(None, help="Train a small network from nothing.")
    problems: int | None = option(None, help="Problems to learn from.", low=2, high=10_000_000)
    held_out: int | None = option(None, help="Problems to choose by.", low=1, high=100_000)
    batch: int | None = option(None, help="Problems of a step.", low=1, high=100_000)
    writing: int | None = option(None, help=_WRITING, low=0, high=10_000_000)
    embedding: int | None = option(None, help="Steps of the codec.", low=1, high=10_000_000)
    prediction: int | None = option(None, help="Steps of the latent model.", low=1, high=10_000_000)
    embedding_rate: float | None = option(None, help="Rate of the codec.", low=1e-9, high=1)
    prediction_rate: float | None = option(None, help="Rate of the latent model.", low=1e-9, high=1)
    layers: int | None = option(None, help="Layers of a network from nothing.", low=1, high=100)
    width: int | None = option(None, help="Width of a network from nothing.", low=8, high=4096)
    rank: int | None = option(None, help="Rank of adapters; 0: all weights.", low=0, high=4096)
    contrast: float = option(1.0, help="Weight of InfoNCE.", low=0.0, high=100.0)
    noise: float = option(0.0, help="Noise-to-signal ratio in training.", low=0.0, high=10.0)
    feedback: float = option(0.5, help="Share of problems fed back.", low=0.0, high=1.0)
    half: bool = option(True, help="Store the weights in 16 bits.")

    def sizes(self, context: Context) -> SentencePreset:
        return PRESETS[self.preset].with_options(self, context.limit)

    def learn(self, run: TrainingRun[SentencePreset], splits: Splits, context: Context) -> Result:
        model = run.model
        stages = Stages(run=run, splits=splits)
        trained, lead = self._trained(stages)
        lines = Lines(model.tokenizer)
        told = {"lead": lines.text(lead), "answer_ids": answer_ids(lines, splits.train)}
        kept = trained.save(run, splits.train, told)
        reasoner, context = reopened(model, run.folder, kept), replace(context, task=splits.address)
        found = held_out_accuracies(reasoner, reasoners(run.folder), splits, context)
        scores = {e.name: {"accuracy": e.value, "majority": e.control} for e in found}
        kept = kept.rescored({"held-out problems": len(splits.evaluated), **scores}, run.folder)
        return report(found, stages.histories, run.folder, kept.manifest)

    def _trained(self, stages: Stages) -> tuple[Trained, list[int]]:
        writer, lead = stages.writing()
        anchor = None
        if self.space == "ctx-c":
            anchor = stages.embedding(writer, "semantic")[1]
        coder, codec = stages.embedding(writer, self.space, anchor)
        options = PredictionOptions(
            contrast=self.contrast, noise=self.noise, feedback=self.feedback
        )
        thinker, latent = stages.prediction(writer, codec, options)
        trained = Trained(writer=writer, coder=coder, thinker=thinker, codec=codec, latent=latent)
        return trained, lead
