"""Train a gate and an adapter by reinforcement, beside their controls."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from reasoning.hybrid.ablation_run import AblationSeed, HybridOptions, read_judged
from reasoning.hybrid.format_stage import learn_format
from reasoning.hybrid.presets import ABLATIONS, PRESETS
from reasoning.hybrid.report import ablation_report
from reasoning.hybrid.workers import Workplace, run_ablations
from workbench.latent.inputs import GATE_WIDTH
from workbench.latent.trained import RECIPE
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import recipe
from workbench.model.model import Model
from workbench.options import option
from workbench.result.result import Result
from workbench.sampling.marked import MARK, written_response
from workbench.training.ablations import selected
from workbench.training.checkpoint import Checkpoint
from workbench.training.report import checkpoint_note
from workbench.training.scratch import scratch_model

_ARMS = "Comma-separated: grpo, hrpo, hrpo-no-decay, decay-only."
_FORMAT = "Steps of imitation; 0: the model named answers in that form already."


@recipe(RECIPE, source="Yue et al. 2025, arXiv:2505.18454")
@dataclass(frozen=True, kw_only=True)
class TrainHybrid:
    """Reinforce a model that thinks in gated mixtures, beside token-only and decay-only arms.

    1. The model learns the form of an answer by imitation: steps, a mark, the answer.
    2. Each arm draws groups of responses and is rewarded when the marked answer is right. The
       gradient follows rewards relative to the group, minus a distance to the model of stage 1.

    Arms: `grpo` feeds tokens; `hrpo` has a gate whose Λ decays, as published; `hrpo-no-decay`
    has one whose Λ does not; in `decay-only` the gate learns nothing and decays. Arms of one seed
    see the same problems with the same random numbers, and all are judged on the same held-out
    problems. `tiny` begins with a network of characters from nothing, whatever model is named.
    Every arm is a checkpoint of its own, `ARM-SEED` in the folder; the first
    with a learnt gate is the folder's.

    Cost: `tiny` takes about five minutes per arm and seed on one core, `cpu` about an hour per
    arm for a model of 135M parameters; with `workers` arms run side by side.

    Units: accuracies and rewards are proportions, distances in nats per token.

    Raises:
        TooLittleData: the task has too few different problems.
        FitError: a loss is not finite.

    Source: Yue et al. 2025, section 3; we take log-probabilities at the sampling temperature,
    mask padding in every pass, and let Λ decay only in the arm that says so.
    """

    default_task: ClassVar[str] = "sums?largest=30"

    preset: Literal["tiny", "cpu", "gpu"] = option("cpu", help="Sizes for that much compute.")
    arms: str | None = option(None, help=_ARMS)
    seeds: int | None = option(None, help="Random starts of each arm.", low=1, high=100)
    scratch: bool | None = option(None, help="Begin with a small network from nothing.")
    format_steps: int | None = option(None, help=_FORMAT, low=0, high=10**7)
    steps: int | None = option(None, help="Updates of each arm.", low=1, high=10**7)
    prompts: int | None = option(None, help="Problems of an update.", low=1, high=10**5)
    responses: int | None = option(None, help="Responses to each.", low=2, high=10**4)
    new_tokens: int | None = option(None, help="Limit of a response.", low=4, high=8192)
    judged: int | None = option(None, help="Held-out problems.", low=2, high=10**6)
    problems: int | None = option(None, help="Problems to learn from.", low=2, high=10**7)
    rank: int | None = option(None, help="Rank of the adapter.", low=1, high=1024)
    rate: float | None = option(None, help="Learning rate of the adapter.", low=0, high=1)
    gate_rate: float | None = option(None, help="Learning rate of the matrices.", low=0, high=1)
    lam_rate: float | None = option(None, help="Learning rate of Λ.", low=0, high=1)
    r_min: float | None = option(None, help="Least gate at the start.", low=0.01, high=0.999)
    temperature: float | None = option(None, help="Of sampling and mixtures.", low=0.01, high=10)
    reward: Literal["marked", "task"] = option("marked", help="Marked answer, or task's verifier.")
    mark: str = option(MARK, help="What stands before the answer and ends the thinking.")
    beta: float = option(0.005, help="Weight of the distance.", low=0, high=10)
    decay: float = option(0.1, help="Weight decay.", low=0, high=10)
    clip: float = option(0.1, help="Largest norm of the gradient; 0: any.", low=0, high=1e6)
    width: int = option(GATE_WIDTH, help="Tokens in a mixture.", low=1, high=10**6)
    workers: int = option(1, help="Arms at once, each a process.", low=1, high=256)
    minutes: float = option(0.0, help="Time limit of an arm; 0: none.", low=0, high=10**5)
    half: bool = option(True, help="Store the weights in 16 bits.")

    def base_model(self, context: Context) -> Model | None:
        """Return the random network to begin with, None to begin with the model named."""
        options = self._options(context)
        preset = options.preset
        if not preset.scratch:
            return None
        _, problems, judged = options.problems()
        texts = [
            text
            for one in (*problems[:512], *judged)
            for text in (one.question, written_response(one, self.mark))
        ]
        name = f"characters of {options.task}"
        return scratch_model(texts, preset.shape, seed=context.seed, name=name, pieces="characters")

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        options, folder = self._options(context), context.folder
        preset = options.preset
        model = self.base_model(context) or model
        ablations = [
            AblationSeed(ablation=ablation.name, seed=seed)
            for seed in range(preset.seeds)
            for ablation in selected(preset.arms, ABLATIONS)
        ]
        base, history = learn_format(model, options, context)
        workplace = Workplace(
            folder=folder, resume=context.resume, workers=self.workers, loaded=model
        )
        run_ablations(ablations, options, base, workplace, context.progress)
        stories = {one: read_judged(folder, one) for one in ablations}
        result = ablation_report(stories, history)
        gated = [one for one in ablations if ABLATIONS[one.ablation].gate_learns]
        first = (gated or ablations)[0]
        scores = {e.name: {"accuracy": e.value, "gate off": e.control} for e in result.estimates}
        saved = Checkpoint.load(folder / first.folder).rescored(scores, folder)
        where = f"{folder}, the others beside it; their model is {base.name}"
        note = checkpoint_note(saved.manifest, where, f" of {first.folder}")
        return replace(result, notes=(*result.notes, note))

    def _options(self, context: Context) -> HybridOptions:
        preset = PRESETS[self.preset].with_options(self, context.limit)
        selected(preset.arms, ABLATIONS)
        names = ("mark", "reward", "beta", "decay", "clip", "width", "minutes", "half")
        same = {name: vars(self)[name] for name in names}
        return HybridOptions(
            task=context.task or self.default_task, preset=preset, seed=context.seed, **same
        )
