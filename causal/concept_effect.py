"""The effect of a concept on what a model answers, explained in ten ways beside the true one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from causal.concepts.explain import Asked, Known, matched, textual
from causal.concepts.generated import Asking
from causal.concepts.generated_pairs import GeneratedPairs, generated_pairs
from causal.concepts.layer_edits import LayerFit, answered
from causal.concepts.report import effect_report
from causal.concepts.rows import Concepts, concepts_of
from workbench.errors import BadOption
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.methods.text_vectors import text_vectors
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.site_patterns import expand
from workbench.model.sites import Kind, Site
from workbench.options import option
from workbench.result.result import Result

_FINAL = Site(Kind.FINAL_NORM, None, (-1,))


@probe("concept-effect", source="Abraham et al. 2022, CEBaB, arXiv:2205.14140")
@dataclass(frozen=True, kw_only=True)
class ConceptEffect:
    """Explain what changing a concept does to a model's answers, with errors against the truth.

    The truth is p(x′) − p(x) over pairs of texts that differ in the concept, p the distribution
    over the answers at the end of the template. At every layer the last token's state is erased
    (LEACE, controls partialled out), shifted to the wanted value, or given the concept's component
    of a text with that value; texts are matched there after erasing. Beside them stand explainers
    that see values alone (association, S-learner, matching on the controls), the zero and the
    random one, and random subspaces of the eraser's rank. Groups are never fitted to and paired.

    With a generator, texts that people edited are set aside: a local model rewrites texts, and
    those that probes of words read as wanted, with controls as they were and few edits, are pairs.

    Erasing has no direction and is no causal effect by itself; skill says what is better than zero.

    Units: probabilities; errors are distances of probability vectors, skill 1 − L2/L2 of zero.

    Raises:
        BadRows: no pairs, or fields without values.
        BadOption: two answers begin with the same token.
        Unfitted: no generated text was accepted.

    Source: CEBaB, section 3; Gat et al. 2023, arXiv:2310.00603, for matching; Feder et al. 2021,
    CausaLM, arXiv:2005.13407. Setting the states of one token, and all of it by layer, is ours.
    """

    label_words: ClassVar = "values of the concept"

    concept: str = option("", help="Field with the concept's values; default: the label.")
    controls: tuple[str, ...] = option((), help="Fields that should stay as they are.")
    template: str = option(
        "{text}\nOverall, the review is", help="What the model reads; {text} stands for the text."
    )
    answers: tuple[str, ...] = option((" positive", " negative"), help="What may come next.")
    layers: str = option("*", help="Layers to edit: all, or a slice such as 10:20:2.")
    fit: int = option(300, help="Texts to fit to.", low=4, high=10**6)
    pairs: int = option(100, help="Ordered pairs to explain.", low=1, high=10**6)
    neighbours: int = option(10, help="Texts averaged when matching.", low=1, high=1000)
    draws: int = option(20, help="Random subspaces at every layer.", low=2, high=1000)

    generator: str = option("", help="Model that writes the pairs: default, a folder; or none.")
    instruction: str = option(
        "Rewrite this text so that the {concept} is {wanted}. Change as few words as possible and "
        "keep everything else the same.\n\n{text}",
        help="What the generator is asked; {text}, {concept} and {wanted} are filled in.",
    )
    tries: int = option(4, help="Attempts at a text.", low=1, high=1000)
    most_changed: float = option(0.5, help="Share of words that may differ.", low=0.01, high=1.0)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        examples, generated = self._sources(examples, context)
        rows = concepts_of(
            examples,
            self.concept or "label",
            self.controls,
            n_fit=self.fit,
            n_pairs=self.pairs,
            generator=context.stream("concept rows"),
        )
        sites = expand([f"resid_post.{self.layers}[-1]"], model.spec)
        used = np.unique(np.concatenate([rows.fit, rows.pairs.reshape(-1)]))
        prompts = [self._prompt(rows.texts[i]) for i in used]
        read = text_vectors(model, prompts, (*sites, _FINAL), context)
        at = {int(i): place for place, i in enumerate(used)}
        p = self._answers(model, torch.from_numpy(read[_FINAL]), normed=True)
        fit, source, asked, true = _parts(rows, p, at)
        layers = [site.layer or 0 for site in sites]
        guesses = self._textual(fit, asked, layers, context)
        edited, told = {}, []
        for site, layer in zip(sites, layers, strict=True):
            x = read[site]
            mine = LayerFit.of(
                x[[at[int(i)] for i in rows.fit]],
                fit,
                draws=self.draws,
                generator=context.stream(f"random subspaces {layer}"),
            )
            h = x[[at[int(i)] for i in rows.pairs[:, 0]]].astype(np.float64)
            draw = context.stream(f"matching {layer}")
            where = mine.neighbours(h, asked, draw, k=self.neighbours)
            guesses["match", layer] = matched(fit, asked, where)
            edited[layer] = mine.edited(h, asked, draw)
            told += _told(mine, layer, {"unedited": h, **edited[layer]}, asked)
        for name, found in self._run(model, rows, prompts, at, edited, context).items():
            guesses |= {(name, layer): x - source.p for layer, x in found.items()}
        result = effect_report(rows, true, guesses, told, layers=layers, answers=self.answers)
        return result if generated is None else generated.reported(result)

    def _sources(
        self, examples: Sequence[Example], context: Context
    ) -> tuple[Sequence[Example], GeneratedPairs | None]:
        """Return the rows to explain, with what a generator wrote where one is named."""
        labelled = _with_label(examples, self.concept)
        if not self.generator:
            return labelled, None
        asking = Asking(
            instruction=self.instruction, tries=self.tries, most_changed=self.most_changed
        )
        found = generated_pairs(
            load_model(self.generator, progress=context.progress),
            labelled,
            self.concept or "label",
            self.controls,
            asking=asking,
            n=self.pairs,
            context=context,
        )
        return found.examples, found

    def _textual(
        self, fit: Known, asked: Asked, layers: Sequence[int], context: Context
    ) -> dict[tuple[str, int], NDArray[np.float64]]:
        """Return what the explainers say that see no layer, the same at every one."""
        found: dict[tuple[str, int], NDArray[np.float64]] = {}
        for name, explain in textual(self.neighbours).items():
            guess = explain(fit, asked, context.stream(f"explainer {name}"))
            found |= {(name, layer): guess for layer in layers}
        return found

    def _prompt(self, text: str) -> str:
        if "{text}" not in self.template:
            raise BadOption(f"the template {self.template!r} has no place for {{text}}")
        return self.template.replace("{text}", text)

    def _answers(
        self, model: Model, states: Any, *, normed: bool
    ) -> Float[np.ndarray, "n n_class"]:
        return self._shares(model, model.unembed(states.to(model.device), normed=normed))

    def _shares(self, model: Model, logits: Any) -> Float[np.ndarray, "n n_class"]:
        ids = [model.tokenizer(a, add_special_tokens=False)["input_ids"][:1] for a in self.answers]
        first = [i for one in ids for i in one]
        if len(set(first)) < max(2, len(self.answers)):
            raise BadOption(
                f"the answers {', '.join(map(repr, self.answers))} begin with the tokens {first}; "
                "expected two answers or more, each with a first token of its own",
                hint='answers usually begin with a space: --answers " good" " bad"',
            )
        return np.asarray(logits[:, first].double().softmax(dim=-1).cpu().numpy())

    def _run(
        self,
        model: Model,
        rows: Concepts,
        prompts: Sequence[str],
        at: Mapping[int, int],
        edited: Mapping[int, Mapping[str, NDArray[np.float64]]],
        context: Context,
    ) -> dict[str, dict[int, NDArray[np.float64]]]:
        """Return the answers to every source under every edit, by explainer and layer."""
        names = list(next(iter(edited.values())))
        shape = (len(rows.pairs), len(self.answers))
        found = {name: {layer: np.zeros(shape) for layer in edited} for name in names}
        for i, source in enumerate(rows.pairs[:, 0]):
            tokens = model.tokenize(prompts[at[int(source)]]).row(0)
            states = {
                layer: np.stack([x[i] for x in known.values()]) for layer, known in edited.items()
            }
            for layer, logits in answered(model, tokens, states).items():
                for name, p in zip(names, self._shares(model, logits), strict=True):
                    found[name][layer][i] = p
            context.progress(i + 1, len(rows.pairs), "pairs edited")
        return found


def _with_label(examples: Sequence[Example], concept: str) -> Sequence[Example]:
    if concept:
        return examples
    return [
        Example(text=e.text, group=e.group, fields={**e.fields, "label": e.label or ""})
        for e in examples
    ]


def _parts(
    rows: Concepts, p: Float[np.ndarray, "n n_class"], at: Mapping[int, int]
) -> tuple[Known, Known, Asked, NDArray[np.float64]]:
    def known(where: NDArray[np.intp]) -> Known:
        return Known(t=rows.t[where], c=rows.c[where], p=p[[at[int(i)] for i in where]])

    source, target = known(rows.pairs[:, 0]), known(rows.pairs[:, 1])
    return known(rows.fit), source, Asked(source=source, to=target.t), target.p - source.p


def _told(
    mine: LayerFit, layer: int, states: Mapping[str, NDArray[np.float64]], asked: Asked
) -> list[dict[str, Any]]:
    """Return what probes read in edited states, pair by pair; of random subspaces the first."""
    kept = [n for n in states if not n.startswith("random") or n == "random 0"]
    rows = []
    for name in kept:
        reads = mine.told(states[name], asked)
        for i in range(len(asked)):
            row = {"pair": i, "explainer": name.removesuffix(" 0"), "layer": layer}
            rows.append(row | {k: x[i] for k, x in reads.items() if np.isfinite(x[i])})
    return rows
