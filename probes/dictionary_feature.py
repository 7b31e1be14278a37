"""A feature of a sparse dictionary: where it is strongest, and what it does to predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probes.dictionaries.dictionary import Dictionary
from probes.dictionaries.files import find_dictionary
from workbench.errors import BadOption
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import random_like
from workbench.methods.next_token import compare
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Plot, number
from workbench.result.result import Note, Result
from workbench.result.row_samples import samples_of
from workbench.result.tables import columns_from

_FINAL = Site(Kind.FINAL_NORM)
METRICS = {
    "ablated": number("nats", "KL of next tokens when the feature is taken away.", "feature"),
    "added": number("nats", "KL of next tokens when it is added at every token.", "feature"),
}
CONTROLS = {"random": Control("random direction", "a random direction of the same length instead")}
_COLUMNS = columns_from("""
    feature: Number of the feature.
    rank: 1: the text where it is strongest.
    activation (activation units): How strong it is at the token.
    token: The token.
    before: What stands before it.
    share (proportion): Tokens of all texts at which it is there.
    text: Number of the text.
    op: What the kept edit does.
    site: Where it does it.
    array: The array that holds its value.
""")


@probe("dictionary-feature", source="Bricken et al. 2023; Templeton et al. 2024")
@dataclass(frozen=True, kw_only=True)
class DictionaryFeature:
    """Show where features of a sparse dictionary are strongest, take them away and add them.

    For each feature the texts where it is strongest are listed. There it is ablated (what it adds
    to the state is taken away at every token) and added (at every token, `dose` times its highest
    activation); KL is from the unchanged prediction, mean over tokens. The arrays `add.N` are
    the directions at that dose, the first of them an edit that the run lends. Control: a random
    direction as long as what is taken away or added, drawn for each token.

    Units: KL in nats; activations in units of the state.

    Raises:
        BadOption: a number beyond the dictionary.
        ModelNotFound: no dictionary is named and none ships for this model.

    Source: Bricken et al. 2023; Templeton et al. 2024 clamp a feature, we add to it.
    """

    dictionary: str = option("", help="Folder, or OWNER/NAME:FOLDER on the hub; default: shipped.")
    features: tuple[int, ...] = option((), help="Their numbers; default: the three strongest.")
    top: int = option(8, help="Texts shown and edited for each feature.", low=1, high=1000)
    dose: float = option(1.0, help="Times its highest activation that is added.", low=-100)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        context = context.on(model)
        found = find_dictionary(self.dictionary, model.spec, progress=context.progress)
        site = found.site.sites(model.spec)[0]
        seen = [self._seen(model, e.text, site, found) for e in examples]
        strongest = torch.stack([best for best, _, _ in seen])
        share = torch.stack([n for _, _, n in seen]).sum(dim=0)
        total = sum(len(model.tokenize(e.text).row(0)) for e in examples)
        chosen = self._chosen(found, strongest)
        texts, effects = [], []
        for feature in chosen:
            order = strongest[:, feature].argsort(descending=True, stable=True)[: self.top]
            most = float(strongest[:, feature].max())
            for rank, i in enumerate(order.tolist(), start=1):
                tokens, at = model.tokenize(examples[i].text), int(seen[i][1][feature])
                known = {"activation": float(strongest[i, feature])}
                known["share"] = float(share[feature]) / total
                place = {"feature": feature, "rank": rank, "text": i}
                texts.append(place | known | _around(model, tokens.row(0), at))
                row = self._effects(model, tokens, site, found, (feature, most), context)
                effects.append({"feature": feature, "text": i, **row})
            context.progress(len(effects), len(chosen) * self.top, "texts edited")
        direction = {
            f"add.{f}": (found.decoder[f] * self.dose * strongest[:, f].max()).numpy()
            for f in chosen
        }
        return replace(_report(chosen, texts, effects, site), arrays=direction)

    def _chosen(self, found: Dictionary, strongest: Float[Tensor, "text feature"]) -> list[int]:
        if wrong := [f for f in self.features if not 0 <= f < found.n_features]:
            raise BadOption(
                f"features {wrong} of a dictionary of {found.n_features}",
                hint="features are counted from 0",
            )
        best = strongest.max(dim=0).values.argsort(descending=True, stable=True)[:3]
        return list(dict.fromkeys(self.features)) or best.tolist()

    def _seen(
        self, model: Model, text: str, site: Site, found: Dictionary
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return how strong each feature gets, at which token, and at how many it is there.

        The first token, whose state is unlike all others, is left out of texts that have more.
        """
        x = model.run(text, read=[site]).row(0, site).float().cpu()
        f = found.features(x)
        f[0] = f[0] if len(f) == 1 else 0.0
        best = f.max(dim=0)
        return best.values, best.indices, (f > 0).sum(dim=0)

    def _effects(
        self,
        model: Model,
        tokens: Tokens,
        site: Site,
        found: Dictionary,
        feature: tuple[int, float],
        context: Context,
    ) -> dict[str, float]:
        number, most = feature
        plain = model.run(tokens, read=[site, _FINAL])
        x = plain.activations[site].float().cpu()
        there = found.contribution(found.features(x)[..., number], number, x)
        dose = torch.full(x.shape[:2], self.dose * most)
        changes = {"ablated": -there, "added": found.contribution(dose, number, x)}
        rows: dict[str, float] = {}
        for name, change in changes.items():
            other = random_like(change, plain.tokens, context, f"feature {number} {name}")
            rows[name] = _kl(model, plain, site, change, context)
            rows[f"{name}_random"] = _kl(model, plain, site, other, context)
        return rows


def _kl(
    model: Model, plain: Trace, site: Site, change: Float[Tensor, "batch pos d"], context: Context
) -> float:
    edit = Edit(site=site, op=Op.ADD, value=change)
    again = model.run(plain.tokens, read=[_FINAL], edits=[edit])
    kl, _ = compare(plain.activations[_FINAL], again.activations[_FINAL], context)
    return float(kl.mean())


def _around(model: Model, ids: Sequence[int], at: int) -> dict[str, str]:
    """Return a token and the dozen before it, in words."""
    before = model.decode(ids[max(0, at - 12) : at])
    return {"token": model.decode(ids[at : at + 1]), "before": before}


def _report(
    chosen: Sequence[int],
    texts: Sequence[Mapping[str, Any]],
    effects: Sequence[Mapping[str, Any]],
    site: Site,
) -> Result:
    samples = samples_of(effects, METRICS, controls_of=CONTROLS)
    return study_report(
        samples,
        summary=_summary(samples, chosen),
        averages={"effects": ("feature",)},
        rows={
            "texts": texts,
            "edits": [{"op": str(Op.ADD), "site": str(site), "array": f"add.{chosen[0]}"}],
        },
        columns=_COLUMNS,
        plots=(
            Plot(title="Taken away", metrics=("ablated",), axes=("feature",)),
            Plot(title="Added", metrics=("added",), axes=("feature",)),
        ),
        estimates=[
            samples.estimate(name, "random", at={"feature": feature})
            for feature in chosen
            for name in METRICS
        ],
        notes=[Note(f"feature {chosen[0]} is an edit of {site}: --edit run:RUN:TIMES")],
    )


def _summary(samples: Any, chosen: Sequence[int]) -> str:
    means = samples.mean("ablated").value - samples.mean("ablated", "random").value
    best = chosen[int(np.argmax(means))]
    found = samples.estimate("ablated", "random", at={"feature": best})
    return (
        f"Of {len(chosen)} features number {best} moves predictions most when taken away: {found}."
    )
