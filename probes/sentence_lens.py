"""The sentence lens: states written out as sentences, of texts and of chains."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

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
from workbench.training.sentence_model import open_sentences


@probe("sentence-lens", source="Hwang et al. 2025, arXiv:2505.22202")
@dataclass(frozen=True, kw_only=True)
class SentenceLens:
    """Write the state at the end of each sentence out as a sentence, layer by layer.

    On ordinary text the states are those at the ends of its sentences. On a model with a trained
    latent model the texts are questions, and the states are those of every block at every step
    of its chain. A sentence codec's decoder is given the state and writes what it stands for.
    Three ways: `raw`, the state as it is; `normed`, after the model's final norm; `tuned`, after
    a low-rank map fitted for the layer towards the vector of the sentence, on texts that are not
    shown. A decoder writes fluently whatever it is given, so each cell comes with controls: a
    random vector of the same length, the state of another sentence, the mean log-probability of
    the words, and the nearest sentence of the codec's training. Faithfulness is how many more
    words of its sentence a state yields than the state put in its place. In a chain, states are
    also exchanged for those of another chain, to see whether the answer follows, and one step is
    changed: by noise, to say another sentence, or by as much in a random direction.

    Cost: one pass over the texts, then one sentence written per state, layer, way and control;
    about a second per twenty on one CPU core for a model of 135M parameters.

    Units: words in common are an F1 between 0 and 1, log-probabilities are in nats per token.

    Source: SentenceLens, section 5 of the paper, which reads the blocks of a latent model through
    its trained projection. We differ: any model, ordinary text, three ways, controls.
    """

    codec: str = option("", help="Folder of trained weights; default: those that ship for it.")
    of: Literal["auto", "text", "chain"] = option(
        "auto", help="Read texts, or the chains that a latent model makes of questions."
    )
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
        values: dict[str, Any] = asdict(self)
        settings = Settings(**{k: v for k, v in values.items() if k not in ("codec", "of")})
        if self._reads_chains(model):
            trained = open_sentences(model, self.codec)
            return read_chains(trained, examples, settings, context).result()
        codec = open_codec(model, self.codec)
        return read_texts(codec, model, examples, settings, context).result()

    def _reads_chains(self, model: Model) -> bool:
        if self.of != "auto":
            return self.of == "chain"
        if self.codec:
            return read_manifest(Path(self.codec).expanduser()).recipe != RECIPE
        if has_codec(model):
            return False
        try:
            open_sentences(model)
        except ModelNotFound:
            return False
        return True
