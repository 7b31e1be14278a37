"""The sentence lens: states written out as sentences, of texts and of chains."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from probes.sentence_states.judging import read_texts as read_words
from probes.sentence_states.lens import TrainedLens, find_lens
from probes.sentence_words import LoadedWords
from probes.sentences.of_chain import read_chains
from probes.sentences.of_text import read_texts
from probes.sentences.settings import Settings
from workbench.errors import ModelNotFound
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.model.model import Model
from workbench.options import option
from workbench.result.result import Result
from workbench.training.checkpoint import read_manifest
from workbench.training.codec_files import RECIPE, has_codec, open_codec
from workbench.training.lora_codec import LoraCodec
from workbench.training.pooled_codec import PooledCodec
from workbench.training.pooled_codec_files import RECIPE as POOLED
from workbench.training.pooled_codec_files import open_pooled_codec
from workbench.training.sentence_model import open_sentences


@probe("sentence-lens", source="Hwang et al. 2025, arXiv:2505.22202")
@dataclass(frozen=True, kw_only=True)
class SentenceLens:
    """Say what the state at the end of each sentence holds, layer by layer.

    On ordinary text it reads the words of a sentence and the nearest sentences of a bank from the
    state at its end, as `sentence-words` does, and first says whether anything is read at all.
    `--of written` writes the state out instead: a sentence codec's decoder is given it and writes
    what it stands for. On a model with a trained latent model the texts are questions, and the
    states are those of every block at every step of its chain, written out as well. Three ways
    to write: `raw`, the state as it is; `normed`, after the model's final norm; `tuned`, after a
    low-rank map fitted for the layer towards the vector of the sentence, on texts that are not
    shown. A decoder writes fluently whatever it is given, so each cell comes with controls: a
    random vector of the same length, the state of another sentence, the mean log-probability of
    the words, and the nearest sentence of the codec's training. Faithfulness is how many more
    words of its sentence a state yields than the state put in its place. In a chain, states are
    also exchanged for those of another chain, to see whether the answer follows, and one step is
    changed: by noise, to say another sentence, or by as much in a random direction.

    Cost: one pass over the texts. Written out: one sentence per state, layer, way and
    control; about a second per twenty on one CPU core for a model of 135M parameters.

    Units: words in common are an F1 between 0 and 1, log-probabilities are in nats per token.

    Source: SentenceLens, section 5 of the paper, which reads the blocks of a latent model through
    its trained projection. We differ: any model, ordinary text, three ways, controls.
    """

    codec: str = option("", help="Folder of trained weights; default: those that ship for it.")
    of: Literal["auto", "text", "written", "chain"] = option(
        "auto",
        help="Read words of texts, texts written out by a codec, or the chains of a latent model.",
    )
    words: str = option("", help="Folder of a trained word lens; default: the one that ships.")
    sure: float = option(0.5, help="Say a word from this probability on.", low=0.0, high=1.0)
    sentences: int = option(12, help="Sentences or steps shown, in order.", low=1, high=10_000)
    every: int = option(3, help="Read every k-th layer, and the last one.", low=1, high=1000)
    raw: bool = option(True, help="Write states as they are.")
    normed: bool = option(True, help="Write states after the final norm.")
    tuned: bool = option(True, help="Write states after a map fitted on the other texts.")
    rank: int = option(64, help="Rank of the fitted maps.", low=1, high=100_000)
    fitted: int = option(1000, help="Most sentences the maps are fitted on.", low=2, high=10**6)
    controls: int = option(4, help="Sentences with random vectors beside them.", low=1, high=1000)
    limit: int = option(48, help="Longest sentence written.", low=1, high=1000, unit="tokens")
    step: int = option(1, help="Step of a chain that is changed.", low=1, high=1000)
    noise: float = option(
        0.5, help="Noise at that step, relative to the vector.", low=0.0, high=100.0
    )
    sentence: str = option("", help="Sentence forced at that step; default: another chain's.")
    longest: int = option(
        512, help="Cut each text to so many tokens.", low=2, high=10**6, unit="tokens"
    )

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        """Read the first texts or chains; the others fit the maps.

        Raises:
            ModelNotFound: no trained weights were named and none ship for this model.
            TooLittleData: no text holds a sentence.
        """
        if self._reads_chains(model):
            trained = open_sentences(model, self.codec)
            return read_chains(trained, examples, self._settings, context).result()
        lens = None if self.of == "written" or self.codec else self._words(model)
        if lens is not None:
            context = context.on(model)
            probe = LoadedWords(sure=self.sure, lens=lens)
            result = read_words(model, probe, examples, self.longest, context)
            if result is not None:
                return result
        return read_texts(self._codec(model), model, examples, self._settings, context).result()

    def _codec(self, model: Model) -> LoraCodec | PooledCodec:
        if self.codec and read_manifest(Path(self.codec).expanduser()).recipe == POOLED:
            return open_pooled_codec(model, self.codec)
        return open_codec(model, self.codec)

    @property
    def _settings(self) -> Settings:
        values: dict[str, Any] = asdict(self)
        names = {f.name for f in fields(Settings)}
        return Settings(**{name: value for name, value in values.items() if name in names})

    def _words(self, model: Model) -> TrainedLens | None:
        """Return the lens that reads words; None where there is none and a codec stands in."""
        try:
            return find_lens(self.words, model.spec, (Path(model.spec.name).expanduser(),))
        except ModelNotFound:
            if self.words or not (self.of == "auto" and has_codec(model)):
                raise
            return None

    def _reads_chains(self, model: Model) -> bool:
        if self.of != "auto":
            return self.of == "chain"
        if self.words:
            return False
        if self.codec:
            return read_manifest(Path(self.codec).expanduser()).recipe not in (RECIPE, POOLED)
        if has_codec(model):
            return False
        try:
            open_sentences(model)
        except ModelNotFound:
            return False
        return True
