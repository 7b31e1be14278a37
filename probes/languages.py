"""What a model makes of parallel sentences: bits per byte, and states that languages share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from workbench.errors import BadOption, BadRows
from workbench.methods.coded_texts import CodedTexts, code_texts
from workbench.methods.contracts import Context, Example
from workbench.methods.kernel_alignment import FEWEST, cka, pseudo_values, retrieved
from workbench.methods.kernel_probe import held_out_scores
from workbench.methods.registry import probe
from workbench.methods.splits import folds, shuffled
from workbench.methods.study_report import study_report
from workbench.model.model import Model
from workbench.model.site_patterns import expand
from workbench.options import option
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.result import Note, Result
from workbench.result.samples import VALUE, Samples

_ONE, _BOTH = ("language",), ("language", "layer")
_NEGATION = r"(?i)n't\b|\b(not|never|no|nothing|nobody|none|nowhere|cannot)\b"
States = Float[np.ndarray, "layer n d_model"]
Numbers = dict[str, dict[str, NDArray[np.float64]]]


def ratio(sums: Float[np.ndarray, "*axes 2"]) -> Float[np.ndarray, "*axes"]:
    """Divide the first sum by the second."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def balanced(sums: Float[np.ndarray, "*axes 4"]) -> Float[np.ndarray, "*axes"]:
    """Average the shares right among texts with and without the property."""
    return np.asarray((sums[..., 0] / sums[..., 1] + sums[..., 2] / sums[..., 3]) / 2)


METRICS = {
    "bits_per_byte": number("bits per byte", "−log₂ p of a text over its bytes.", *_ONE, of=ratio),
    "fertility": number("tokens per character", "Tokens over characters.", *_ONE, of=ratio),
    "premium": number("ratio", "Tokens over those of the translation.", *_ONE, of=ratio),
    "retrieval": share("Texts whose nearest translation is their own.", *_BOTH),
    "cka": number("CKA", "Likeness of the states to those of the translations.", *_BOTH),
    "own": share("Property told by a readout of the same language.", *_BOTH, of=balanced),
    "transfer": share("The same by a readout of the shared language.", *_BOTH, of=balanced),
}
_PARTS = {"bits_per_byte": (2,), "fertility": (2,), "premium": (2,), "own": (4,), "transfer": (4,)}
CONTROLS = {
    "shuffled": Control("shuffled", "tokens in random order, pairs or labels dealt out at random")
}


@probe("languages", source="Shliazhko et al. 2022, mGPT, arXiv:2204.07580")
@dataclass(frozen=True, kw_only=True)
class Languages:
    """Compare languages on parallel sentences: bits per byte, retrieval, CKA and readouts.

    Bits per byte count every token after a start token over the UTF-8 bytes of the text, so that
    tokenizers can be compared. A state is the mean over the tokens of a text, per layer, less the
    mean of its language. Retrieval takes the translation with the largest cosine; CKA is debiased.
    Readouts tell whether the translation matches `about` (default: it holds a negation), trained
    in the language itself (`own`) or in the shared one (`transfer`), balanced over both answers.
    The label of a row is its language, the field `parallel` holds the translation.

    Units: bits per byte; tokens per character; shares of texts; CKA is unitless and its mean is
    the jackknife estimate.

    Cost: two passes over every text and translation; fits take milliseconds.

    Raises:
        BadRows: no row has a language and a translation.
        BadOption: `about` is no regular expression, or a language has no rows.

    Source: mGPT, sections 4 and 5, which report perplexity per token; bits per byte, retrieval,
    CKA and readouts by layer are ours.
    """

    label_words: ClassVar = "languages"

    parallel: str = option("english", help="Field that holds the translation.")
    shared: str = option("eng", help="What the language of the translations is called.")
    languages: str = option("", help="Languages to look at, as deu,fra; all where none is named.")
    per_language: int = option(100, help="Sentences of each, the first.", low=5, high=5000)
    layers: str = option("*", help="Layers to read: all, or a slice as 10:20:2.")
    about: str = option(_NEGATION, help="Pattern of the property, matched in the translation.")
    centre: bool = option(True, help="Take the mean of its language from every state.")
    n_folds: int = option(5, help="Parts that readouts are judged on.", low=2, high=100)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        pattern = self._pattern()
        chosen = self._chosen(examples)
        sites = expand([f"resid_post.{self.layers}"], model.spec)
        texts = [e.text for e in chosen] + [str(e.fields[self.parallel]) for e in chosen]
        coded = code_texts(model, texts, sites, context)
        names = tuple(dict.fromkeys(str(e.label) for e in chosen))
        layers = tuple(site.layer or 0 for site in sites)
        n = len(chosen)
        found = _empty(n, len(names) + 1, len(sites))
        whole = np.arange(n)
        code_length(found, coded.take(whole + n), coded.take(whole + n), whole, len(names))
        y = np.array([bool(pattern.search(text)) for text in texts[n:]])
        for i, name in enumerate(names):
            mine = np.array([j for j, e in enumerate(chosen) if str(e.label) == name])
            one, other = coded.take(mine), coded.take(mine + n)
            code_length(found, one, other, mine, i)
            self._compared(found, one.states, other.states, y[mine], mine, i, context)
            context.progress(i + 1, len(names), "languages")
        axes = {
            "language": Axis(help="Language.", labels=(*names, self.shared)),
            "layer": Axis(help="Layer whose output is read.", labels=layers),
        }
        samples = Samples.of(found, METRICS, controls_of=CONTROLS, axes_of=axes)
        return _report(samples, names, coded.has_start, left_out=len(examples) - n)

    def _pattern(self) -> "re.Pattern[str]":
        try:
            return re.compile(self.about)
        except re.error as error:
            raise BadOption(
                f"about is {self.about!r}, no regular expression: {error}", hint=r"--about '\?$'"
            ) from error

    def _chosen(self, examples: Sequence[Example]) -> list[Example]:
        """Return the first rows of each language that have a translation."""
        by_language: dict[str, list[Example]] = {}
        for e in examples:
            translation = e.fields.get(self.parallel)
            if e.label is not None and isinstance(translation, str) and translation.strip():
                by_language.setdefault(str(e.label), []).append(e)
        if not by_language:
            raise BadRows(
                f"no row has a label (its language) and a translation in {self.parallel!r}",
                hint="name the fields: --label language --parallel english",
            )
        names = [name.strip() for name in self.languages.split(",") if name.strip()]
        missing = [name for name in names if name not in by_language]
        if missing or self.shared in by_language:
            named = ", ".join(missing) or f"{self.shared} (the name of the shared language)"
            raise BadOption(
                f"languages: {named}; the rows have {', '.join(by_language)}",
                hint="--languages deu,fra, --shared NAME",
            )
        return [e for name in names or by_language for e in by_language[name][: self.per_language]]

    def _compared(  # noqa: PLR0913 - two sets of states, their property and where to write
        self,
        found: Numbers,
        x: States,
        y: States,
        labels: NDArray[np.bool_],
        mine: Int[np.ndarray, " n"],
        column: int,
        context: Context,
    ) -> None:
        draw = context.stream(f"languages {column}")
        order = draw.permutation(len(mine))
        groups = np.arange(len(mine))
        can_read = min(labels.sum(), (~labels).sum()) >= self.n_folds
        if can_read:
            fold = folds(labels, groups, n_folds=self.n_folds, generator=draw)
            null = np.asarray(shuffled(labels, groups, fold, generator=draw), np.bool_)
        for layer, pair in enumerate(zip(x, y, strict=True)):
            one, other = (a - a.mean(axis=0) * self.centre for a in pair)
            at = (mine, column, layer)
            for kind, against in ((VALUE, other), ("shuffled", other[order])):
                found[kind]["retrieval"][at] = retrieved(one, against)
                if len(mine) >= FEWEST:
                    found[kind]["cka"][at] = pseudo_values(*cka(one, against))
            if can_read:
                for kind, goal in ((VALUE, labels), ("shuffled", null)):
                    read = partial(_told, goal=goal, truth=labels, fold=fold)
                    found[kind]["own"][at] = read(one, one)
                    found[kind]["transfer"][at] = read(other, one)


def _told(
    train: Float[np.ndarray, "n d_model"],
    test: Float[np.ndarray, "n d_model"],
    *,
    goal: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    fold: Int[np.ndarray, " n"],
) -> Float[np.ndarray, "n 4"]:
    """Return for each text whether its property is told, beside a count, by its true answer."""
    right = np.zeros(len(test))
    for part in np.unique(fold):
        inside, out = fold != part, fold == part
        y = goal[inside].astype(np.float64)[:, None]
        scores = held_out_scores(train[inside], y, test[out])[:, 0]
        right[out] = (scores > y.mean()) == truth[out]
    return np.stack([right * truth, truth, right * ~truth, ~truth], axis=1).astype(np.float64)


def code_length(
    found: Numbers, one: CodedTexts, other: CodedTexts, mine: Int[np.ndarray, " n"], column: int
) -> None:
    """Write what texts cost in bits and tokens, beside their translations."""
    own, tokens = one.by_text, one.by_text["tokens"]
    for kind, nats in ((VALUE, own["nats"]), ("shuffled", own["shuffled"])):
        found[kind]["bits_per_byte"][mine, column] = np.stack([nats / np.log(2), own["bytes"]], 1)
    found[VALUE]["fertility"][mine, column] = np.stack([tokens, own["characters"]], 1)
    found[VALUE]["premium"][mine, column] = np.stack([tokens, other.by_text["tokens"]], 1)


def _empty(n: int, n_languages: int, n_layers: int) -> Numbers:
    size = {"language": n_languages, "layer": n_layers}
    whole = {
        name: np.full((n, *(size[a] for a in m.axes), *_PARTS.get(name, ())), np.nan)
        for name, m in METRICS.items()
    }
    null = {name: x.copy() for name, x in whole.items() if name not in ("fertility", "premium")}
    return {VALUE: whole, "shuffled": null}


def _report(found: Samples, names: Sequence[str], has_start: bool, *, left_out: int) -> Result:
    layers = found.axes_of["layer"].labels
    mean = np.nanmean(found.mean("retrieval").value[: len(names)], axis=0)
    best = layers[int(mean.argmax())]
    bits = [
        found.estimate("bits_per_byte", "shuffled", {"language": name})
        for name in found.axes_of["language"].labels
    ]
    at = [
        found.estimate(metric, "shuffled", {"language": name, "layer": best})
        for metric in ("retrieval", "cka", "own", "transfer")
        for name in names
    ]
    chance = np.nanmean(found.mean("retrieval", "shuffled").value[: len(names)])
    told = {
        "layer": f"estimates are of layer {best}, which finds most translations",
        "start": "" if has_start else "there is no start token: the first token costs ln V",
        "rows": f"{left_out} rows left out: over the limit or untranslated" if left_out else "",
        "readouts": "" if all(e.n for e in at) else "a language shows the property too rarely",
    }
    notes = [Note(text, "info", code) for code, text in told.items() if text]
    low, high = (f(bits, key=lambda b: b.value or 0.0) for f in (min, max))
    return study_report(
        found,
        summary=f"A byte costs least in {low} and most in {high}. Translations are found best at "
        f"layer {best}: {mean.max():.3g} of {len(names)} languages' texts, {chance:.3g} shuffled.",
        averages={"languages": _ONE, "layers": _BOTH},
        plots=(
            Plot(title="Bits per byte", metrics=("bits_per_byte",), axes=_ONE),
            Plot(title="Translations found, by layer", metrics=("retrieval",), axes=_BOTH),
            Plot(title="CKA with the translations, by layer", metrics=("cka",), axes=_BOTH),
            Plot(title="Readout of the shared language", metrics=("transfer",), axes=_BOTH),
            Plot(title="Readout of the language itself", metrics=("own",), axes=_BOTH),
        ),
        estimates=[*bits, *(e for e in at if e.n)],
        notes=notes,
    )
