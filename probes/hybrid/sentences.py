"""What the states of a chain say of its sentences, read as those of ordinary text are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from probes.hybrid.thoughts import Thought
from probes.sentence_states.information import InformationReader
from probes.sentence_states.reading import SentenceReader
from probes.sentence_states.verdict import nats_verdict, unbeaten
from probes.sentence_words import LoadedWords, SentenceWords
from workbench.errors import ModelNotFound
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace
from workbench.result.metric import Control, number, share
from workbench.result.result import Note
from workbench.result.row_samples import column_name, samples_of
from workbench.result.samples import VALUE, Samples
from workbench.result.tables import columns_from

_FEW = 5
FED, TOKENS, NOISE = "fed", "tokens", "noise"
_READ = {
    "words_p_at_1": share("First word stands in the sentence, best layer."),
    "together_p_at_1": share("First word of all layers stands in the sentence."),
    "next_p_at_1": share("First word stands in the next sentence, best layer."),
    "nearest_shares_word": share("Nearest sentence shares a word, best layer."),
    "information_saved": number("nats", "Saved of the sentence, best layer."),
    "content_words_saved": share("Content words with nats saved."),
    "next_saved": number("nats", "Told of the next sentence, over a later one."),
    "bare_nats": number("nats", "The sentence without a state, −log p."),
    "written_f1": share("Words that the written sentence has in common with it.", unit="F1"),
    "trusted": share("Written sentences that the readout of words agrees with."),
}
_SAID = ("said", "nearest", "written")
_CONTROLS = {
    TOKENS: Control("tokens fed", "the same states where the tokens were fed and no vectors"),
    NOISE: Control("random directions", "where vectors as far from the tokens were fed, at random"),
    **SentenceWords.controls_of,
}
COLUMNS = columns_from("""
    sentence: Sentence of the response.
    said: Words that its end holds at the best layer; sure ones only.
    nearest: Sentence of the bank that shares most of what is read.
    written: Likeliest sentence given the state; `unsure` where not trusted.
""")


@dataclass(frozen=True, kw_only=True, eq=False)
class ChainLens:
    """The lens of ordinary text and its decoder, for the states of one model."""

    probe: LoadedWords
    context: Context

    @classmethod
    def find(cls, model: Model, context: Context) -> "tuple[ChainLens | None, Note | None]":
        """Return the lens of a model, or a note that names the models that have one."""
        context = context.on(model)
        try:
            probe = cast(LoadedWords, SentenceWords().loaded(context))
        except ModelNotFound as error:
            return None, Note(f"sentences of chains are not read: {error}", code="no-lens")
        return cls(probe=probe, context=context), None

    def rows(
        self,
        model: Model,
        thought: Thought,
        passes: Mapping[str, Float[Tensor, "layer fed d_model"]],
    ) -> list[dict[str, Any]]:
        """Return one row per sentence of the response that ends before its last token.

        `passes` are the states at the response's inputs, where it was fed vectors, tokens, or
        vectors in random directions. A control of its own, such as another sentence's state, is
        that of the vectors that were fed.
        """
        found: list[dict[str, Any]] = []
        for name, states in passes.items():
            rows = list(self._read(model, thought, states, name == FED))
            found = found or [{} for _ in rows]
            for mine, row in zip(found, rows, strict=True):
                own = {column_name(name, m): row[m] for m in _READ if m in row}
                mine |= row if name == FED else own
        return found

    def _read(
        self,
        model: Model,
        thought: Thought,
        states: Float[Tensor, "layer fed d_model"],
        is_written: bool,
    ) -> Iterator[dict[str, Any]]:
        tokens, text = _fed_tokens(model, thought)
        sites = [Site(Kind.RESID_POST, layer) for layer in range(len(states))]
        reader = SentenceReader(
            lens=self.probe.lens,
            sure=self.probe.sure,
            trace=Trace(
                spec=model.spec,
                tokens=tokens,
                activations={site: x[None] for site, x in zip(sites, states, strict=True)},
            ),
            examples=[Example(text=text)],
            context=self.context,
            information=self._information(is_written),
        )
        measured, best = reader.measured(), self.probe.lens.best
        for end in reader.ends:
            row: dict[str, Any] = {"sentence": end.sentence}
            for kind, values in ((VALUE, measured.values), *measured.controls.items()):
                for name in [name for name in _READ if name in values]:
                    at = _at_best(name, best, values[name].ndim)
                    x = float(values[name][0][(*at, end.column)])
                    row[column_name(kind, name)] = None if x != x else x
            for name in [name for name in _SAID if name in measured.texts]:
                row[name] = _told(measured.texts[name][0, :, end.column], best)
            yield row

    def _information(self, is_written: bool) -> InformationReader | None:
        reader = self.probe.reader
        return reader if reader is None else replace(reader, is_written=is_written)


def sentence_samples(rows: Sequence[Mapping[str, Any]]) -> Samples | None:
    """Return the means over the sentences of each chain; None where no chain has one."""
    if not rows:
        return None
    return samples_of(rows, _READ, controls_of=_CONTROLS)


def sentence_verdict(found: Samples | None) -> str:
    """Say what the ends of the sentences tell, and whether tokens fed instead tell less."""
    if found is None or "words_p_at_1" not in found.metrics:
        return ""
    name = "information_saved" if "information_saved" in found.metrics else "words_p_at_1"
    equal = unbeaten(found, "words_p_at_1")
    words = found.estimate("words_p_at_1", "other")
    if words.low is None or words.n < _FEW:
        return (
            f" Too few chains for a verdict on their sentences: {words}; "
            f"{found.estimate(name, TOKENS)}."
        )
    beside = f", not above {', '.join(equal)}" if equal else ""
    changed = found.estimate(name, TOKENS).told(
        "Latent inputs {}",
        "make them say more",
        "make them say less",
        "change nothing that is measured of it",
    )
    read = "Words are read" if not equal else "No word is read for sure"
    return f" {read} at the ends of its sentences: {words}{beside}.{nats_verdict(found)} {changed}."


def _fed_tokens(model: Model, thought: Thought) -> tuple[Tokens, str]:
    """Return the tokens of the response that were fed, with their characters, and its text."""
    ids = list(thought.response)
    ends = [len(model.decode(ids[: k + 1])) for k in range(len(ids))]
    places = tuple(zip([0, *ends[:-1]], ends, strict=True))[:-1]
    text = model.decode(ids)
    fed = torch.tensor([ids[:-1]])
    mask = torch.ones_like(fed, dtype=torch.bool)
    return Tokens(ids=fed, mask=mask, texts=(text,), offsets=(places,)), text


def _at_best(name: str, best: int, n_axes: int) -> tuple[int, ...]:
    """Return the place of a metric along its layers, where it has any."""
    return (best,) if n_axes == 3 else ()


def _told(by_layer: Any, best: int) -> str:
    """Return the words of the best layer, or of the one layer that has some."""
    return str(by_layer[best] or next((text for text in by_layer if text), ""))
