"""A trained sentence pipeline as a folder: a checkpoint, and the writer as a model of its own."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reasoning.sentences.prediction_objective import encoded
from reasoning.sentences.presets import SentencePreset
from workbench.model.hashing import weights_hash
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.training.checkpoint import Checkpoint
from workbench.training.codec import SentenceCodec
from workbench.training.latent import LatentModel
from workbench.training.lines import Lines, Worked
from workbench.training.network import Tuning
from workbench.training.run import TrainingRun
from workbench.training.scratch import save_model
from workbench.training.sentence_model import CODEC, HEADS, KNOWN, LATENT, WRITER

MOST_KNOWN = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What the stages have made."""

    writer: Tuning
    coder: Tuning
    thinker: Tuning
    codec: SentenceCodec
    latent: LatentModel

    def save(
        self, run: TrainingRun[SentencePreset], problems: Sequence[Worked], told: Mapping[str, Any]
    ) -> Checkpoint:
        """Write the checkpoint; `told` is added to the options of its manifest.

        Fully trained weights of the writer become a model beside it.
        """
        texts, vectors = known_sentences(self.codec, problems)
        tensors = {
            **self.coder.tensors(CODEC),
            **self.thinker.tensors(LATENT),
            **{HEADS + n: p.detach().clone() for n, p in self.latent.heads.named_parameters()},
            KNOWN: vectors,
        }
        base_hash = run.manifest.base_hash
        if run.preset.lora is not None:
            tensors |= self.writer.tensors(WRITER)
        else:
            tokenizer = self.codec.lines.tokenizer
            save_model(self.writer.module, tokenizer, run.folder, dtype=run.dtype)
            base_hash = weights_hash([run.folder / "model.safetensors"])
        options = {**run.manifest.options, **told, KNOWN: list(texts)}
        return run.save(tensors, options=options, base_hash=base_hash)


def reopened(model: Model, folder: Path, checkpoint: Checkpoint) -> Model:
    """Return the model that a kept checkpoint belongs to."""
    if checkpoint.manifest.base_hash == model.spec.weights_hash:
        return model
    return load_model(folder, device=model.device.type)


def known_sentences(
    codec: SentenceCodec, problems: Sequence[Worked]
) -> tuple[tuple[str, ...], Tensor]:
    """Return the commonest sentences of the problems with the mean of their vectors."""
    counts = Counter(s for worked in problems for s in worked.sentences)
    texts = tuple(text for text, _ in counts.most_common(MOST_KNOWN))
    place = {text: i for i, text in enumerate(texts)}
    total = torch.zeros(len(texts), codec.d_model)
    for worked, vectors in zip(problems, encoded(codec, problems), strict=True):
        for text, vector in zip(worked.sentences, vectors, strict=True):
            if text in place:
                total[place[text]] += vector
    return texts, total / torch.tensor([counts[t] for t in texts])[:, None]


def answer_ids(lines: Lines, problems: Sequence[Worked]) -> list[int]:
    """Return the ids that answers begin with, none if another sentence begins so as well."""
    first = {lines.sentence(w.sentences[-1])[0] for w in problems}
    others = {lines.sentence(s)[0] for w in problems for s in w.sentences[:-1]}
    return [] if first & others else sorted(first)
