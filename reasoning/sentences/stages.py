"""The stages of a sentence pipeline, each resumable on its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from reasoning.sentences.embedding_task import EmbeddingTask
from reasoning.sentences.prediction_task import Lesson, PredictionTask
from reasoning.sentences.sizes import Sizes
from reasoning.sentences.writing_task import WritingTask
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.training.checkpoint import Manifest
from workbench.training.codec import SentenceCodec, Space
from workbench.training.latent import LatentHeads, LatentModel
from workbench.training.lines import Lines, Worked
from workbench.training.loop import History, Trainable, train
from workbench.training.network import Network, Tuning, tuning


@dataclass(kw_only=True, eq=False)
class Stages:
    """Trains one stage after the other; `histories` keeps the curves by stage."""

    model: Model
    sizes: Sizes
    manifest: Manifest
    folder: Path
    context: Context
    problems: Sequence[Worked]
    held_out: Sequence[Worked]
    histories: dict[str, History] = field(default_factory=dict)

    def writing(self) -> tuple[Tuning, list[int]]:
        """Learn to write chains; return the weights, and the ids that ask for an answer at once."""
        writer = self._tuning("writing", None)
        task = WritingTask(writer, Lines(self.model.tokenizer), self.problems, self.held_out)
        self._train("writing", "writing", task)
        return writer, task.lead

    def embedding(
        self, start: Tuning, space: Space, anchor: SentenceCodec | None = None
    ) -> tuple[Tuning, SentenceCodec]:
        """Learn to encode and decode sentences, from the weights of the writer."""
        name = "semantic" if space == "semantic" else "contextual"
        coder = self._tuning(name, start)
        codec = SentenceCodec(Network(coder.module), self.model.tokenizer, space)
        task = EmbeddingTask(coder, codec, self.problems, self.held_out, anchor=anchor)
        self._train(name, "embedding", task)
        codec.network.freeze()
        return coder, codec

    def prediction(
        self, start: Tuning, codec: SentenceCodec, lesson: Lesson
    ) -> tuple[Tuning, LatentModel]:
        """Learn to predict the next vector, and when to stop, from the weights of the writer."""
        thinker = self._tuning("latent", start)
        network = Network(thinker.module)
        heads = LatentHeads(codec.d_model, scale=network.scale, generator=self._draw("heads"))
        latent = LatentModel(network, heads.to(network.device))
        task = PredictionTask(thinker, latent, codec, self.problems, self.held_out, lesson)
        self._train("latent", "prediction", task)
        return thinker, latent

    def _tuning(self, name: str, start: Tuning | None) -> Tuning:
        grown = tuning(self.model, self.sizes.lora, generator=self._draw(name), suffix=name)
        if start is not None:
            grown.load(start.tensors())
        return grown

    def _train(self, name: str, stage: str, task: Trainable) -> None:
        tell = self.context.progress
        context = replace(
            self.context, progress=lambda done, total, what: tell(done, total, f"{name} {what}")
        )
        self.histories[name] = train(
            task,
            self.sizes.plan(stage, task.n_rows),
            folder=self.folder / name,
            identity=self.manifest.identity(name),
            context=context,
        )

    def _draw(self, name: str) -> torch.Generator:
        return self.context.torch_stream(f"weights of {name}")
