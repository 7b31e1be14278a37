"""Train a network to write chains in words, or answers alone: where other reasoners begin."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from reasoning._sentence_evaluation import held_out_accuracies
from reasoning.sentences.writing_objective import WritingObjective
from reasoning.token_chain import ChainOfThought
from workbench.methods.contracts import Context
from workbench.methods.registry import recipe
from workbench.model.loading import load_model
from workbench.options import option
from workbench.result.result import Result
from workbench.result.tables import Column
from workbench.training.adapter import Adapter
from workbench.training.lines import Lines, Worked
from workbench.training.network_recipe import NetworkRecipe
from workbench.training.presets import NetworkPreset
from workbench.training.report import trained_report
from workbench.training.run import TrainingRun
from workbench.training.scratch import save_model
from workbench.training.splits import Splits

RECIPE = "chain-writer"


@dataclass(frozen=True, kw_only=True)
class WriterPreset(NetworkPreset):
    """How long the writer is trained, at that highest learning rate."""

    steps: int
    rate: float


PRESETS = {
    "tiny": WriterPreset(
        scratch=True, problems=48, held_out=12, batch=8, layers=2, width=32, heads=2,
        steps=12, rate=3e-3,
    ),
    "cpu": WriterPreset(
        scratch=True, problems=12_000, held_out=200, batch=32, steps=1200, rate=1.5e-3,
    ),
    "gpu": WriterPreset(
        scratch=False, problems=15_000, held_out=200, batch=32, rank=16, steps=1500, rate=4e-4,
    ),
}  # fmt: skip


@recipe(RECIPE, source="Wei et al. 2022, arXiv:2201.11903")
@dataclass(frozen=True, kw_only=True)
class TrainWriter(NetworkRecipe[WriterPreset]):
    """Train a network to write the steps of a task's problems and then the answer.

    `learns=answers` leaves the steps out: the baseline that answers at once. `tiny` and `cpu` train
    a small network on the words of the task from nothing, whatever model is named; the folder is
    then a model that `--model` takes, and that `coconut`, `sentence-chain` and `hybrid` can begin
    from. `gpu` puts adapters on the model.

    Cost: `cpu` takes about six minutes on one core, `tiny` seconds.

    Units: losses in nats per token; accuracies are proportions of held-out problems.

    Raises:
        TooLittleData: no problem of the task has written steps.
        FitError: a loss is not finite.

    Source: Wei et al. 2022 for chains in words; trained as the first stage of arXiv:2412.06769.
    """

    losses: ClassVar = (
        Column("nats per token", "Loss on everything after the question."),
        Column("nats per token", "The same on held-out problems; the lowest is kept."),
    )

    recipe: ClassVar = RECIPE
    default_task: ClassVar[str] = "chained-sums"

    preset: Literal["tiny", "cpu", "gpu"] = option("cpu", help="Sizes for that much compute.")
    learns: Literal["chains", "answers"] = option("chains", help="Steps and answer, or answers.")
    scratch: bool | None = option(None, help="Train a small network from nothing.")
    problems: int | None = option(None, help="Problems to learn from.", low=2, high=10**7)
    held_out: int | None = option(None, help="Problems to choose by.", low=1, high=10**5)
    batch: int | None = option(None, help="Problems of a step.", low=1, high=10**5)
    layers: int | None = option(None, help="Layers of a network from nothing.", low=1, high=100)
    width: int | None = option(None, help="Width of a network from nothing.", low=8, high=4096)
    init_std: float | None = option(
        None, help="Standard deviation of its first weights.", low=1e-6, high=10
    )
    steps: int | None = option(None, help="Training steps.", low=1, high=10**7)
    rate: float | None = option(None, help="Highest learning rate.", low=1e-9, high=1)
    rank: int | None = option(None, help="Rank of adapters; 0: all weights.", low=0, high=4096)
    tokens: int = option(128, help="Most tokens of an answer.", low=1, high=10**5, unit="tokens")
    half: bool = option(True, help="Store the weights in 16 bits.")

    def sizes(self, context: Context) -> WriterPreset:
        return PRESETS[self.preset].with_options(self, context.limit)

    def learn(self, run: TrainingRun[WriterPreset], splits: Splits, context: Context) -> Result:
        model, preset = run.model, run.preset
        weights, lines = run.tuning("writer", preset.lora), Lines(model.tokenizer)
        parts = (self._learned(part) for part in (splits.train, splits.valid))
        objective = WritingObjective(weights, lines, *parts, direct=0.0)
        history = run.train(objective, preset.plan(preset.steps, preset.rate, objective.n_rows))
        if isinstance(weights, Adapter):
            writer, tensors = weights.model, weights.tensors()
        else:
            save_model(weights.module, model.tokenizer, run.folder, dtype=run.dtype)
            writer, tensors = load_model(run.folder, device=model.device.type), {}
        context = replace(context, task=splits.address)
        asked = {str(self.learns): ChainOfThought(tokens=self.tokens)}
        found = held_out_accuracies(writer, asked, splits, context)
        scores = {e.name: {"accuracy": e.value, "majority": e.control} for e in found}
        saved = run.save(tensors, scores=scores)
        words = "{loss:.3g} nats per token held out after {step} steps"
        result = Result(summary=str(found[0]), estimates=found)
        return trained_report(run, result, history, self.losses, saved=saved, summary=words)

    def _learned(self, problems: Sequence[Worked]) -> list[Worked]:
        if self.learns == "chains":
            return list(problems)
        return [replace(worked, sentences=worked.sentences[-1:]) for worked in problems]
