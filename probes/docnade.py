"""An autoregressive topic model, and what a layer's state adds to its bag of words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from probes.topic_model import Documents, fit, losses, npmi, pad_documents
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import random_like
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.model import Model
from workbench.model.site_patterns import expand
from workbench.model.sites import Site
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.metric import Axis, Control, Plot, number
from workbench.result.result import Note, Result
from workbench.result.row_samples import samples_of
from workbench.result.tables import Column, Rows
from workbench.result.views import Bars

_FEWEST, _SHOWN = 8, 8
_TRAIN, _CHOOSE, _HELD = 1, 2, 4
_OF_TEXTS = {
    "bag": number("nats per word", "Saved by the words so far, over frequencies alone."),
    "state": number("nats per word", "Saved by the state beside these words.", "layer"),
}
_OF_TOPICS = {"coherence": number("NPMI", "Of a topic's words, in the texts.", bounds=(-1.0, 1.0))}
_CONTROLS = {
    "random": Control("random vectors", "random vectors as long as the states"),
    "drawn": Control("random words", "as many words drawn from the vocabulary"),
}


@probe("docnade", source="Gupta et al. 2019, textTOvec, arXiv:1810.03947, section 2")
@dataclass(frozen=True, kw_only=True)
class Docnade:
    """Train an autoregressive topic model, without and with the model's state at each layer.

    DocNADE predicts each word from the bag of those before it, h = tanh(e + Σ W_v + λ·A·c), with c
    the state in front of the word, whitened, and λ = `weight`; 0 is the plain topic model to the
    bit. `state` is what c saves beyond the bag on texts that nothing was fitted to, layer by layer.
    Words are tokens of at least `letters` letters. Topics are the hidden units of the plain model
    and `coherence` is the NPMI of their strongest words. Controls: random vectors as long as the
    states; as many words drawn from the vocabulary.

    Units: nats per word, means over words of a text, then over held-out texts; NPMI −1 to 1.

    Cost: one pass per text and three fits per layer, each `epochs` times through the texts.

    Raises:
        TooLittleData: no text with two words of the vocabulary.

    Source: sections 2.1 and 2.2. We differ: the language model is frozen and read at every
    layer, words are tokens, and a quarter of the texts chooses the epoch.
    """

    layers: str = option("::7", help="Layers to read: all (*), or a slice such as ::7.")
    words: int = option(512, help="Words of the vocabulary, the most frequent.", low=4, high=20000)
    letters: int = option(3, help="Fewest letters of a word; 0 takes every token.", low=0)
    topics: int = option(16, help="Hidden units, each a topic.", low=1, high=1000)
    weight: float = option(0.5, help="Weight λ of the state; 0 is none.", low=0.0, high=10.0)
    dims: int = option(32, help="Principal components of the states.", low=1, high=4096)
    epochs: int = option(40, help="Most times through the texts.", low=1, high=10_000)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        sites = expand((f"resid_post.{self.layers}",), model.spec)
        ids, states = _read(model, examples, sites, context)
        names = self._vocabulary(model, ids)
        places = [[i for i, token in enumerate(row) if i and token in names] for row in ids]
        kept = [i for i, own in enumerate(places) if len(own) > 1]
        if not kept:
            raise TooLittleData(
                f"none of {len(ids)} texts holds two words of {self.letters} letters",
                hint="give longer texts, or fewer --letters",
            )
        number_of = {token: i for i, token in enumerate(names)}
        words = [[number_of[ids[i][at]] for at in places[i]] for i in kept]
        documents = pad_documents(words)
        part = _parts(len(kept), context)
        plain, weights = self._fitted(documents, part, names, context)
        rows = self._of_texts(plain, documents, part, kept, names)
        for j, site in enumerate(sites):
            for kind in ("", "_random"):
                own = [states[kind][i][j][[at - 1 for at in p]] for i, p in enumerate(places)]
                with_state = replace(documents, state=self._whitened([own[i] for i in kept], part))
                found, _ = self._fitted(with_state, part, names, context)
                told = self._of_texts(plain, documents, part, kept, names, found)
                rows += [{"layer": site.layer, f"state{kind}": row["gain"], **row} for row in told]
            context.progress(j + 1, len(sites), "layers fitted")
        topics = self._of_topics(weights["words"], words, list(names.values()), context)
        why = "too few texts: fitted and scored on the same ones"
        notes = [Note(why, "warning", "few-texts")] if len(kept) < _FEWEST else []
        return self._report(rows, topics, len(examples), notes)

    def _vocabulary(self, model: Model, ids: Sequence[Sequence[int]]) -> dict[int, str]:
        """Return the most frequent tokens that are words, in that order, as text."""
        counts = Counter(token for row in ids for token in row[1:])
        texts = {token: model.decode([token]).strip() for token in counts}
        words = [
            token
            for token, text in texts.items()
            if not self.letters or (len(text) >= self.letters and text.isalpha())
        ]
        words.sort(key=lambda token: (-counts[token], token))
        return {token: texts[token] for token in words[: self.words]}

    def _fitted(
        self, documents: Documents, part: NDArray[np.int64], names: Mapping[int, str],
        context: Context,
    ) -> tuple[Float[Tensor, "doc word"], dict[str, Tensor]]:  # fmt: skip
        weights = fit(
            documents.take(np.flatnonzero(part & _TRAIN).tolist()),
            documents.take(np.flatnonzero(part & _CHOOSE).tolist()),
            n_words=len(names), topics=self.topics, weight=self.weight, epochs=self.epochs,
            generator=context.torch_stream("docnade"),
        )  # fmt: skip
        with torch.no_grad():
            return losses(weights, documents, self.weight), weights

    def _of_texts(
        self,
        plain: Float[Tensor, "doc word"],
        documents: Documents,
        part: NDArray[np.int64],
        kept: Sequence[int],
        names: Mapping[int, str],
        other: Float[Tensor, "doc word"] | None = None,
    ) -> Rows:
        """Return what each held-out text saves, over frequencies or by another model."""
        train = documents.take(np.flatnonzero(part & _TRAIN).tolist())
        counts = torch.bincount(train.words[train.mask], minlength=len(names)).double() + 1
        frequent = -(counts / counts.sum()).log()[documents.words].float()
        gain = frequent - plain if other is None else plain - other
        means = (gain * documents.mask).sum(dim=1) / documents.mask.sum(dim=1)
        name = "bag" if other is None else "gain"
        held = np.flatnonzero(part & _HELD).tolist()
        return [{"text": kept[i], name: float(means[i])} for i in held]

    def _whitened(
        self, states: Sequence[Float[Tensor, "_ d_model"]], part: NDArray[np.int64]
    ) -> Float[Tensor, "doc word width"]:
        """Return the first principal components of the training states, each of unit variance."""
        train = torch.cat([x for x, one in zip(states, part, strict=True) if one & _TRAIN]).double()
        mean = train.mean(dim=0)
        _, values, vectors = torch.linalg.svd(train - mean, full_matrices=False)
        # A direction that the training states hardly take is not blown up.
        least = max(1e-3 * float(values[0]), 1e-9)
        scale = values[: self.dims].clamp(min=least) / len(train) ** 0.5
        rows = [((x.double() - mean) @ vectors[: self.dims].T / scale).float() for x in states]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def _of_topics(
        self, weights: Float[Tensor, "word topic"], texts: Sequence[Sequence[int]],
        names: Sequence[str], context: Context,
    ) -> Rows:  # fmt: skip
        holds = np.zeros((len(texts), len(names)), bool)
        for i, text in enumerate(texts):
            holds[i, list(text)] = True
        draw, few = context.stream("docnade words"), min(_SHOWN, len(names))
        rows = []
        for topic in range(weights.shape[1]):
            best = weights[:, topic].topk(few).indices.tolist()
            by_chance = draw.choice(len(names), few, replace=False)
            row: dict[str, Any] = {"topic": topic, "words": " ".join(names[i] for i in best)}
            row["coherence"] = npmi(holds[:, best])
            rows.append({**row, "coherence_drawn": npmi(holds[:, by_chance])})
        return rows

    @staticmethod
    def _verdict(state: Estimate) -> str:
        return state.told(
            "Beside a bag of words the last layer's state {} than a random one",
            *("helps more", "helps less", "is not shown to help more"),
        )

    def _report(self, rows: Rows, topics: Rows, n_given: int, notes: Sequence[Note]) -> Result:
        axes = {"layer": Axis(help="Layer whose output is read.")}
        texts = samples_of(rows, _OF_TEXTS, controls_of=_CONTROLS, axes_of=axes, n_given=n_given)
        units = samples_of(topics, _OF_TOPICS, by=("topic",), unit="topics", controls_of=_CONTROLS)
        last = {"layer": texts.layers[-1]}
        estimates = [
            texts.estimate("bag"),
            texts.estimate("state", "random", last),
        ]
        if "coherence" in units.metrics:
            estimates.append(units.estimate("coherence", "drawn"))
        else:
            why = "every word stands in every text, so topics have no coherence"
            notes = [*notes, Note(why, "warning", "no-coherence")]
        return study_report(
            texts,
            summary=f"{self._verdict(estimates[1])}; {'; '.join(map(str, estimates[::2]))}.",
            averages={"layers": ("layer",)},
            rows={"topics": topics},
            columns={
                "topic": Column(help="Hidden unit of the plain topic model, from 0."),
                "words": Column(help="Its strongest words."),
                "coherence": Column("NPMI", "Mean over pairs of its words."),
                "coherence_drawn": Column("NPMI", "Of random words.", control_of="coherence"),
            },
            estimates=estimates,
            notes=notes,
            plots=(
                Plot(title="What the state saves beside a bag of words", metrics=("state",)),
                Bars("Coherence of topics", "topics", x="topic", y="coherence"),
            ),
        )


def _read(
    model: Model, examples: Sequence[Example], sites: Sequence[Site], context: Context
) -> tuple[list[list[int]], dict[str, list[Float[Tensor, "layer pos d_model"]]]]:
    """Return the tokens of every text, and its states and random vectors as long."""
    ids: list[list[int]] = []
    states: dict[str, list[Tensor]] = {"": [], "_random": []}
    for done, example in enumerate(examples):
        trace = model.run([example.text], read=sites)
        own = torch.stack([trace[site] for site in sites], dim=2).float()
        like = random_like(own, trace.tokens, context, "docnade")
        for kind, x in (("", own), ("_random", like)):
            states[kind].append(x[0].transpose(0, 1).cpu())
        ids.append(trace.tokens.row(0))
        context.progress(done + 1, len(examples), "texts")
    return ids, states


def _parts(n: int, context: Context) -> NDArray[np.int64]:
    """Return the part of every text, two quarters to train; few texts are all parts at once."""
    if n < _FEWEST:
        return np.full(n, _TRAIN | _CHOOSE | _HELD)
    order = context.stream("docnade parts").permutation(n) * 4 // n
    return np.array([_TRAIN, _TRAIN, _CHOOSE, _HELD])[order]
