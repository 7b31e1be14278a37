"""Train a semantic sentence codec: two adapters, one reads a sentence, one writes it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from reasoning.codec.corpus import Corpus, collect, cut_by_tokens
from reasoning.codec.evaluation import evaluate
from reasoning.codec.known import known_of
from reasoning.codec.objective import CodecObjective
from reasoning.codec.presets import PRESETS, CodecPreset, steps_within
from reasoning.codec.report import notes, report, scores_of
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import recipe
from workbench.model.model import Model
from workbench.options import option
from workbench.result.result import Result
from workbench.training.adapter import Adapter
from workbench.training.codec_files import KNOWN, RECIPE, codec_tensors, fresh_adapters, joined
from workbench.training.lora_codec import LoraCodec
from workbench.training.run import TrainingRun

_VALIDATED = 256


@recipe(RECIPE, source="Hwang et al. 2025, arXiv:2505.22202")
@dataclass(frozen=True, kw_only=True)
class TrainSentenceCodec:
    """Train two adapters that turn a sentence into one vector and the vector into the sentence.

    The sentences are those of the given texts (calculator annotations such as `<<3+4=7>>` are
    taken out and learned as sentences of their own) and those of problems drawn from tasks.
    Every sentence belongs by its hash to the part that trains, the part that chooses the
    weights, or the part that judges them once: exact match by family and by length, beside
    random vectors of the same length.

    Cost: `steps` times `batch` sentences through the model twice, with gradients; `gpu` takes
    minutes on one modern accelerator, `cpu` about 40 minutes on one core for a model of 135M
    parameters and sentences of some ten tokens. `minutes` fits the steps into a time.

    Units: losses in nats per token; exact match is a proportion of sentences.

    Raises:
        TooLittleData: too few different sentences.
        FitError: the loss is not finite.

    Source: section 3 of the paper, semantic embeddings. We differ: adapters instead of full
    weights, one for each side; vectors of one length, never in first place; disturbed sentences
    among those trained on.
    """

    preset: Literal["tiny", "cpu", "gpu"] = option("cpu", help="Sizes for that much compute.")
    tasks: tuple[str, ...] = option(
        ("arithmetic", "prosqa", "blocksworld?blocks=7"), help="Tasks that give sentences too."
    )
    drawn: int | None = option(None, help="Problems of each task.", low=1, high=10_000_000)
    also: tuple[str, ...] = option((), help="Other fields of a row that hold text.")
    longest: int = option(40, help="Leave longer sentences out.", low=2, high=1000, unit="tokens")
    steps: int | None = option(None, help="Training steps.", low=1, high=10_000_000)
    minutes: float = option(
        0.0, help="Fit the steps into that time; 0: as set.", low=0.0, high=1e5, unit="minutes"
    )
    batch: int | None = option(None, help="Sentences of a step.", low=1, high=1_000_000)
    rank: int | None = option(None, help="Rank of each adapter.", low=1, high=4096)
    learning_rate: float | None = option(None, help="Highest learning rate.", low=1e-9, high=1.0)
    noise: float = option(
        0.15, help="Tokens exchanged in a disturbed sentence.", low=0.0, high=1.0, unit="share"
    )
    judged: int | None = option(None, help="Sentences judged by family.", low=1, high=100_000)
    at_once: int | None = option(None, help="Positions of one pass.", low=16, high=10_000_000)
    half: bool = option(True, help="Store the weights in 16 bits.")

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        preset = PRESETS[self.preset].with_options(self)
        corpus = self._corpus(model, examples, preset)
        generator = context.torch_stream("codec adapters")
        adapters = fresh_adapters(model, preset.lora, generator=generator)
        codec = joined(model, adapters)
        objective = self._objective(codec, adapters, corpus, preset, context)
        if self.minutes:
            steps = steps_within(60 * self.minutes, objective, preset.batch, context)
            preset = replace(preset, steps=steps)
        told: dict[str, Any] = {"texts": corpus.sentences("train"), "data": corpus.told()}
        told["adapter"] = preset.lora.as_dict()
        run = TrainingRun.of(self, RECIPE, preset, model, context, **told)
        history = run.train(objective, preset.plan(objective.n_rows))
        known = known_of(codec, corpus, preset.known, context)
        options = {**run.manifest.options, KNOWN: list(known.texts)}
        kept = run.save(codec_tensors(adapters, known), options=options)
        found = evaluate(codec, corpus.part("test"), preset.judged, context)
        kept = kept.rescored(scores_of(found), run.folder)
        result = report(found, history, corpus)
        return replace(result, notes=notes(corpus, run.folder, kept.manifest, self.longest))

    def _objective(
        self,
        codec: LoraCodec,
        adapters: Mapping[str, Adapter],
        corpus: Corpus,
        preset: CodecPreset,
        context: Context,
    ) -> CodecObjective:
        return CodecObjective(
            codec,
            adapters,
            corpus.sentences("train"),
            corpus.validated(_VALIDATED, context),
            noise=self.noise,
            at_once=preset.at_once,
        )

    def _corpus(self, model: Model, examples: Sequence[Example], preset: CodecPreset) -> Corpus:
        families = collect(examples, self.tasks, preset.drawn, self.also)
        return cut_by_tokens(families, model.tokenizer, self.longest)
