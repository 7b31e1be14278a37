"""The training sentences that a codec keeps beside its weights, to be found as the nearest."""

from reasoning.codec.corpus import Corpus
from reasoning.codec.evaluation import Codec
from workbench.methods.contracts import Context
from workbench.training.codec import Known


def known_of(codec: Codec, corpus: Corpus, n: int, context: Context) -> Known:
    """Return some training sentences, as many of each family, with their vectors."""
    draw, texts = context.stream("known sentences"), []
    families = corpus.part("train")
    for sentences in families.values():
        order = draw.permutation(len(sentences))[: max(1, n // len(families))]
        texts += [sentences[i] for i in order]
    return Known(texts=tuple(texts), vectors=codec.encode(texts))
