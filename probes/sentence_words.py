"""What the state at the end of a sentence says of its words, at every layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from probes.sentence_states.decoder import decoder_place, find_decoder
from probes.sentence_states.decoder_metrics import METRICS, PLOTS, WORDS
from probes.sentence_states.information import InformationReader
from probes.sentence_states.lens import TrainedLens, find_lens
from probes.sentence_states.reading import SentenceReader
from probes.sentence_states.together import METRICS as TOGETHER
from probes.sentence_states.verdict import caveats, verdict
from workbench.errors import InputError
from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.result import Note
from workbench.result.samples import Samples
from workbench.result.tables import Column

_AT, _BOTH = ("position",), ("layer", "position")
_DECODED = 8
"""Passes that a decoder's work at the best layer takes as long as: five, and the writing."""


def _share(words: str, *axes: str, is_averaged: bool = True) -> Metric:
    """Return a proportion; one over layers has no estimate, the best layer has one of its own."""
    return Metric(
        unit="proportion",
        help=words,
        axes=axes,
        bounds=(0.0, 1.0),
        headline=None if "layer" in axes or not is_averaged else (None, None),
        is_averaged=is_averaged,
    )


@probe("sentence-words", source="Ours; linear readouts after Alain & Bengio 2016")
@dataclass(frozen=True, kw_only=True)
class SentenceWords(PerUnit):
    """Say which words of its sentence the state at the end of the sentence holds, layer by layer.

    A linear readout, trained on texts of the model's own and others, gives every word of its
    vocabulary a probability from the state after the last token of a sentence. P@1 is the share
    of sentences that hold the most probable word, function words and words outside the
    vocabulary left out; a sentence that holds no word of the vocabulary counts as a miss. The same
    is read of the sentences before and after. The nearest sentence of a bank shares most of what
    is read. `gain` is log p(word | state) − log p(word), the nats by which the state tells a word
    that stands in the sentence. Controls: the state of another sentence, of the training's
    validation part and of the same text, and the most frequent word, which needs no state. Below
    `sure` a cell says nothing.

    Where a decoder is known for the model, it says how many nats the state saves of the sentence,
    −log p(sentence | no state) + log p(sentence | state), and of each of its words; the decoder
    was trained without a state as well. It is asked for the next sentence too, and writes the
    likeliest sentence of each state, which is trusted only where the readout of words agrees.

    Single numbers are those of the layer that was best on the validation part of the training, or
    of all layers together: the mean of their probabilities.

    Cost: one product with the vocabulary for each sentence and layer; with a decoder five passes
    over each sentence, and three more for each layer with `information` at every layer.

    Units: proportions of sentences, averaged within a text, then over texts; gains in nats.

    Source: ours. Nearest sentences are searched by words, not by the states of a bank.
    """

    metrics: ClassVar = {
        "words_p_at_1": _share("First word stands in the sentence, at the best layer.", *_AT),
        "nearest_shares_word": _share("Nearest sentence shares a word, at the best layer.", *_AT),
        **TOGETHER,
        "known_words": _share("Content words of the sentence that the lens can say.", *_AT),
        "p_at_1": _share("First word stands in the sentence.", *_BOTH),
        "sure_p_at_1": _share("First word stands there, where the lens is sure enough.", *_BOTH),
        "says": _share("The lens is sure enough to say a word.", *_BOTH),
        "recall_at_5": _share("Content words among the five first ones.", *_BOTH),
        "shares_word": _share("Nearest sentence of the bank shares a content word.", *_BOTH),
        "previous_p_at_1": _share("First word stands in the sentence before.", *_BOTH),
        "next_p_at_1": _share("First word stands in the sentence after.", *_BOTH),
        "confidence": _share(
            "Probability that the first word is there, this layer's or that of all, whichever is "
            "lower.",
            *_BOTH,
        ),
        "gain": Metric(
            unit="nats",
            help="How much likelier the sentence's end makes this word of it than its frequency.",
            axes=_BOTH,
            headline=None,
        ),
        "held": _share(
            "Probability that this word is in its sentence, read at the sentence's end.",
            *_BOTH,
            is_averaged=False,
        ),
    }
    controls_of: ClassVar = {
        "other": Control("another sentence's state", "the state of a sentence of another text"),
        "within": Control(
            "another sentence of the text", "the state of another sentence of the same text", True
        ),
        "prior": Control("most frequent word", "the most frequent word, without any state"),
    }
    words_of: ClassVar = {
        "said": Column(help="Words that the state holds, the most probable first; sure ones only."),
        "nearest": Column(help="Sentence of the bank that shares most of what is read."),
    }
    plots: ClassVar[tuple[Plot, ...]] = (
        Plot(title="First word stands in the sentence", metrics=("p_at_1",)),
        Plot(title="Nearest sentence shares a word", metrics=("shares_word",)),
        Plot(
            title="Words of sentences before and after",
            metrics=("previous_p_at_1", "next_p_at_1"),
        ),
        Plot(title="Words that are said", metrics=("confidence",), axes=_BOTH, words="said"),
        Plot(title="Nearest sentences", metrics=("shares_word",), axes=_BOTH, words="nearest"),
        Plot(title="Nats by which a sentence's end tells its words", metrics=("gain",)),
        Plot(title="Words that the sentence's end tells", metrics=("gain",), axes=_BOTH),
    )

    quick: ClassVar = {"information": "none"}

    checkpoint: str = option("", help="Folder of a trained lens; default: the one that ships.")
    sure: float = option(0.5, help="Say a word from this probability on.", low=0.0, high=1.0)
    decoder: str = option("", help="Folder of a trained decoder; default: one that ships, if any.")
    information: Literal["best", "every", "none"] = option(
        "best", help="Layers at which nats are told: the best, every one of the decoder, none."
    )

    def loaded(self, context: Context) -> PerUnit:
        if context.spec is None:
            raise InputError("a lens needs a model", hint="give texts, not activation files")
        lens = find_lens(self.checkpoint, context.spec)
        reader = self._reader(lens, context)
        kind = LoadedWords if reader is None else DecodedWords
        return kind(**vars(self), lens=lens, reader=reader)

    def _reader(self, lens: TrainedLens, context: Context) -> InformationReader | None:
        wanted = self.information != "none" and context.model is not None
        found = find_decoder(context.loaded, self.decoder) if wanted else None
        if found is None:
            return None
        layers = found.layers if self.information == "every" else (found.best,)
        return InformationReader(decoder=found, lens=lens, layers=layers)

    def price(self, spec: ModelSpec) -> int:
        is_decoded = self.information != "none" and decoder_place(spec, self.decoder) is not None
        return _DECODED * is_decoded

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return every_layer(Kind.RESID_POST, spec)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        raise InputError("the weights of a sentence lens are loaded first")

    def summary(self, found: Samples) -> str:
        raise InputError("the weights of a sentence lens are loaded first")


@dataclass(frozen=True, kw_only=True)
class LoadedWords(SentenceWords):
    """A sentence lens with its weights, and a decoder where there is one."""

    lens: TrainedLens
    reader: InformationReader | None = None

    def loaded(self, context: Context) -> PerUnit:
        return self

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        reader = SentenceReader(
            lens=self.lens,
            sure=self.sure,
            trace=trace,
            examples=examples,
            context=context,
            information=self.reader,
        )
        return reader.measured()

    def summary(self, found: Samples) -> str:
        return verdict(found, self.lens)

    def notes(self, found: Samples) -> tuple[Note, ...]:
        return caveats(found, self.lens)


@dataclass(frozen=True, kw_only=True)
class DecodedWords(LoadedWords):
    """A sentence lens with its weights and a decoder."""

    metrics: ClassVar = {**SentenceWords.metrics, **METRICS}
    words_of: ClassVar = {**SentenceWords.words_of, **WORDS}
    plots: ClassVar[tuple[Plot, ...]] = (*SentenceWords.plots, *PLOTS)
