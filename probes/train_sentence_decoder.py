"""Train the decoder of a sentence lens: how likely a sentence is given a state, and given none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from probes.sentence_states.decoder import RECIPE, decoder_of, restored, shape_of
from probes.sentence_states.decoder_finishing import finished, trust
from probes.sentence_states.decoder_objective import DecoderObjective
from probes.sentence_states.decoder_start import fresh_weights, read_layers_of
from probes.sentence_states.information import TOLD, InformationReader
from probes.sentence_states.judging import joined_report, judged_report, judged_scores
from probes.sentence_states.lens import find_lens
from probes.sentence_states.presets import DECODER_PRESETS
from probes.sentence_states.sources import drawn_corpus, learned_states
from probes.sentence_states.text_options import TextOptions
from probes.sentence_words import DecodedWords
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import recipe
from workbench.model.model import Model
from workbench.options import option
from workbench.result.result import Result
from workbench.result.tables import Column
from workbench.training.adapter import Adapter
from workbench.training.report import checkpoint_note, loss_tables
from workbench.training.run import TrainingRun

_TRAINING = Column("nats", "Mean per token, some sentences without a state.")
_HELD_OUT = Column("nats", "Mean per token given a state, held-out sentences; lowest is kept.")


@recipe(RECIPE, source="Ours; answers about activations after arXiv:2512.15674")
@dataclass(frozen=True, kw_only=True)
class TrainSentenceDecoder(TextOptions):
    """Train the decoder with which `sentence-words` tells how many nats a state saves.

    The model itself, with an adapter on its last blocks, learns to write the sentences of the
    texts that the lens learned from, each given the state at its own end at one of several
    layers; a share of them is given no state, so that the decoder without one is trained as
    well. A state enters through a map of its layer, as two positions of the first adapted block
    and as a shift of the logits. The maps begin as those of the readout of words, so that a
    state says its words before anything is trained.

    Texts, states and parts are those of the recipe of the lens with the same options; the best
    layer is the one that saves most on the validation part.

    Cost: one pass over all texts, then `steps` times `batch` sentences through the model, the
    last blocks with gradients.

    Units: losses in nats per token.

    Raises:
        TooLittleData: too few texts of several parts.
        FitError: the loss is not finite.

    Source: ours. Activation oracles (arXiv:2512.15674) answer questions about activations; here
    every word of the sentence itself is asked, beside the same question without a state.
    """

    preset: Literal["tiny", "cpu", "gpu"] = option("cpu", help="Sizes for that much compute.")
    lens: str = option("", help="Folder of the trained lens; default: the one that ships.")
    layers: int | None = option(None, help="Layers that can be read.", low=1, high=10_000)
    start: str = option("", help="Folder of a trained decoder to go on from.")
    rank: int | None = option(None, help="Rank of the adapter.", low=1, high=4096)
    adapted: float | None = option(
        None, help="Share of the blocks that is adapted, the last ones.", low=0.0, high=1.0
    )
    bare: float | None = option(
        None, help="Share of sentences learned without a state.", low=0.0, high=1.0
    )
    steps: int | None = option(None, help="Training steps.", low=1, high=10_000_000)
    batch: int | None = option(None, help="Sentences of a step.", low=1, high=1_000_000)
    learning_rate: float | None = option(None, help="Highest learning rate.", low=1e-9, high=1.0)

    def train(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        preset = DECODER_PRESETS[self.preset].with_options(self)
        context = context.on(model)
        lens = find_lens(self.lens, model.spec)
        corpus = drawn_corpus(model, examples, preset.own, preset.written, context)
        train, valid = learned_states(model, corpus, preset.texts, self.longest, context)
        read = read_layers_of(lens.readout.n_layers, preset.layers, lens.best)
        first = preset.first_block(model.spec.n_layers)
        shape = shape_of(preset.rank, first)
        adapter = Adapter(model, shape, generator=context.torch_stream(RECIPE), suffix=RECIPE)
        weights = fresh_weights(model, lens, read, first, context.torch_stream("state maps"))
        decoder = decoder_of(adapter, model, weights, read, lens.best)
        objective = DecoderObjective(decoder, adapter, train, valid, bare=preset.bare)
        begun = objective.begin(model, self.start) if self.start else ""
        run = TrainingRun.of(
            self, RECIPE, preset, model, context, begun=begun,
            **corpus.told(preset.texts), adapter=shape.as_dict(), read=list(read),
        )  # fmt: skip
        # Other draws than those of the run that was gone on from: its sentences come anew mixed.
        order = replace(context, seed=context.seed + bool(begun))
        history = replace(run, context=order).train(objective, preset.plan(objective.n_rows))
        tensors, chosen = finished(objective)
        options = {**run.manifest.options, **chosen}
        written = restored(model, run.save(tensors, options=options))
        options["trusted_from"] = trust(written, lens, objective)
        kept = run.save(tensors, options=options)
        reader = InformationReader(decoder=restored(model, kept), lens=lens, layers=read)
        probe = DecodedWords(lens=lens, reader=reader)
        found = judged_report(model, probe, corpus, preset.judged, self.longest, context)
        kept = kept.rescored(judged_scores(found, TOLD), run.folder)
        tables = loss_tables({RECIPE: history}, _TRAINING, _HELD_OUT)
        return joined_report(found, tables, checkpoint_note(kept.manifest, run.folder), TOLD)
