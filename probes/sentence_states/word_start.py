"""What the readout of words begins from: the model's own embeddings of the words."""

import torch
from jaxtyping import Float
from torch import Tensor

from probes.sentence_states.vocabulary import OTHER, Vocabulary
from workbench.model.model import Model
from workbench.sampling.rendering import text_ids

_LENGTH = 10.0


def word_vectors(model: Model, vocabulary: Vocabulary, rank: int) -> Float[Tensor, "rank word"]:
    """Return a vector for each word: the mean input embedding of its tokens after a space.

    Vectors are centred, of one length, and cut to the `rank` directions in which they differ
    most. Words that are alike begin near each other, so that those seen in few sentences gain
    from those seen in many. The place of all other words is zero.

    Source: ours; output weights from pre-trained embeddings after Kumar & Tsvetkov 2019.
    """
    rows = [model.embed(_ids(model, word)).float()[0].mean(dim=0).cpu()
            for i, word in enumerate(vocabulary.words) if i != OTHER]  # fmt: skip
    found = torch.stack(rows)
    found = found - found.mean(dim=0)
    found = found / found.norm(dim=1, keepdim=True).clamp(min=1e-6)
    _, _, directions = torch.linalg.svd(found, full_matrices=False)
    vectors = torch.zeros(rank, len(vocabulary))
    vectors[: len(directions), OTHER + 1 :] = _LENGTH * directions[:rank] @ found.T
    return vectors


def _ids(model: Model, word: str) -> Tensor:
    ids = list(text_ids(model.tokenizer, f" {word}")) or [model.stop_ids[0]]
    return torch.tensor([ids], device=model.device)
