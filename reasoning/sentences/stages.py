"""The stages of a sentence pipeline, each resumable on its own."""

from dataclasses import dataclass, field

from reasoning.sentences.embedding_objective import EmbeddingObjective
from reasoning.sentences.prediction_objective import PredictionObjective, PredictionOptions
from reasoning.sentences.presets import SentencePreset
from reasoning.sentences.writing_objective import WritingObjective
from workbench.training.codec import SentenceCodec, Space
from workbench.training.latent import LatentHeads, LatentModel
from workbench.training.lines import Lines
from workbench.training.loop import History, Objective
from workbench.training.network import Network, Tuning
from workbench.training.run import TrainingRun
from workbench.training.splits import Splits


@dataclass(kw_only=True, eq=False)
class Stages:
    """Trains one stage after the other; `histories` keeps the curves by stage."""

    run: TrainingRun[SentencePreset]
    splits: Splits
    histories: dict[str, History] = field(default_factory=dict)

    def writing(self) -> tuple[Tuning, list[int]]:
        """Learn to write chains; return the weights, and the ids that ask for an answer at once."""
        writer, lines = self._tuning("writing", None), Lines(self.run.model.tokenizer)
        objective = WritingObjective(writer, lines, self.splits.train, self.splits.valid)
        if self.run.preset.writing:
            self._train("writing", "writing", objective)
        return writer, objective.lead

    def embedding(
        self, start: Tuning, space: Space, anchor: SentenceCodec | None = None
    ) -> tuple[Tuning, SentenceCodec]:
        """Learn to encode and decode sentences, from the weights of the writer."""
        name = "semantic" if space == "semantic" else "contextual"
        coder = self._tuning(name, start)
        codec = SentenceCodec(Network(coder.module), self.run.model.tokenizer, space)
        objective = EmbeddingObjective(
            coder, codec, self.splits.train, self.splits.valid, anchor=anchor
        )
        self._train(name, "embedding", objective)
        codec.network.freeze()
        return coder, codec

    def prediction(
        self, start: Tuning, codec: SentenceCodec, options: PredictionOptions
    ) -> tuple[Tuning, LatentModel]:
        """Learn to predict the next vector, and when to stop, from the weights of the writer."""
        thinker = self._tuning("latent", start)
        network = Network(thinker.module)
        draw = self.run.context.torch_stream("weights of heads")
        heads = LatentHeads(codec.d_model, scale=network.scale, generator=draw)
        latent = LatentModel(network, heads.to(network.device))
        objective = PredictionObjective(
            thinker, latent, codec, self.splits.train, self.splits.valid, options
        )
        self._train("latent", "prediction", objective)
        return thinker, latent

    def _tuning(self, name: str, start: Tuning | None) -> Tuning:
        return self.run.tuning(name, self.run.preset.lora, start)

    def _train(self, name: str, stage: str, objective: Objective) -> None:
        plan = self.run.preset.plan_of(stage, objective.n_rows)
        self.histories[name] = self.run.train(objective, plan, name)
