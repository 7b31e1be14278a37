"""Activation patching: what happens when one run is given an activation of another."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from probes.patch.pairs import Pair, pair_of
from probes.patch.report import Asked, report
from probes.patch.runs import ELSEWHERE, SAME, UNRELATED, Group, attributed, patched, run_both
from probes.patch.sources import Paths, donated
from probes.patch.tables import Patched
from probes.patch.targets import Part, Target, receivers, sender_of, targets_of
from workbench.errors import BadOption, DataError
from workbench.methods.contracts import Context, Example, Stopped
from workbench.methods.registry import probe
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
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

    Rows of the map are layers, windows of layers or named groups, which are patched at every token.
    With a sender each row receives what the sender alone, patched, writes into the stream before
    it, all heads and blocks between held: the effect of the path.

    Units: effects are shares of the difference between both runs; m is in logits, probability or
    nats. Intervals are over pairs.

    Raises:
        BadOption: a group or the sender is none, or nothing that is patched reads the sender.
        DataError: no row is a pair.

    Source: noise of three standard deviations as in Meng et al., here drawn once per text;
    Nanda 2023 for attribution patching; paths as in Wang et al., appendix B, except that
    feed-forward blocks between are held as well.
    """

    at: Literal[
        "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z", "q", "k", "v"
    ] = option(
        "resid_pre", help="What is patched, each token; z, q, k, v: each head at every token."
    )
    layers: str = option("*", help="Layers to patch: all, or a slice such as ::3.")
    window: int = option(1, help="Layers patched at once, around each.", low=1, high=1000)
    groups: tuple[str, ...] = option(
        (), help="Sites patched at once in place of layers, as in z.9@3+mlp_out.10."
    )
    sender: str = option("", help="Patch what this writes directly: z.9@3, attn_out.9, mlp_out.9.")
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
        sender = sender_of(self.sender, model.spec) if self.sender else None
        targets = targets_of(self.at, self.layers, self.window, self.groups, model.spec)
        if sender is not None:
            parallel = not model.backend.supports(Kind.RESID_MID, edit=True)
            targets = receivers(targets, sender, parallel=parallel)
        pairs, problems = self._pairs(model, examples)
        found: list[Patched] = []
        stopped: KeyboardInterrupt | None = None
        try:
            for part in _of_equal_lengths(pairs, denoise=self.direction == "denoise"):
                found += self._patch(model, part, targets, sender, context)
                context.progress(len(found), len(pairs), "pairs")
        except KeyboardInterrupt as stop:
            if not found:
                raise
            stopped = stop
        notes = [Note(f"left out: {problem}", "warning", "rows") for problem in problems]
        found.sort(key=lambda one: one.pair.number)
        result = report(self._asked(targets), found, model, context, notes)
        if stopped is not None:
            raise Stopped(result) from stopped
        return result

    def _asked(self, targets: Sequence[Target]) -> Asked:
        return Asked(
            at=_told("" if self.groups else self.at, self.sender),
            cells=targets[0].cells,
            labels=tuple(target.label for target in targets),
            direction=self.direction,
            metric=self.metric,
            attribution=self.attribution,
        )

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
        self,
        model: Model,
        pairs: Sequence[Pair],
        targets: Sequence[Target],
        sender: Part | None,
        context: Context,
    ) -> list[Patched]:
        last = Site(Kind.RESID_POST, model.spec.n_layers - 1)
        sites = {site: None for target in targets for site in target.sites}
        if sender is not None:
            sites |= {sender.site: None, last: None}
        denoise = self.direction == "denoise"
        judged = partial(run_both, metric=self.metric, denoise=denoise, noise=self.noise)
        group = judged(model, pairs, tuple(sites), context)
        plain = partial(donated, group)
        source = plain if sender is None else Paths(model, group, sender)
        kinds = ("", UNRELATED, ELSEWHERE, SAME) if self.controls else ("", SAME)
        rows = [patched(model, group, t, kinds, source) for t in targets if self.exact]
        slopes = attributed(model, group, targets, source) if self.attribution else []
        ways = {}
        if sender is not None:
            whole, end = (Target("", (part,), "whole") for part in (sender, Part(last)))
            for name, target, way in (("through_all", whole, plain), ("directly", end, source)):
                ways[name] = patched(model, group, target, ("",), way)[""]
        return [
            Patched(
                pair=pair,
                clean=_of(group, i, of_donor=denoise),
                corrupted=_of(group, i, of_donor=not denoise),
                difference=float(group.difference[i]),
                answers=(int(group.judge.answers[i]), int(group.judge.wrong[i])),
                moved={k: np.stack([x[k][i] for x in rows]) for k in kinds if rows},
                slopes=np.stack([x[i] for x in slopes]) if slopes else None,
                ways={name: float(x[i, 0]) for name, x in ways.items()},
            )
            for i, pair in enumerate(pairs)
        ]


def _told(at: str, sender: str) -> str:
    return f"what {sender} writes into {at or 'groups'}" if sender else at


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
