"""Activation patching: what happens when one run is given an activation of another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from probes.patch.pairs import Pair, pair_of
from probes.patch.report import Asked, report
from probes.patch.runs import ELSEWHERE, SAME, UNRELATED, Group, attributed, patched, run_both
from probes.patch.tables import Patched
from workbench.errors import BadOption, DataError
from workbench.methods.contracts import Context, Example, Stopped
from workbench.methods.registry import probe
from workbench.model.model import Model
from workbench.model.site_patterns import expand
from workbench.model.sites import Site
from workbench.options import option
from workbench.result.result import Note, Result

_BATCH = 1024  # tokens of both runs of a group


@probe("patching", source="Meng et al. 2022, arXiv:2202.05262; Wang et al. 2022, arXiv:2211.00593")
@dataclass(frozen=True, kw_only=True)
class Patching:
    """Patch activations of one text into the run of another, one place at a time.

    A row has a clean `text` and a `corrupted` one (a text, or other words for the slots of a
    template whose words are in `slots`), and may name an `answer` and a `wrong` one. Without a
    corrupted text its twin is the same text with noise on the embeddings of the slot named in
    `noised`, or of all tokens but the first. The effect of a patch is
    Σ (m(patched) − m(receiver)) / Σ (m(donor) − m(receiver)), sums over pairs: 1 where it does
    all that the whole text does. Denoising patches the clean run into the corrupted one, noising
    the corrupted into the clean one. Controls: a patch from an unrelated pair, from another place
    of the same donor, and from the same text, which must change nothing. Attribution is the first
    order of the effect: the slope of m at the receiver times what the patch adds.

    Units: effects are shares of the difference between both runs; m is in logits, probability or
    nats. Intervals are over pairs.

    Source: noise of three standard deviations as in Meng et al., here drawn once per text;
    Nanda 2023 for attribution patching.
    """

    at: Literal["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z"] = option(
        "resid_pre", help="What is patched: at each token, or z: each head at every token."
    )
    layers: str = option("*", help="Layers to patch: all, or a slice such as ::3.")
    direction: Literal["denoise", "noise"] = option(
        "denoise", help="Clean into corrupted, or corrupted into clean."
    )
    metric: Literal["logit-difference", "probability", "kl"] = option(
        "logit-difference", help="Number of the last logits that is compared; kl is −KL(clean‖·)."
    )
    controls: bool = option(True, help="Also patch from elsewhere: four times the patches.")
    exact: bool = option(True, help="Run every patch; else by attribution only.")
    attribution: bool = option(True, help="Also compute first-order effects by one gradient.")
    noise: float = option(3.0, help="Noise of a twin, in spreads of its embeddings.", low=0.01)
    longest: int = option(64, help="Tokens of a text.", low=2, high=4096, unit="tokens")

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        if not self.exact and not self.attribution:
            raise BadOption("neither exact nor attribution is on", hint="--exact")
        sites = expand([f"{self.at}.{self.layers}"], model.spec)
        pairs, problems = self._pairs(model, examples)
        found: list[Patched] = []
        stopped: KeyboardInterrupt | None = None
        try:
            for part in _of_equal_lengths(pairs, denoise=self.direction == "denoise"):
                found += self._patch(model, part, sites, context)
                context.progress(len(found), len(pairs), "pairs")
        except KeyboardInterrupt as stop:
            if not found:
                raise
            stopped = stop
        notes = [Note(f"left out: {problem}", "warning", "rows") for problem in problems]
        found.sort(key=lambda one: one.pair.number)
        asked = Asked(
            at=self.at,
            direction=self.direction,
            metric=self.metric,
            attribution=self.attribution,
        )
        result = report(asked, found, sites, model, context, notes)
        if stopped is not None:
            raise Stopped(result) from stopped
        return result

    def _pairs(self, model: Model, examples: Sequence[Example]) -> tuple[list[Pair], list[str]]:
        pairs, problems = [], []
        for example in examples:
            try:
                pairs.append(pair_of(model, example, longest=self.longest))
            except BadOption as error:
                problems.append(error.message)
        if not pairs:
            raise DataError(
                f"no row is a pair: {'; '.join(problems[:3])}",
                hint="rows with the fields text and corrupted, of equally many tokens",
            )
        return pairs, problems

    def _patch(
        self, model: Model, pairs: Sequence[Pair], sites: Sequence[Site], context: Context
    ) -> list[Patched]:
        group = run_both(
            model,
            pairs,
            sites,
            context,
            metric=self.metric,
            denoise=self.direction == "denoise",
            noise=self.noise,
        )
        heads = self.at == "z"
        kinds = ("", UNRELATED, ELSEWHERE, SAME) if self.controls else ("", SAME)
        layers = [patched(model, group, s, kinds, heads=heads) for s in sites if self.exact]
        slopes = attributed(model, group, sites, heads=heads) if self.attribution else []
        return [
            Patched(
                pair=pair,
                clean=_of(group, i, of_donor=self.direction == "denoise"),
                corrupted=_of(group, i, of_donor=self.direction == "noise"),
                difference=float(group.difference[i]),
                answers=(int(group.judge.answers[i]), int(group.judge.wrong[i])),
                moved={k: np.stack([x[k][i] for x in layers]) for k in kinds if layers},
                slopes=np.stack([x[i] for x in slopes]) if slopes else None,
            )
            for i, pair in enumerate(pairs)
        ]


def _of(group: Group, i: int, *, of_donor: bool) -> float:
    return float(group.scores[int(of_donor)][i])


def _of_equal_lengths(pairs: Sequence[Pair], *, denoise: bool) -> list[list[Pair]]:
    """Part pairs by the lengths of both texts, and into parts of so many tokens."""
    parts: dict[tuple[int, int, bool], list[list[Pair]]] = {}
    for pair in pairs:
        key = (len(pair.clean), len(pair.corrupted), bool(pair.noised))
        mine = parts.setdefault(key, [[]])
        if len(mine[-1]) * max(key[0], key[1]) >= _BATCH:
            mine.append([])
        mine[-1].append(pair)
    return [part for mine in parts.values() for part in mine]
