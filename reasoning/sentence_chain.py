"""Reasoning in sentence vectors: every thought decoded and read again, or fed back as it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from reasoning.sentences.unroll import FedVector, Unroller, Unrolling
from workbench.latent.replaced import REPLACED
from workbench.methods.contracts import Context, Prompt
from workbench.methods.registry import reasoner
from workbench.model.model import Model
from workbench.options import option
from workbench.result.chain import Chain
from workbench.training.sentence_model import SentenceModel, open_sentences

_SOURCE = "Hwang et al. 2025, arXiv:2505.22202"
_CHECKPOINT = "Folder of a trained pipeline; default: beside the model, or shipped for it."
_STOP = "What ends a chain: the stop head, the decoded start of an answer, or only the limit."
_NOISE = "Length of noise relative to the vector it is added to, at every step."

Stop = Literal["head", "oracle", "limit"]


@dataclass(frozen=True, kw_only=True)
class _Unrolled:
    """Options of both ways to reason in sentences."""

    checkpoint: str = option("", help=_CHECKPOINT)
    limit: int = option(24, help="Most sentences.", low=1, high=1000, unit="steps")
    stop: Stop = option("head", help=_STOP)
    threshold: float = option(0.5, help="The stop head ends a chain from here.", low=0.0, high=1.0)
    tokens: int = option(50, help="Most tokens of a sentence.", low=1, high=1000, unit="tokens")
    temperature: float = option(0.0, help="0 writes the likeliest tokens.", low=0.0, high=10.0)
    noise: float = option(0.0, help=_NOISE, low=0.0, high=100.0)

    def weights(self, model: Model) -> SentenceModel:
        """Return the trained codec and latent model."""
        return open_sentences(model, self.checkpoint)


@reasoner("sentence-discretized", source=_SOURCE)
@dataclass(frozen=True, kw_only=True)
class SentenceDiscretized(_Unrolled):
    """Predict the next sentence as one vector, write it out, read it, and go on.

    The latent model predicts a vector, the decoder writes its sentence, the encoder turns that
    into the vector fed back. With a contextual encoder that vector is the state before the
    sentence, so a sentence acts on the latent model one step later.

    Cost: caches throughout; per step one position of the latent model, and the sentence's tokens
    through decoder and encoder.

    Units: `threshold` is a probability, `noise` a ratio of lengths.

    Source: section 4 of the paper, which runs everything again at every step.
    """

    def solve(
        self, model: Model, prompts: Sequence[Prompt], *, seeds: Sequence[int], context: Context
    ) -> Sequence[Chain]:
        how = Unrolling(ground_every=1, decode="all", **_shared(self))
        return _unrolled(self.weights(model), how, prompts, seeds)


@reasoner("sentence-continuous", source=_SOURCE)
@dataclass(frozen=True, kw_only=True)
class SentenceContinuous(_Unrolled):
    """Predict the next sentence as one vector and feed the vector itself back.

    Only the answer's vector has to be decoded. `decode=shown` writes the others too, to be looked
    at: they are not counted and not part of the response. `decode=all` counts them and makes
    them part of the response, which verifiers of whole plans need. `ground_every=k` writes and
    reads again every k-th step, which mixes both ways.

    Cost: one cached position of the latent model per step, and the answer's tokens through the
    decoder. Seconds include what is only shown.

    Units: `threshold` is a probability, `noise` a ratio of lengths.

    Source: section 4 of the paper. We differ: what is fed back passes the normalisation that it
    was trained with; chains may be of any length.
    """

    ground_every: int = option(
        0, help="Write and read again every k-th step; 0: none.", low=0, high=1000, unit="steps"
    )
    decode: Literal["answer", "shown", "all"] = option("shown", help="Which sentences are written.")
    fed: FedVector = option("own", help=REPLACED)

    def solve(
        self, model: Model, prompts: Sequence[Prompt], *, seeds: Sequence[int], context: Context
    ) -> Sequence[Chain]:
        how = Unrolling(ground_every=self.ground_every, decode=self.decode, **_shared(self))
        if self.fed != "own":
            own = _unrolled(self.weights(model), how, prompts, seeds)
            how = replace(how, fed=self.fed, given=[chain.vectors for chain in own])
        return _unrolled(self.weights(model), how, prompts, seeds)


def _shared(recipe: _Unrolled) -> dict[str, Any]:
    """Return the options that both ways have."""
    names = ("limit", "stop", "threshold", "noise", "tokens", "temperature")
    return {name: vars(recipe)[name] for name in names}


def _unrolled(
    trained: SentenceModel, how: Unrolling, prompts: Sequence[Prompt], seeds: Sequence[int]
) -> Sequence[Chain]:
    unroll = Unroller(trained, how)
    return unroll([prompt.question for prompt in prompts], seeds)
