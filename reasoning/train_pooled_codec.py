"""Train a codec for ordinary sentences: a vector that is the sum of codes turned by place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from reasoning.codec.corpus import collect, cut_by_tokens
from reasoning.codec.evaluation import evaluate
from reasoning.codec.known import known_of
from reasoning.codec.noise import noise_table, set_apart
from reasoning.codec.pooled_objective import PooledObjective
from reasoning.codec.presets import POOLED_PRESETS
from reasoning.codec.report import notes, report, scores_of
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import recipe
from workbench.model.model import Model
from workbench.options import option
from workbench.result.result import Result
from workbench.training.place_codes import CODE, SCALARS, fresh_weights
from workbench.training.pooled_codec import PooledCodec
from workbench.training.pooled_codec_files import KNOWN, RECIPE, restored
from workbench.training.run import TrainingRun

_VALIDATED = 96


@recipe(RECIPE, source="Ours; binding after Plate 1995")
@dataclass(frozen=True, kw_only=True)
class TrainPooledCodec:
    """Train a sentence codec whose vector is the sum of token codes, each turned to its place.

    The code of a token is its input embedding through one map, which begins as the whitening of
    the embeddings; a token is written from what is left of the sum and what the model itself
    expects next. The map and four numbers train, on sums with noise, so that vectors that are
    only nearly right are read too. Any sentence of tokens can be written, names and numbers that
    no training saw among them: sentences with some of the rare ones are set apart and judged as
    a kind of their own.

    Cost: one pass of the model over `steps` times `batch` sentences, without gradients, then as
    many products with some 3,000 tokens; judging writes each held-out sentence twice, and some
    five times.

    Units: losses in nats per token; exact match is a proportion of sentences.

    Raises:
        TooLittleData: too few different sentences.
        FitError: the loss is not finite.

    Source: binding by rotation after Plate 1995, holographic reduced representations. We differ:
    trained codes, and a language model that expects the next token.
    """

    preset: Literal["tiny", "cpu", "gpu"] = option("cpu", help="Sizes for that much compute.")
    tasks: tuple[str, ...] = option(
        ("arithmetic", "prosqa", "blocksworld?blocks=7"), help="Tasks that give sentences too."
    )
    drawn: int | None = option(None, help="Problems of each task.", low=1, high=10_000_000)
    also: tuple[str, ...] = option((), help="Other fields of a row that hold text.")
    steps: int | None = option(None, help="Training steps.", low=1, high=10_000_000)
    batch: int | None = option(None, help="Sentences of a step.", low=1, high=1_000_000)
    learning_rate: float | None = option(None, help="Highest learning rate.", low=1e-9, high=1.0)
    noise: float = option(
        1.0, help="Longest noise in training, relative to the vector.", low=0.0, high=100.0
    )
    longest: int = option(40, help="Leave longer sentences out.", low=2, high=1000, unit="tokens")
    judged: int | None = option(None, help="Sentences judged by family.", low=1, high=100_000)
    at_once: int | None = option(None, help="Positions of one pass.", low=16, high=10_000_000)
    half: bool = option(True, help="Store the weights in 16 bits.")

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        preset = POOLED_PRESETS[self.preset].with_options(self)
        families = collect(examples, self.tasks, preset.drawn, self.also)
        corpus = cut_by_tokens(families, model.tokenizer, self.longest)
        rest, unseen = set_apart(corpus.families)
        corpus = replace(corpus, families=rest)
        module: Any = model.backend.module
        embedding = module.get_input_embeddings().weight
        start = fresh_weights(embedding, context.torch_stream("angles of a pooled codec"))
        weights = {name: nn.Parameter(start[name]) for name in (CODE, SCALARS)}
        codec = PooledCodec(module, model.tokenizer, {**start, **weights})
        parts = (corpus.sentences("train"), corpus.validated(_VALIDATED, context))
        objective = PooledObjective(
            codec, weights, *parts, noise=self.noise, at_once=preset.at_once
        )
        told: dict[str, Any] = {"texts": parts[0], "data": corpus.told()}
        run = TrainingRun.of(self, RECIPE, preset, model, context, **told)
        history = run.train(objective, preset.plan(objective.n_rows))
        tensors = {**start, **{name: x.detach() for name, x in weights.items()}}
        begun = PooledCodec(module, model.tokenizer, tensors)
        known = known_of(begun, corpus, preset.known, context)
        options = {**run.manifest.options, KNOWN: list(known.texts)}
        kept = run.save({**tensors, KNOWN: known.vectors}, options=options)
        found = evaluate(
            restored(model, kept), {**corpus.part("test"), **unseen}, preset.judged, context
        )
        kept = kept.rescored(scores_of(found), run.folder)
        some = next(iter(corpus.part("test").values()))[: preset.judged]
        told_of = report(found, history, corpus)
        noise = noise_table(restored(model, kept), some, context)
        return replace(
            told_of,
            tables={**told_of.tables, "noise": noise},
            notes=notes(corpus, run.folder, kept.manifest, self.longest),
        )
