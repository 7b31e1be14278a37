"""Train on preferences that weigh each rejected token by its contrastive score."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from probes.contrast.ablations import (
    ABLATIONS,
    COMPARED,
    RELEASED,
    SFT,
    fit_ablations,
    pairs_of,
    weighted,
)
from probes.contrast.models import RESPONSES, ContrastModels, find_models
from probes.contrast.presets import PREFERENCE, ContrastPreset
from probes.contrast.prompting import SamplingPlan, sample_responses, sampling_plan
from probes.contrast.recipe import ContrastRecipe
from probes.contrast.report import (
    curve_tables,
    held_out_losses,
    notes,
    question_table,
    sampled_accuracy,
)
from probes.contrast.selection import Response
from probes.contrast.stored import store_of
from probes.contrast.training import ContrastRun, Split, save
from probes.contrast.unseen import told_of
from probes.contrast.verdict import BASE, judge
from probes.contrast.weights import mean_weight, weight_table, weight_view
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import recipe
from workbench.model.model import Model
from workbench.options import option
from workbench.result.result import Result
from workbench.sampling.prompting import prompt_ids
from workbench.sampling.task import Problem, Task, open_task
from workbench.training.adapter import Adapter
from workbench.training.checkpoint import Checkpoint
from workbench.training.presets import lora_shape
from workbench.training.report import loss_views

RECIPE = "cdpo"
_UNITS = dict.fromkeys(ABLATIONS, "nats per pair") | {
    SFT: "nats per token",
    RELEASED: "nats per position",
}


@recipe(RECIPE, source="Lin et al. 2025, arXiv:2411.19943")
@dataclass(frozen=True, kw_only=True)
class TrainCDPO(ContrastRecipe):
    """Prefer right to wrong responses, weighing each wrong token by its contrastive score.

    Minimises −log σ(φ⁺ − φ⁻): φ⁺ = γ Σ log π/π_ref over the right response, φ⁻ the same over the
    wrong one with weight 1 − s on every token, s from a contrastive estimate. Beside it, on the
    same pairs in the same order, from the same start at the same learning rate, are trained:
    SFT on the right responses, DPO (weights of one), the loss of the released code, and as
    control cDPO with each response's weights shuffled among its tokens. All are judged by
    greedy decoding on other problems of the task. `limit` bounds the questions to train on.

    The checkpoint holds the five adapters, each behind its name: `sft.`, `dpo.`, `cdpo.`,
    `cdpo-released.` and `cdpo-shuffled.`.

    Cost: the draws (taken over from the estimate's own run where they are the same), `epochs`
    passes over the pairs for each of five arms, six greedy evaluations; `cpu` takes about
    half an hour on one core for a model of 135M parameters.

    Units: losses in nats; accuracies and differences are proportions.

    Raises:
        TooLittleData: too few questions have both a right and a wrong response.
        ModelNotFound: no contrastive estimate of that name, or none ships for this model.
        FitError: a loss is not finite.

    Source: Lin et al. 2025, section 3; `gpu` has their sizes. Theirs trains the baselines at
    half the learning rate; the released code takes the mean of −log σ over aligned positions
    with a strength of 0.1, here without those that are padding in both responses. The control
    is ours.
    """

    estimate: str = option(
        "", help="Run or folder of a contrastive estimate; default: the one that ships."
    )
    beta: float = option(1.0, help="Strength of the contrast in s.", low=0, high=100)
    gamma: float = option(1.0, help="Strength of preference.", low=1e-4, high=100)
    released_gamma: float = option(
        0.1, help="The same in the loss of the released code.", low=1e-4, high=100
    )
    held_out: int | None = option(None, help="Problems that judge.", low=2, high=10**6)

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        preset = PREFERENCE[self.preset].with_options(self, context.limit)
        task = open_task(context.task or self.default_task)
        learned, evaluated = _problems(task, preset, context)
        models = find_models(model, self.estimate, store_of(context))
        run = self._run(model, preset, learned, models, context)
        drawn = self._drawn(task, learned, models, run)
        prompts = [prompt_ids(model, task, problem) for problem in learned]
        pairs = weighted(pairs_of(prompts, drawn, context), models, run, self.beta)
        split = Split.of([i for i, _ in pairs], self.validation, context)
        fitted = fit_ablations(
            run, pairs, split, gamma=self.gamma, released_gamma=self.released_gamma
        )
        saved = save(fitted, run)
        result = judge(evaluated, self._answers(task, evaluated, run, saved), COMPARED)
        save(fitted, run, _scores(result))
        mine = [pair for _, pair in pairs]
        return replace(
            result,
            estimates=(
                *(*result.estimates, mean_weight(mine)),
                sampled_accuracy(drawn),
                *held_out_losses(fitted, "pairs", _UNITS),
            ),
            tables={
                **result.tables,
                "rejected": weight_table(mine, model),
                "questions": question_table(learned, drawn),
                **curve_tables(fitted),
            },
            notes=(*result.notes, *notes(fitted, "pairs", run.folder, saved)),
            views=(*result.views, weight_view(), *loss_views(group="model")),
        )

    def _run(
        self,
        model: Model,
        preset: ContrastPreset,
        problems: Sequence[Problem],
        models: ContrastModels,
        context: Context,
    ) -> ContrastRun:
        lora = lora_shape(preset.rank, dropout=preset.dropout)
        told = told_of(problems, context.task or self.default_task, lora)
        told["estimate_hash"] = models.manifest.weights_hash
        return ContrastRun.of(self, RECIPE, preset, model, context, **told)

    def _drawn(
        self, task: Task, problems: Sequence[Problem], models: ContrastModels, run: ContrastRun
    ) -> list[list[Response]]:
        """Draw the responses, taking over those that the estimate was trained on."""
        folder, context = run.folder, run.context
        if not context.resume:
            for old in folder.glob("*.jsonl"):
                old.unlink()
        path, known = folder / RESPONSES, models.folder / RESPONSES
        if known.is_file() and not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(known, path)
        plan = sampling_plan(self, run.preset, context.seed)
        return sample_responses(
            run.model, task, problems, plan, path=path, progress=context.progress
        )

    def _answers(
        self, task: Task, problems: Sequence[Problem], run: ContrastRun, saved: Checkpoint
    ) -> dict[str, list[Response]]:
        """Ask the base and the stored adapters, as they will be loaded, one greedy answer each."""
        base, found = run.model, {}
        for name in (BASE, *ABLATIONS):
            model = base if name == BASE else Adapter.restore(base, saved, prefix=f"{name}.").model
            drawn = sample_responses(
                model,
                task,
                problems,
                SamplingPlan(limit=self.new_tokens, rows=run.preset.at_once),
                path=run.folder / f"answers-{name}.jsonl",
                progress=run.context.progress,
                words=f"problems, {name}",
            )
            found[name] = [only for (only,) in drawn]
        return found


def _problems(
    task: Task, preset: ContrastPreset, context: Context
) -> tuple[Sequence[Problem], Sequence[Problem]]:
    """Return questions to train on and other problems that judge; a short file is cut in two."""
    found = task.problems(preset.questions + preset.held_out, context.stream("problems"))
    n = min(preset.questions, len(found) - min(preset.held_out, len(found) // 2))
    if n < 1 or len(found) == n:
        raise TooLittleData(
            f"{len(found)} problems; expected some to train on and others to judge by",
            hint="name a task with more problems",
        )
    return found[:n], found[n : n + preset.held_out]


def _scores(result: Result) -> dict[str, Any]:
    return {e.name: {"value": e.value, "low": e.low, "high": e.high, "n": e.n}
            for e in result.estimates}  # fmt: skip
