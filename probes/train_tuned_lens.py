"""Train the affine maps of a tuned lens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from probes.lens.training import LensObjective, LensOptions
from probes.tuned_lens import RECIPE, LoadedLens
from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit_state import measured_rows
from workbench.methods.registry import recipe
from workbench.model.model import Model
from workbench.options import option
from workbench.result.result import Result
from workbench.result.tables import Column
from workbench.training.loop import Plan
from workbench.training.presets import Preset
from workbench.training.report import scores_of, trained_report
from workbench.training.run import TrainingRun, told_of
from workbench.training.splits import held_out_rows
from workbench.training.state import STATE

_MOST_HELD_OUT = 64


@dataclass(frozen=True, kw_only=True)
class LensPreset(Preset):
    """How much is read and trained; see `LensObjective` for what is drawn."""

    rank: int
    steps: int
    texts: int
    positions: int
    tokens: int
    start_tokens: int
    learning_rate: float


PRESETS = {
    "tiny": LensPreset(
        rank=4, steps=30, texts=4, positions=4, tokens=64, start_tokens=500, learning_rate=1e-3
    ),
    "cpu": LensPreset(
        rank=48, steps=400, texts=6, positions=8, tokens=160, start_tokens=40_000,
        learning_rate=3e-4,
    ),
    "gpu": LensPreset(
        rank=0, steps=2000, texts=32, positions=64, tokens=512, start_tokens=0, learning_rate=1e-3
    ),
}  # fmt: skip


@recipe(RECIPE, source="Belrose et al. 2023, arXiv:2303.08112")
@dataclass(frozen=True, kw_only=True)
class TrainTunedLens:
    """Fit one affine map per layer so that its prediction comes close to the final one.

    Minimises KL(p‖q), p the model's own next-token distribution and q that of the translated
    layer, averaged over layers and positions drawn at random from each text. The model stays
    frozen. `cpu` starts from a closed-form regression on directions, which does most of the
    work; `gpu` starts from the identity with full-rank maps. The best weights on held-out texts
    are kept, and both lenses are compared on them.

    Cost: one product with the output head, and its gradient, per layer, position and text of a
    step; `cpu` takes about a quarter of an hour on one core for a model of 135M parameters.

    Units: losses in nats.

    Raises:
        TooLittleData: fewer than two texts of two tokens.
        FitError: the loss is not finite.

    Source: Belrose et al. 2023, section 3; theirs is full rank, SGD with Nesterov momentum.
    """

    losses: ClassVar = (
        Column("nats", "KL from the final prediction, mean over layers."),
        Column("nats", "The same on held-out texts; the lowest is kept."),
    )

    preset: Literal["tiny", "cpu", "gpu"] = option("cpu", help="Sizes for that much compute.")
    rank: int | None = option(None, help="Rank of the maps; 0 is full.", low=0, high=100_000)
    steps: int | None = option(None, help="Training steps.", low=1, high=10_000_000)
    texts: int | None = option(None, help="Texts per step.", low=1, high=100_000)
    positions: int | None = option(None, help="Positions per text.", low=1, high=100_000)
    tokens: int | None = option(None, help="Tokens kept of each text.", low=2, high=1_000_000)
    start_tokens: int | None = option(
        None, help="Tokens of the regression to start from; 0: identity.", low=0, high=10**9
    )
    learning_rate: float | None = option(None, help="Highest learning rate.", low=1e-9, high=10.0)
    validation: float = option(0.1, help="Share of texts held out.", low=0.01, high=0.5)
    save_every: int = option(50, help="Steps between saved states.", low=1, high=10**9)
    half: bool = option(True, help="Store the maps in 16 bits.")
    memory: int = option(
        64, help="Most memory for tensors over the vocabulary.", low=1, high=1 << 20, unit="MiB"
    )

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        preset = PRESETS[self.preset].with_options(self)
        context = context.on(model)
        kept, held_out = held_out_rows(
            model,
            examples,
            length=preset.tokens,
            share=self.validation,
            most=_MOST_HELD_OUT,
            draw=context.stream("lens split"),
        )
        objective = LensObjective(model, kept, held_out, self._options(preset, context), context)
        run = TrainingRun.of(self, RECIPE, preset, model, context, **told_of(examples))
        history = run.train(objective, self._plan(preset))
        maps = objective.maps.frozen()
        result = measured_rows(LoadedLens(every=8, maps=maps), model, held_out, context)
        saved = run.save(maps.tensors(), scores=scores_of(result, "tuned", "logit lens"))
        words = "tuned lens, {loss:.3g} nats on held-out texts after {step} steps"
        return trained_report(run, result, history, self.losses, saved=saved, summary=words)

    def _options(self, preset: LensPreset, context: Context) -> LensOptions:
        # A saved state holds the maps already.
        is_begun = context.resume and (context.folder / STATE).is_file()
        return LensOptions(
            rank=preset.rank,
            positions=preset.positions,
            start_tokens=0 if is_begun else preset.start_tokens,
            memory=self.memory,
        )

    def _plan(self, preset: LensPreset) -> Plan:
        steps, rows, rate = preset.steps, preset.texts, preset.learning_rate
        saved = {"clip": 0.0, "save_every": self.save_every}
        return Plan.looked_at(10, steps=steps, rows=rows, rate=rate, warmup=20, **saved)
