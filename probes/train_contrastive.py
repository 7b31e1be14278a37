"""Train the positive and the negative model of a contrastive estimate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from probes.contrast.asking import ask, sampling
from probes.contrast.models import NEGATIVE, POSITIVE, RECIPE, RESPONSES
from probes.contrast.presets import ESTIMATE, Sizes
from probes.contrast.report import (
    curve_tables,
    curve_views,
    held_out_losses,
    notes,
    question_table,
    sampled_accuracy,
)
from probes.contrast.selection import Response, negatives, positive
from probes.contrast.sequences import Row
from probes.contrast.trainables import Likelihood
from probes.contrast.training import Fitted, Split, Training, keep
from probes.contrast.unseen import told
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import recipe
from workbench.model.model import Model
from workbench.options import option, plain
from workbench.result.result import Result
from workbench.sampling.asking import prompt_ids
from workbench.sampling.task import Problem, open_task
from workbench.training.adapter import LoraShape
from workbench.training.checkpoint import Manifest

Chosen = Sequence[tuple[int, Row]]


@recipe(RECIPE, source="Lin et al. 2025, arXiv:2411.19943")
@dataclass(frozen=True, kw_only=True)
class TrainContrastive:
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

    default_task: ClassVar[str] = "arithmetic?steps=1&largest=30"

    preset: Literal["tiny", "cpu", "gpu"] = option("cpu", help="Sizes for that much compute.")
    questions: int | None = option(None, help="Questions drawn.", low=4, high=10**6)
    samples: int | None = option(None, help="Responses of a question.", low=2, high=4096)
    rank: int | None = option(None, help="Rank of the adapters.", low=1, high=1024)
    epochs: int | None = option(None, help="Passes over the responses.", low=1, high=1000)
    batch: int | None = option(None, help="Responses per step.", low=1, high=10_000)
    learning_rate: float | None = option(None, help="Highest learning rate.", low=1e-9, high=1.0)
    at_once: int | None = option(None, help="Rows of one forward pass.", low=1, high=4096)
    temperature: float = option(0.7, help="Sampling temperature.", low=0.01, high=5)
    top_p: float = option(0.95, help="Nucleus mass.", low=0.01, high=1)
    new_tokens: int = option(32, help="Limit of a response.", low=1, high=8192, unit="tokens")
    validation: float = option(0.2, help="Share of usable questions held out.", low=0.01, high=0.5)
    half: bool = option(True, help="Store the adapters in 16 bits.")

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        sizes = ESTIMATE[self.preset].with_options(self, context.limit)
        task = open_task(context.task or self.default_task)
        problems = task.problems(sizes.questions, context.stream("problems"))
        path = context.folder / RESPONSES
        if not context.resume:
            path.unlink(missing_ok=True)
        asked = sampling(self, sizes, context.seed)
        drawn = ask(model, task, problems, asked, path=path, progress=context.progress)
        prompts = [prompt_ids(model, task, problem) for problem in problems]
        training = Training(
            model=model,
            sizes=sizes,
            manifest=self._manifest(model, sizes, problems, context),
            folder=context.folder,
            context=context,
        )
        sides = _select(prompts, drawn, context)
        fitted = self._fit(training, sides)
        scores = {f.name: _scores(f) for f in fitted}
        saved = keep(fitted, training, half=self.half, scores=scores)
        losses = held_out_losses(fitted, "responses", dict.fromkeys(sides, "nats per token"))
        success = sampled_accuracy(drawn, context)
        return Result(
            summary="; ".join(map(str, (success, *losses))) + ".",
            estimates=(success, *losses),
            tables={"questions": question_table(problems, drawn), **curve_tables(fitted)},
            notes=notes(fitted, "responses", context.folder, saved.manifest.weights_hash),
            views=curve_views(),
        )

    def _fit(self, training: Training, chosen: Mapping[str, Chosen]) -> list[Fitted]:
        split = Split.of(_usable(chosen), self.validation, training.context)
        at_once = max(1, training.sizes.at_once // 4)
        fitted = []
        for name, items in chosen.items():
            rows, held_out = split.parts(items)
            lesson = partial(Likelihood, rows=rows, held_out=held_out, at_once=at_once)
            fitted.append(training.fit(name, lesson, len(held_out)))
        return fitted

    def _manifest(
        self, model: Model, sizes: Sizes, problems: Sequence[Problem], context: Context
    ) -> Manifest:
        shape = LoraShape(rank=sizes.rank, alpha=sizes.alpha, dropout=sizes.dropout, part="mlp")
        return Manifest.of(
            RECIPE,
            model.spec,
            options=plain(self) | vars(sizes) | {"adapter": shape.as_dict()},
            seed=context.seed,
            texts=(p.question for p in problems),
            data=told(len(problems), context.task or self.default_task),
        )


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
