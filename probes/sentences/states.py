"""States at the ends of sentences, or at the steps of a chain, layer by layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.model.sites import Kind, every_layer
from workbench.model.tokens import Tokens
from workbench.sampling.sentence_spans import sentence_spans

_TEXTS_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Place:
    """One sentence: its text's number, its own number within the text, and its words.

    `after` is the sentence that follows, empty at the end; `position` is the token whose states
    are read, the last of the sentence.
    """

    text: int
    number: int
    sentence: str
    after: str = ""
    position: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Ends:
    """Places with the states of every layer read there."""

    places: tuple[Place, ...]
    states: Float[Tensor, "n layer d_model"]

    def take(self, rows: Sequence[int]) -> "Ends":
        """Return some of the places."""
        return Ends(places=tuple(self.places[i] for i in rows), states=self.states[list(rows)])


def sentence_ends(
    model: Model, examples: Sequence[Example], longest: int, context: Context
) -> Ends:
    """Run every text once and keep the states of its sentences' last tokens.

    Texts of like length share a pass; only what is kept stays in memory. A sentence that does
    not end within `longest` tokens is left out.

    Raises:
        TooLittleData: no text holds a sentence.
    """
    sites = every_layer(Kind.RESID_POST, model.spec)
    lengths = [len(example.text) for example in examples]
    order = sorted(range(len(examples)), key=lambda i: lengths[i])
    found: dict[int, tuple[list[Place], Tensor]] = {}
    for start in range(0, len(order), _TEXTS_AT_ONCE):
        context.progress(start, len(order), "texts run")
        some = order[start : start + _TEXTS_AT_ONCE]
        tokens = model.tokenize([examples[i].text for i in some], limit=longest)
        trace = model.run(tokens, read=sites)
        for row, i in enumerate(some):
            mine = list(places_of(i, examples[i].text, tokens, row))
            at = torch.tensor([p.position for p in mine], dtype=torch.long)
            layers = [trace.row(row, site)[at.to(model.device)].float().cpu() for site in sites]
            found[i] = mine, torch.stack(layers, dim=1)
    context.progress(len(order), len(order), "texts run")
    places = tuple(p for i in sorted(found) for p in found[i][0])
    if not places:
        raise TooLittleData("no text holds a whole sentence", hint="give longer texts")
    return Ends(places=places, states=torch.cat([found[i][1] for i in sorted(found)]))


def places_of(text: int, words: str, tokens: Tokens, row: int) -> Iterator[Place]:
    """Yield the whole sentences of a text that stands in a row of a batch."""
    offsets = tokens.offsets[row]
    spans = sentence_spans(words)
    for number, (start, end) in enumerate(spans):
        inside = [i for i, (a, b) in enumerate(offsets) if a < end and b > start and b > a]
        is_whole = bool(inside) and offsets[inside[-1]][1] >= end
        if is_whole:
            following = spans[number + 1 : number + 2]
            yield Place(
                text=text,
                number=number,
                sentence=" ".join(words[start:end].split()),
                after=" ".join(" ".join(words[a:b] for a, b in following).split()),
                position=inside[-1],
            )
