"""Train a dictionary of top-k features for one site."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from probes.dictionaries.files import CONFIG, RECIPE, as_tensors, config_of
from probes.dictionaries.training import DictionaryObjective, states_of
from probes.dictionary import LoadedDictionary
from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit_state import measured_rows
from workbench.methods.registry import recipe
from workbench.model.model import Model
from workbench.model.site_patterns import SitePattern
from workbench.model.sites import Site
from workbench.options import option
from workbench.result.result import Result
from workbench.result.tables import Column
from workbench.training.checkpoint import write_whole
from workbench.training.loop import Plan
from workbench.training.presets import Preset
from workbench.training.report import scores_of, trained_report
from workbench.training.run import TrainingRun, told_of
from workbench.training.splits import held_out_rows

_MOST_HELD_OUT = 48
_JUDGED = 8_000
_BATCH_TOKENS = 2048


@dataclass(frozen=True, kw_only=True)
class DictionaryPreset(Preset):
    """How much is read and trained."""

    features: int
    k: int
    spare: int
    tokens: int
    length: int
    steps: int
    batch: int
    learning_rate: float


PRESETS = {
    "tiny": DictionaryPreset(
        features=64, k=4, spare=8, tokens=400, length=64, steps=30, batch=64, learning_rate=3e-3
    ),
    "cpu": DictionaryPreset(
        features=2048, k=32, spare=32, tokens=40_000, length=192, steps=700, batch=256,
        learning_rate=1e-3,
    ),
    "gpu": DictionaryPreset(
        features=16_384, k=32, spare=256, tokens=2_000_000, length=512, steps=20_000, batch=4096,
        learning_rate=3e-4,
    ),
}  # fmt: skip


@recipe(RECIPE, source="Gao et al. 2024, arXiv:2406.04093 (top-k sparse autoencoders)")
@dataclass(frozen=True, kw_only=True)
class TrainDictionary:
    """Learn directions of which few at a time add up to the states of one site.

    Minimises ‖x − x̂‖² over its mean around the mean state, x̂ = centre + the k strongest features
    times their directions. The model stays frozen and its states are read once; the first token of
    a text is left out. The best weights on held-out texts are kept. What is written is also in the
    format of SAELens (`cfg.json`; its weights under the name of ours).

    Cost: one pass over the texts up to the site, then twelve products of states and features per
    step; `cpu` takes about half an hour on one core for a model of 135M parameters.

    Units: losses are shares of variance; loss recovered is a proportion.

    Raises:
        TooLittleData: fewer than two texts, or fewer states than features.
        FitError: the loss is not finite.

    Source: Gao et al. 2024, section 2. We differ: the spare features are the next ones by
    strength, not dead ones; directions begin as random states; all of it in one short run.
    """

    losses: ClassVar = (
        Column("proportion", "Variance left unexplained, with the part of spare features."),
        Column("proportion", "Variance of held-out states left unexplained; lowest is kept."),
    )

    preset: Literal["tiny", "cpu", "gpu"] = option("cpu", help="Sizes for that much compute.")
    site: Site | None = option(
        None, help="Activation to take apart; default: resid_post of the layer a third up."
    )
    features: int | None = option(None, help="Directions to learn.", low=2, high=10**7)
    k: int | None = option(None, help="Features kept of each state.", low=1, high=10**5)
    spare: int | None = option(
        None, help="Next features that learn what is left; 0: none.", low=0, high=10**5
    )
    tokens: int | None = option(None, help="States to learn from.", low=2, high=10**9)
    length: int | None = option(None, help="Tokens kept of each text.", low=2, high=10**6)
    steps: int | None = option(None, help="Training steps.", low=1, high=10**7)
    batch: int | None = option(None, help="States per step.", low=1, high=10**6)
    learning_rate: float | None = option(None, help="Highest learning rate.", low=1e-9, high=10.0)
    validation: float = option(0.1, help="Share of texts held out.", low=0.01, high=0.5)
    save_every: int = option(100, help="Steps between saved states.", low=1, high=10**9)
    half: bool = option(True, help="Store the weights in 16 bits.")

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        preset = PRESETS[self.preset].with_options(self)
        context = context.on(model)
        site = (self.site or Site.parse(f"resid_post.{model.spec.n_layers // 3}")).resolve(
            model.spec
        )
        kept, held_out = held_out_rows(
            model,
            examples,
            length=preset.length,
            share=self.validation,
            most=_MOST_HELD_OUT,
            draw=context.stream("dictionary split"),
        )
        objective = self._objective(model, kept, held_out, site, preset, context)
        run = TrainingRun.of(self, RECIPE, preset, model, context, **told_of(examples))
        history = run.train(objective, self._plan(preset))
        found = objective.dictionary(SitePattern.parse(str(site)))
        judged = [row for row in held_out if len(row) > 1]
        result = measured_rows(LoadedDictionary(found=found), model, judged, context)
        saved = run.save(as_tensors(found), scores=scores_of(result))
        config = json.dumps(config_of(found, model.spec.name), indent=1)
        write_whole(run.folder / CONFIG, config.encode())
        told = "{loss:.3g} of held-out variance unexplained after {step} steps"
        words = f"dictionary of {site}, {told}"
        return trained_report(run, result, history, self.losses, saved=saved, summary=words)

    def _objective(
        self,
        model: Model,
        kept: Sequence[Sequence[int]],
        held_out: Sequence[Sequence[int]],
        site: Site,
        preset: DictionaryPreset,
        context: Context,
    ) -> DictionaryObjective:
        x, judged = (
            states_of(model, rows, site, limit=limit, batch_tokens=_BATCH_TOKENS, context=context)
            for rows, limit in ((kept, preset.tokens), (held_out, _JUDGED))
        )
        return DictionaryObjective(
            x,
            judged,
            n_features=preset.features,
            k=preset.k,
            spare=preset.spare,
            generator=context.torch_stream("dictionary directions"),
        )

    def _plan(self, preset: DictionaryPreset) -> Plan:
        steps, rows, rate = preset.steps, preset.batch, preset.learning_rate
        saved = {"decay": "linear", "save_every": self.save_every}
        return Plan.looked_at(10, steps=steps, rows=rows, rate=rate, warmup=50, **saved)
