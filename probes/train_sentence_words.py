"""Train a sentence lens: a readout of words from the states at the ends of sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from probes.sentence_states.features import Features
from probes.sentence_states.finishing import finished
from probes.sentence_states.judging import joined_report, judged_report, judged_scores
from probes.sentence_states.lens import BEST, RECIPE, TrainedLens
from probes.sentence_states.objective import Lines, WordObjective, fresh_readout
from probes.sentence_states.presets import PRESETS, LensPreset
from probes.sentence_states.sources import OWN, drawn_corpus, learned_states
from probes.sentence_states.text_options import TextOptions
from probes.sentence_states.vocabulary import Vocabulary
from probes.sentence_states.word_start import word_vectors
from probes.sentence_words import LoadedWords
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import recipe
from workbench.model.model import Model
from workbench.options import option
from workbench.result.result import Result
from workbench.result.tables import Column
from workbench.training.report import checkpoint_note, loss_tables
from workbench.training.run import TrainingRun

_LEAST = 2
_TRAINING = Column("nats", "Mean per word over the layers of a step, neighbours counted half.")
_HELD_OUT = Column("nats", "Mean per word over five layers, held-out sentences; lowest is kept.")


@recipe(RECIPE, source="Ours; linear readouts after Alain & Bengio 2016")
@dataclass(frozen=True, kw_only=True)
class TrainSentenceWords(TextOptions):
    """Train the readout with which `sentence-words` says what a state holds of its sentence.

    The model writes texts of its own, asked about many topics at several temperatures, so that
    no data are needed; the given texts are added. Single sentences are put together in random
    groups of four. Texts belong by their hash to the part that trains, the part that calibrates
    and chooses the best layer, or the part that judges once; texts with some of the rare names
    and numbers are judged apart, and no text that trains holds these. A multinomial logistic
    readout goes from the standardised states of every layer to the content words of the present,
    previous and next sentence, through a map of low rank for each layer and weights of words
    that all layers share, which begin as the model's own embeddings of the words. The bank that
    is kept for nearest sentences holds the model's own.

    Writing and states are kept in the folder of the run, so that a stopped run goes on.

    Cost: `own` texts written, one pass over all texts, then products with the vocabulary. For a
    model of 135M parameters in bfloat16 and 53,000 sentences `cpu` takes 11 minutes of one core
    for the pass and 24 for the training, beside the writing.

    Units: losses in nats per word.

    Raises:
        TooLittleData: too few texts of several parts, or no word stands in enough sentences.
        FitError: the loss is not finite.

    Source: ours.
    """

    preset: Literal["tiny", "quick", "cpu", "gpu"] = option(
        "quick", help="Sizes for that much compute."
    )
    words: int | None = option(None, help="Most words it can say.", low=2, high=1_000_000)
    rank: int | None = option(None, help="Rank of the maps.", low=1, high=100_000)
    epochs: float | None = option(None, help="Times a sentence is read.", low=1e-3, high=1e4)
    bank: int | None = option(None, help="Most sentences of the bank.", low=1, high=10_000_000)

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        preset = PRESETS[self.preset].with_options(self)
        context = context.on(model)
        corpus = drawn_corpus(model, examples, preset.own, preset.written, context)
        train, valid = learned_states(model, corpus, preset.texts, self.longest, context)
        vocabulary = _vocabulary(train, preset)
        lines = Lines.of(train, vocabulary)
        start = fresh_readout(train, lines, word_vectors(model, vocabulary, preset.rank))
        objective = WordObjective(
            (train, lines),
            (valid, Lines.of(valid, vocabulary)),
            start,
            layers_a_step=preset.layers,
        )
        run = TrainingRun.of(
            self,
            RECIPE,
            preset,
            model,
            context,
            **corpus.told(preset.texts),
        )
        history = run.train(objective, preset.plan(objective.n_rows, start.n_layers))
        lens = finished(objective, vocabulary, _own_sentences(train), preset.bank)
        kept = run.save(lens.tensors(), options={**run.manifest.options, BEST: lens.best})
        probe = LoadedWords(lens=TrainedLens.of(kept))
        found = judged_report(model, probe, corpus, preset.judged, self.longest, context)
        kept = kept.rescored(judged_scores(found), run.folder)
        tables = loss_tables({RECIPE: history}, _TRAINING, _HELD_OUT)
        return joined_report(found, tables, checkpoint_note(kept.manifest, run.folder))


def _vocabulary(train: Features, preset: LensPreset) -> Vocabulary:
    sentences = (place.sentence for place in train.places)
    found = Vocabulary.of(sentences, most=preset.words, least=preset.least)
    if len(found) < 1 + _LEAST:
        raise TooLittleData(
            f"{len(found) - 1} content words stand in {preset.least} sentences or more; "
            f"expected at least {_LEAST}",
            hint="give more texts with --data, or let the model write more with --own",
        )
    return found


def _own_sentences(train: Features) -> list[str]:
    """Return the sentences that the model wrote, all where it wrote none."""
    rows = zip(train.places, train.origins, strict=True)
    own = [place.sentence for place, origin in rows if origin == OWN]
    return own or [place.sentence for place in train.places]
