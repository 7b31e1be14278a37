"""Train the positive and the negative model of a contrastive estimate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from probes.contrast.models import NEGATIVE, POSITIVE, RECIPE, RESPONSES
from probes.contrast.objectives import Likelihood
from probes.contrast.presets import ESTIMATE
from probes.contrast.prompting import sample_responses, sampling_plan
from probes.contrast.recipe import ContrastRecipe
from probes.contrast.report import (
    curve_tables,
    held_out_losses,
    notes,
    question_table,
    sampled_accuracy,
)
from probes.contrast.selection import Response, negatives, positive
from probes.contrast.sequences import Row
from probes.contrast.training import ContrastRun, Fitted, Split, fit, save
from probes.contrast.unseen import told_of
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import recipe
from workbench.model.model import Model
from workbench.result.result import Result
from workbench.sampling.prompting import prompt_ids
from workbench.sampling.task import open_task
from workbench.training.presets import lora_shape
from workbench.training.report import loss_views

Chosen = Sequence[tuple[int, Row]]


@recipe(RECIPE, source="Lin et al. 2025, arXiv:2411.19943")
@dataclass(frozen=True, kw_only=True)
class TrainContrastive(ContrastRecipe):
    """Train one model on right and one on wrong responses, whose contrast scores every token.

    Responses to the task's questions are drawn and graded. The positive model learns one right
    response of each question, the negative model one response for each of the wrong answers
    that make up half of the wrong responses. Both are adapters on the feed-forward projections
    of the same base, which stays as it is. `limit` bounds the questions.

    Cost: the draws, then `epochs` passes over the selected responses for each model; `cpu` takes
    about ten minutes on one core for a model of 135M parameters.

    Units: losses in nats per token.

    Raises:
        TooLittleData: too few questions have both a right and a wrong response.
        FitError: a loss is not finite.

    Source: Lin et al. 2025, section 2; `gpu` has their sizes. We keep the weights of the lowest
    held-out loss; held-out questions are the same for both models.
    """

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        preset = ESTIMATE[self.preset].with_options(self, context.limit)
        address = context.task or self.default_task
        task = open_task(address)
        problems = task.problems(preset.questions, context.stream("problems"))
        lora = lora_shape(preset.rank, dropout=preset.dropout, part="mlp")
        told = told_of(problems, address, lora)
        run = ContrastRun.of(self, RECIPE, preset, model, context, **told)
        path = run.folder / RESPONSES
        if not context.resume:
            path.unlink(missing_ok=True)
        plan = sampling_plan(self, preset, context.seed)
        drawn = sample_responses(model, task, problems, plan, path=path, progress=context.progress)
        prompts = [prompt_ids(model, task, problem) for problem in problems]
        fitted = self._fit(run, _select(prompts, drawn, context))
        saved = save(fitted, run, {f.name: _scores(f) for f in fitted})
        units = {f.name: "nats per token" for f in fitted}
        losses = held_out_losses(fitted, "responses", units)
        success = sampled_accuracy(drawn)
        return Result(
            summary="; ".join(map(str, (success, *losses))) + ".",
            estimates=(success, *losses),
            tables={"questions": question_table(problems, drawn), **curve_tables(fitted)},
            notes=notes(fitted, "responses", run.folder, saved),
            views=loss_views(group="model"),
        )

    def _fit(self, run: ContrastRun, chosen: Mapping[str, Chosen]) -> list[Fitted]:
        split = Split.of(_usable(chosen), self.validation, run.context)
        fitted = []
        for name, items in chosen.items():
            rows, held_out = split.parts(items)
            objective = partial(
                Likelihood, rows=rows, held_out=held_out, at_once=run.preset.with_gradients
            )
            fitted.append(fit(run, name, objective, len(held_out)))
        return fitted


def _select(
    prompts: Sequence[tuple[int, ...]], drawn: Sequence[Sequence[Response]], context: Context
) -> dict[str, list[tuple[int, Row]]]:
    """Return the responses each model learns, with the number of their question."""
    generator = context.stream("selection")
    chosen: dict[str, list[tuple[int, Row]]] = {POSITIVE: [], NEGATIVE: []}
    for i, (prompt, responses) in enumerate(zip(prompts, drawn, strict=True)):
        right = positive(responses, generator)
        wrong = negatives(responses, generator)
        for name, some in ((POSITIVE, [right] if right else []), (NEGATIVE, wrong)):
            chosen[name].extend((i, Row(prompt=prompt, response=r.tokens)) for r in some)
    return chosen


def _usable(chosen: Mapping[str, Chosen]) -> list[int]:
    """Return the questions that both models can be judged by."""
    numbers = [{i for i, _ in items} for items in chosen.values()]
    usable = sorted(set.intersection(*numbers))
    if len(usable) < 2:
        raise TooLittleData(
            f"{len(usable)} questions have both a right and a wrong response "
            f"({', '.join(f'{name} {len(n)}' for name, n in zip(chosen, numbers, strict=True))}); "
            "expected at least two: one to train on, one to judge by",
            hint="take a task the model solves 20 to 80 % of the time, or more questions",
        )
    return usable


def _scores(fitted: Fitted) -> dict[str, float]:
    history = fitted.history
    return {"held-out nats per token": history.best[1], "untrained": history.validations[0][1]}
