"""How much of a text stands word for word in a corpus, and what a model recites of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from workbench.errors import InputError
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import draws
from workbench.methods.covariate import OtherMetric
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.generation import GenerationOptions
from workbench.model.policy import Policy, Sampling
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens, token_ids
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Axis, Control, Metric, Plot
from workbench.result.result import Note
from workbench.result.samples import Samples
from workbench.runs.reading import read_examples
from workbench.runs.spec import DataRef
from workbench.sampling.corpus import CorpusIndex, WithinCorpus

_POS, _STEP = ("position",), ("step",)
_tokens = partial(Metric, unit="tokens")
_share = partial(Metric, unit="proportion", bounds=(0.0, 1.0))
_rho = partial(Metric, unit="correlation", bounds=(-1.0, 1.0))
Found = dict[str, NDArray[np.float64]]


@probe("corpus-match", source="Bevilacqua et al. 2022, SEAL, arXiv:2204.10628")
@dataclass(frozen=True, kw_only=True)
class CorpusMatch(PerUnit):
    """Find what of a text, and of what a model writes after it, stands word for word in a corpus.

    `match` is the length of the longest sequence of tokens that ends at a token and occurs in the
    corpus, within one document; `count` how often it does. A token is recited where it lies in a
    match of at least `long` tokens. `written` and `written_recited` are the same of the tokens
    that the model writes after the text; `kept` of those it writes when it may only follow the
    corpus. Match length is a covariate for what looks like reasoning: `beside` names a metric of
    another probe, and its rank correlation with the match over the tokens of a text is measured,
    layer by layer where it has layers. Control: the same tokens in random order.

    Units: tokens; counts are geometric means of occurrences; shares of tokens.

    Cost: a suffix array of the corpus (300,000 tokens take about a second), and two generations
    of `new_tokens` per text.

    Raises:
        InputError: no corpus was named.
        DataError: the corpus cannot be read.

    Source: SEAL searches with the same index; its weights of n-grams are left out.
    """

    metrics: ClassVar = {
        "match": _tokens(help="Longest match that ends here.", axes=_POS),
        "count": Metric(unit="occurrences", help="Of that match.", axes=_POS, geometric=True),
        "recited": _share(help="Within a long match.", axes=_POS),
        "written": _tokens(help="Longest match of what the model writes.", axes=_STEP),
        "written_recited": _share(help="Written within a long match.", axes=_STEP),
        "kept": _tokens(help="Longest match when it must follow the corpus.", axes=_STEP),
        "beside": _rho(help="Spearman's ρ of the match and the metric beside it.", axes=()),
        "beside_layers": _rho(help="The same, layer by layer.", axes=("layer",)),
    }
    axes_of: ClassVar = {"step": Axis(help="Tokens written before.", unit="tokens")}
    controls_of: ClassVar = {
        "shuffled": Control("shuffled order", "the same tokens in random order")
    }
    plots: ClassVar = (
        Plot(title="Longest match at each token", metrics=("match",), axes=_POS),
        Plot(title="Longest match of what is written", metrics=("written", "kept"), axes=_STEP),
        Plot(title="Recited of what is written", metrics=("written_recited",), axes=_STEP),
        Plot(title="The match beside another metric", metrics=("beside_layers",)),
    )

    corpus: str = option("", help="File of texts to look in, one a row.")
    corpus_field: str = option("text", help="Field that holds the text of a row.")
    long: int = option(8, help="Matches from this on are recited.", low=1, high=1000, unit="tokens")
    new_tokens: int = option(32, help="Tokens written after a text; 0 is none.", low=0, high=4096)
    temperature: float = option(0.0, help="Of what is written; 0 is greedy.", low=0, high=100)
    beside: str = option("", help="Another probe and its metric, as `token-trace surprisal`.")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (Site(Kind.EMBED),)

    def loaded(self, context: Context) -> PerUnit:
        if not self.corpus:
            raise InputError("no corpus was named", hint="--corpus texts.txt.gz")
        model = context.loaded
        rows, _ = read_examples(DataRef(path=self.corpus, field=self.corpus_field))
        documents = [token_ids(model.tokenizer, e.text, special_tokens=False) for e in rows]
        other = OtherMetric.parse(self.beside, context) if self.beside else None
        return _Indexed(**vars(self), index=CorpusIndex(documents), other=other)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        raise InputError("the corpus is read first")

    def notes(self, found: Samples) -> tuple[Note, ...]:
        if not found.has("written") or not (missing := found.n - found.n_of("written")):
            return ()
        text = "fill the model's context, or the model ended them at once: nothing was written"
        return (Note(f"{missing} of {found.n} texts {text}", "warning", "no-room"),)

    def summary(self, found: Samples) -> str:
        texts = found.estimate("match", "shuffled")
        told = [f"The texts share {texts.beside_control} their words at random would: {texts}"]
        if found.has("written"):
            wrote = found.estimate("written", "shuffled")
            share = found.estimate("written_recited", "shuffled")
            told += [
                f"what the model writes, {wrote.beside_control} at random: {wrote}",
                f"{share}",
            ]
        return "; ".join(told) + "."


@dataclass(frozen=True, kw_only=True)
class _Indexed(CorpusMatch):
    index: CorpusIndex
    other: OtherMetric | None

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        more = self.other.sites(spec) if self.other else ()
        return tuple(dict.fromkeys((*super().sites(spec), *more)))

    def loaded(self, context: Context) -> PerUnit:
        return self

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        values, null = self._of_texts(trace.tokens, context)
        if (other := self.other) is not None:
            name = "beside_layers" if other.has_layers else "beside"
            for found in (values, null):
                rho = other.correlations(trace, examples, context, found["match"])
                found[name] = rho if other.has_layers else rho[:, 0]
        if self.new_tokens:
            seeds = [int(d.integers(2**62)) for d in draws(trace.tokens, context, "corpus write")]
            sampling, model = Sampling(temperature=self.temperature), context.loaded
            stop = (model.stop_ids or (0,))[0]
            within = WithinCorpus(index=self.index, stop_id=stop, sampling=sampling)
            free, kept = (
                self._written(trace.tokens, policy, seeds, context) for policy in (sampling, within)
            )
            (values["written"], null["written"]), others = free
            values["written_recited"], null["written_recited"] = others
            values["kept"] = kept[0][0]
        return Measured(values=values, controls={"shuffled": null})

    def _of_texts(self, tokens: Tokens, context: Context) -> tuple[Found, Found]:
        names, mask = ("match", "count", "recited"), tokens.near.mask.numpy()
        values, null = ({n: np.full(mask.shape, np.nan) for n in names} for _ in range(2))
        for i, draw in enumerate(draws(tokens, context, "corpus order")):
            ids = tokens.row(i)
            for found, row in ((values, ids), (null, draw.permutation(ids).tolist())):
                for name, x in zip(names, self._matched(row), strict=True):
                    found[name][i, mask[i]] = x
        return values, null

    def _written(
        self, tokens: Tokens, policy: Policy, seeds: Sequence[int], context: Context
    ) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return match length and share recited of what is written, each beside its control."""
        shape = (len(seeds), self.new_tokens)
        found = [(np.full(shape, np.nan), np.full(shape, np.nan)) for _ in range(2)]
        longest = context.loaded.spec.max_positions
        rows = [i for i, n in enumerate(tokens.lengths) if n < longest]
        if not rows:
            return found
        trace = context.loaded.generate(
            tokens.take(rows).left(),
            policy=policy,
            limit=self.new_tokens,
            options=GenerationOptions(seeds=[seeds[i] for i in rows]),
        )
        ends, orders = set(context.loaded.stop_ids), draws(tokens, context, "corpus written order")
        for i, written in zip(rows, trace.generated, strict=True):
            ids, draw = [token for token in written if token not in ends], orders[i]
            for k, row in enumerate((ids, draw.permutation(ids).astype(int).tolist())):
                length, _, recited = self._matched(row)
                found[0][k][i, : len(ids)], found[1][k][i, : len(ids)] = length, recited
        return found

    def _matched(self, ids: Sequence[int]) -> tuple[NDArray[np.float64], ...]:
        """Return length, log count and whether it is recited, for each token."""
        lengths, counts = self.index.longest(ids)
        recited = np.zeros(len(ids))
        for end in np.flatnonzero(lengths >= self.long):
            recited[end + 1 - lengths[end] : end + 1] = 1
        with np.errstate(divide="ignore"):
            logs = np.log(counts.astype(np.float64))
        return lengths.astype(np.float64), np.where(counts > 0, logs, np.nan), recited
