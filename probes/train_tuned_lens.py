"""Train the affine maps of a tuned lens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from probes.lens.training import LensTask, Sizes
from probes.lens.translator import Translators
from probes.tuned_lens import RECIPE, TunedLens, lens_accumulator
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import recipe
from workbench.model.model import Model
from workbench.model.tokens import pad
from workbench.options import option, plain
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Curve
from workbench.training.checkpoint import Checkpoint, Manifest
from workbench.training.loop import History, Plan, train
from workbench.training.state import STATE

_JUDGED = 64


@dataclass(frozen=True, kw_only=True)
class _Preset:
    rank: int
    steps: int
    texts: int
    positions: int
    tokens: int
    start_tokens: int
    learning_rate: float


_PRESETS = {
    "tiny": _Preset(
        rank=4,
        steps=30,
        texts=4,
        positions=4,
        tokens=64,
        start_tokens=500,
        learning_rate=1e-3,
    ),
    "cpu": _Preset(
        rank=48,
        steps=400,
        texts=6,
        positions=8,
        tokens=160,
        start_tokens=40_000,
        learning_rate=3e-4,
    ),
    "gpu": _Preset(
        rank=0,
        steps=2000,
        texts=32,
        positions=64,
        tokens=512,
        start_tokens=0,
        learning_rate=1e-3,
    ),
}


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
        sizes = self.resolved()
        context = replace(context, spec=model.spec, unembed=model.unembed, decode=model.decode)
        kept, held_out = self._split(examples, context)
        rows = [model.tokenize(e.text, limit=sizes.tokens).row(0) for e in kept]
        judged = [model.tokenize(e.text, limit=sizes.tokens).row(0) for e in held_out]
        # A saved state holds the maps already.
        start_tokens = (
            0 if context.resume and (context.folder / STATE).is_file() else sizes.start_tokens
        )
        shape = Sizes(
            rank=sizes.rank,
            positions=sizes.positions,
            start_tokens=start_tokens,
            memory=self.memory,
        )
        task = LensTask(model, rows, judged, shape, context)
        manifest = self._manifest(model, examples, context)
        history = train(
            task,
            self._plan(sizes),
            folder=context.folder,
            identity=manifest.identity(),
            context=context,
        )
        maps = task.maps.frozen()
        result = _compare(model, maps, judged, context)
        scores = {e.name: {"tuned": e.value, "logit lens": e.control} for e in result.estimates}
        saved = Checkpoint(manifest=replace(manifest, scores=scores), tensors=maps.tensors()).save(
            context.folder, dtype=torch.float16 if self.half else torch.float32
        )
        return _with_curves(result, history, context.folder, saved.manifest.weights_hash)

    def resolved(self) -> _Preset:
        """Return the preset with the options that were set on top."""
        names = ("rank", "steps", "texts", "positions", "tokens", "start_tokens", "learning_rate")
        given = {n: getattr(self, n) for n in names if getattr(self, n) is not None}
        return replace(_PRESETS[self.preset], **given)

    def _plan(self, sizes: _Preset) -> Plan:
        return Plan(
            steps=sizes.steps,
            rows_per_step=sizes.texts,
            learning_rate=sizes.learning_rate,
            warmup=min(20, sizes.steps // 5),
            save_every=self.save_every,
            validate_every=max(1, sizes.steps // 10),
        )

    def _split(
        self, examples: Sequence[Example], context: Context
    ) -> tuple[list[Example], list[Example]]:
        if len(examples) < 2:
            raise TooLittleData(
                f"{len(examples)} texts; expected at least two", hint="give --data FILE"
            )
        order = context.stream("lens split").permutation(len(examples))
        n = min(_JUDGED, max(1, round(self.validation * len(examples))))
        return [examples[i] for i in order[n:]], [examples[i] for i in order[:n]]

    def _manifest(self, model: Model, examples: Sequence[Example], context: Context) -> Manifest:
        return Manifest.of(
            RECIPE,
            model.spec,
            options=plain(self) | vars(self.resolved()),
            seed=context.seed,
            texts=(e.text for e in examples),
            data=f"{len(examples)} texts, {examples[0].source or 'unnamed'} first",
        )


def _compare(
    model: Model, maps: Translators, rows: Sequence[Sequence[int]], context: Context
) -> Result:
    """Read the held-out texts through both lenses."""
    probe = TunedLens(every=8)
    accumulator = lens_accumulator(probe, maps, context)
    for i, row in enumerate(rows):
        trace = model.run(pad([row]).to(model.device), read=probe.sites(model.spec))
        accumulator.add(trace, [Example(text="")])
        context.progress(i + 1, len(rows), "held-out texts")
    return accumulator.result(context)


def _with_curves(result: Result, history: History, folder: Path, digest: str) -> Result:
    steps = Table.from_rows(
        [
            {"step": i + 1, "loss": loss, "learning_rate": rate}
            for i, (loss, rate) in enumerate(zip(history.losses, history.rates, strict=True))
        ],
        {
            "step": Column(help="Training step, counted from 1."),
            "loss": Column("nats", "KL from the final prediction, mean over layers."),
            "learning_rate": Column(help="Learning rate of the step."),
        },
    )
    held_out = Table.from_rows(
        [{"step": step, "loss": loss} for step, loss in history.validations],
        {"loss": Column("nats", "The same on held-out texts; the lowest is kept.")},
    )
    best = history.best
    return replace(
        result,
        summary=f"tuned lens, {best[1]:.3g} nats on held-out texts after {best[0]} steps; "
        + result.summary,
        tables={**result.tables, "steps": steps, "validation": held_out},
        notes=(
            *result.notes,
            Note(f"checkpoint {digest[:12]} written to {folder}", code="checkpoint"),
        ),
        views=(
            Curve(title="Training loss", table="steps", x="step", y=("loss",)),
            Curve(title="Held-out loss", table="validation", x="step", y=("loss",)),
            *result.views,
        ),
    )
