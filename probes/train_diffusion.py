"""Train a small masked-diffusion network, and a left-to-right one that guides it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from probes.diffusion.filling import GUIDE, SUMS, Hidden, accuracy, fill, hide
from probes.diffusion.objective import LeftToRightObjective, MaskedObjective
from workbench.errors import DataError
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import recipe
from workbench.methods.study_report import study_report
from workbench.model.denoiser import MASKED, Denoiser
from workbench.model.model import Model
from workbench.options import option
from workbench.result.metric import Control, share
from workbench.result.result import Result
from workbench.result.samples import VALUE, Samples
from workbench.result.tables import Column
from workbench.sampling.marked import MARK, written_response
from workbench.sampling.task import open_task
from workbench.sampling.unmasking import Decoding
from workbench.training.network import FullTuning
from workbench.training.presets import ScratchOptions, ScratchPreset
from workbench.training.report import loss_tables, scores_of, trained_report
from workbench.training.run import TrainingRun
from workbench.training.scratch import save_model, scratch_masked, scratch_model
from workbench.training.splits import part_problems

RECIPE = "diffusion-network"


@dataclass(frozen=True, kw_only=True)
class DiffusionSizes(ScratchPreset):
    """The sizes of both networks; `problems` are learned from, the guide in `guide_steps`."""

    guide_steps: int
    problems: int


PRESETS = {
    "tiny": DiffusionSizes(
        layers=1, width=16, heads=2, batch=4, steps=2, guide_steps=2, problems=16, held_out=4,
        judged=4, learning_rate=1e-2,
    ),
    "cpu": DiffusionSizes(
        layers=3, width=96, heads=4, batch=32, steps=3000, guide_steps=800, problems=8_000,
        held_out=64, judged=200, learning_rate=2e-3,
    ),
    "gpu": DiffusionSizes(
        layers=6, width=256, heads=8, batch=512, steps=20_000, guide_steps=5000, problems=10_000,
        held_out=512, judged=1000, learning_rate=1e-3,
    ),
}  # fmt: skip


@recipe(RECIPE, source="Nie et al. 2025, arXiv:2502.09992; Xu et al. 2024, arXiv:2410.21357")
@dataclass(frozen=True, kw_only=True)
class TrainDiffusion(ScratchOptions):
    """Train a network that fills in the hidden tokens of worked sums, and its guide.

    Question and written response of each problem are one row of characters. The network sees both
    ways and learns whatever is hidden (a BERT, in `masked`); the guide, as deep and wide, learns
    the next token (a Llama, in `left-to-right` beside it). The folder is what `--network` takes.
    Judged by the answers to held-out problems, filled in the order of confidence; control: the
    answers to other problems.

    Cost: `cpu` takes about six minutes on one core, `tiny` a second.

    Units: nats per token; accuracy is a proportion.

    Raises:
        DataError: the problems differ in length.
        FitError: the loss is not finite.

    Source: Nie et al. 2025 for the bound; Xu et al. 2024 for the left-to-right energy. We train
    at one thousandth of their size.
    """

    losses: ClassVar = (
        Column("nats", "Cross-entropy per token of the rows of the step."),
        Column("nats", "The same on held-out problems; lowest is kept."),
    )

    default_task: ClassVar[str] = SUMS

    guide_steps: int | None = option(None, help="Training steps of the guide.", low=1, high=10**8)
    problems: int | None = option(None, help="Problems to learn from.", low=2, high=10**7)

    def base_model(self, context: Context) -> Model | None:
        """Return the random network to begin with."""
        preset, address = self._preset(context), self._address(context)
        problems = part_problems(address, "train", preset.problems, context)
        texts = [problem.question + written_response(problem) for problem in problems[:512]]
        shape = preset.shape(2 * max(map(len, texts)))
        model = scratch_model(
            texts, shape, seed=context.seed, name=f"characters of {address}", pieces="characters"
        )
        model.tokenizer.add_special_tokens({"mask_token": "<unk>"})
        return model

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        preset, address = self._preset(context), self._address(context)
        train = part_problems(address, "train", preset.problems, context)
        held = part_problems(address, "valid", preset.held_out, context)
        run = TrainingRun.of(
            self, RECIPE, preset, model, context,
            texts=[p.question for p in train], data=f"{len(train)} problems of {address}",
            task=address,
        )  # fmt: skip
        fixed, rows = _rows(hide(Denoiser.of(model), [*train, *held], MARK))
        parts = rows[: len(train)], rows[len(train) :]
        mask, draw = int(model.tokenizer.mask_token_id), context.torch_stream("held-out masks")
        masked = scratch_masked(model.tokenizer, preset.shape(2 * rows.shape[1]), seed=context.seed)
        objective = MaskedObjective(masked, *parts, mask=mask, fixed=fixed, draw=draw)
        history = run.train(objective, preset.plan)
        save_model(masked, model.tokenizer, run.folder / MASKED, dtype=run.dtype)
        guide = LeftToRightObjective(
            FullTuning(model).module, *parts, mask=mask, fixed=fixed, draw=draw
        )
        told = run.train(guide, replace(preset, steps=preset.guide_steps).plan, GUIDE)
        save_model(guide.module, model.tokenizer, run.folder / GUIDE, dtype=run.dtype)
        result = self._judged(run, context)
        saved = run.save({"fixed": torch.tensor([fixed])}, scores=scores_of(result))
        words = "{loss:.3g} nats per token after {step} steps"
        report = trained_report(run, result, history, self.losses, saved=saved, summary=words)
        more = loss_tables({GUIDE: told}, *self.losses, names=("guide", "guide_validation"))
        return replace(report, tables={**report.tables, **more})

    def _judged(self, run: TrainingRun[DiffusionSizes], context: Context) -> Result:
        """Fill in the responses to held-out problems in the order of confidence."""
        address = self._address(context)
        denoiser = Denoiser.load(str(run.folder))
        problems = part_problems(address, "test", run.preset.judged, context)
        filled = fill(denoiser, hide(denoiser, problems, MARK), Decoding(), context)
        right, other = accuracy(denoiser, open_task(address), filled)
        found = Samples.of(
            {VALUE: {"accuracy": right}, "other": {"accuracy": other}},
            {"accuracy": share("Right answers to held-out problems.")},
            unit="problems",
            controls_of={"other": Control("the next problem's answer")},
        )
        told = f"{found.estimate('accuracy', 'other')}."
        return study_report(found, summary=told)

    def _preset(self, context: Context) -> DiffusionSizes:
        return PRESETS[self.preset].with_options(self, context.limit)

    def _address(self, context: Context) -> str:
        return context.task or self.default_task


def _rows(problems: Sequence[Hidden]) -> tuple[int, Int[Tensor, "n pos"]]:
    """Return how many tokens each question has, and questions and responses as rows.

    Raises:
        DataError: they differ in length.
    """
    lengths = {(len(one.prompt), len(one.reference)) for one in problems}
    if len(lengths) > 1:
        raise DataError(
            f"questions and responses have {len(lengths)} different lengths; expected one",
            hint=f'--task "{SUMS}"',
        )
    rows = torch.tensor([[*one.prompt, *one.reference] for one in problems])
    return len(problems[0].prompt), rows
