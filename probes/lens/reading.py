"""A lens over one batch: what every layer predicts of every text, beside its controls."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from probes.lens.metrics import LensMath, Translate, taken
from probes.lens.rows import ControlRows, Rows
from probes.lens.target import METRICS
from workbench.methods.contracts import Context, Example
from workbench.methods.next_token import following_tokens
from workbench.methods.per_unit import Measured, PerUnit
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.samples import VALUE, Samples
from workbench.result.tables import Column

_IN_CONTROLS = ("kl", "nll", "agreement")
_FEW = 4  # a text that would be read at so few places is read at all of them


def _metric(unit: str, words: str, *, in_estimates: bool = False, **more: Any) -> Metric:
    headline = {"headline": (0, -1), "headline_note": "mean over all layers but the last"}
    return Metric(
        unit=unit,
        help=f"{words}; mean over positions, then over texts.",
        axes=("layer", "position"),
        **(headline if in_estimates else {"headline": None}),
        **more,
    )


@dataclass(frozen=True, kw_only=True)
class Lens(PerUnit):
    """Reads the residual stream of each layer as a prediction of the next token."""

    metrics: ClassVar = {
        "kl": _metric(
            "nats",
            "KL divergence of the lens from the model's own next-token distribution",
            in_estimates=True,
            headline_name="mean kl",
        ),
        "nll": _metric(
            "nats",
            "Negative log-likelihood of the true next token under the lens",
            in_estimates=True,
            headline_name="mean nll",
        ),
        "agreement": _metric(
            "proportion",
            "Positions where lens and model rank the same token first",
            in_estimates=True,
            headline_name="mean agreement",
            bounds=(0.0, 1.0),
        ),
        "rank": _metric(
            "rank",
            "Geometric mean rank of the true next token under the lens (1 is best)",
            geometric=True,
        ),
        "entropy": _metric("nats", "Entropy of the lens distribution"),
        "probability": Metric(
            unit="probability",
            help="Probability of the first choice under the lens.",
            axes=("layer", "position"),
            headline=None,
            strip=-1,
            is_averaged=False,
        ),
    }
    controls_of: ClassVar = {
        "random": Control(
            "random vectors",
            "random vectors of the same length through the same lens",
            is_partial=True,
        ),
        "shuffled": Control(
            "other positions", "the states of other positions of the same text", is_partial=True
        ),
    }
    words_of: ClassVar = {"prediction": Column(help="The next token the lens ranks first.")}
    plots: ClassVar = (
        Plot(title="Distance from the final prediction", metrics=("kl",)),
        Plot(title="Surprise at the true next token", metrics=("nll",)),
        Plot(title="Same first choice as the model", metrics=("agreement",)),
        Plot(title="Entropy", metrics=("entropy",)),
        Plot(
            title="What each layer would say next",
            metrics=("probability",),
            axes=("layer", "position"),
            words="prediction",
        ),
    )
    every_token: ClassVar = {"positions": "all", "every": 1, "skip_first": False, "shown": 1000}

    positions: Literal["all", "last"] = option("all", help="Read all positions, or the last one.")
    every: int = option(
        4, help="Read every k-th position; all of a text with few of them.", low=1, high=100_000
    )
    skip_first: bool = option(True, help="Leave out the first position, an outlier in most models.")
    controls: int = option(
        4, help="Positions per text to compare with the controls.", low=1, high=100_000
    )
    control_every: int = option(
        1,
        help="Compare one text in this many with the controls, chosen by its hash.",
        low=1,
        high=1_000_000,
    )
    shown: int = option(24, help="Tokens of one text in the heat map.", low=1, high=1000)
    memory: int | None = option(
        None,
        help="Memory for tensors over the vocabulary; default: 96 MiB, or 1/32 of an accelerator.",
        low=1,
        high=1 << 20,
        unit="MiB",
    )

    @property
    def shown_texts(self) -> int:
        return 1

    @property
    def shown_tokens(self) -> int:
        return self.shown

    @abstractmethod
    def translations(self, context: Context) -> Mapping[str, Translate]:
        """What maps the states of each site, of the lens itself and of lenses it is compared with.

        The lens itself goes by the name `VALUE`, the others by that of a control.
        """

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return every_layer(Kind.RESID_POST, spec)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        lenses = {
            name: LensMath.of(context, translate, memory=self.memory)
            for name, translate in self.translations(context).items()
        }
        tokens = trace.tokens.to("cpu")
        rows = self._rows(tokens.mask, examples)
        following = following_tokens(tokens.ids, tokens.mask)[rows.text, rows.column]
        read = [trace.activations[site] for site in self.sites(trace.spec)]
        shape, chosen = (len(read), read[0].shape[-1]), (self.controls, self.control_every)
        null = ControlRows.draw(rows, tokens, shape, chosen, context)
        states = null.below(rows.pick(read))
        final, counted, every = states[-1][: len(rows)], rows.counted, torch.arange(len(rows))
        target = torch.cat([every, null.target, null.paired])
        found = lenses.pop(VALUE).compare(states, final, following, target=target, named=rows.shown)
        main, random, shuffled = found.split([len(rows), len(null.target), len(null.paired)])
        controls = {"random": (random, null.target)}
        if self.positions == "all":
            controls["shuffled"] = shuffled, null.paired
        for name, lens in lenses.items():
            some = taken(states, counted)
            controls[name] = lens.compare(some, some[-1], following[counted]), counted
        values = {name: rows.spread(main[name][:, counted], counted) for name in METRICS}
        return Measured(
            values={**values, "probability": rows.spread(main["probability"], every)},
            controls={
                kind: {name: rows.spread(part[name], at) for name in _IN_CONTROLS}
                for kind, (part, at) in controls.items()
            },
            words={"prediction": rows.words(main.best)},
        )

    def _rows(self, mask: Bool[Tensor, "batch pos"], examples: Sequence[Example]) -> Rows:
        place = mask.long().cumsum(dim=1) - 1
        first = 1 if self.skip_first else 0
        is_read = mask & (place >= first)
        if self.positions == "last":
            counted = is_read & (place == mask.sum(dim=1, keepdim=True) - 1)
        else:
            length = mask.sum(dim=1, keepdim=True) - first
            step = torch.where(length > _FEW * self.every, self.every, 1)
            counted = is_read & ((place - first) % step == 0)
        is_shown = torch.tensor([self.is_shown(example) for example in examples])
        return Rows.of(counted, is_read & (place < self.shown) & is_shown[:, None])

    def summary(self, found: Samples) -> str:
        kl, agreement = found.mean("kl").value, found.mean("agreement").value
        half = int(np.argmax(agreement >= 0.5)) if (agreement >= 0.5).any() else len(agreement) - 1
        last_but_one = max(len(kl) - 2, 0)
        same = found.estimate("agreement", "shuffled")
        fails = same.control is not None and same.beside_control != "more than"
        verdict = (
            "This lens does not read this text: it agrees with the model no more often than "
            "the states of other positions"
            if fails
            else f"Half of the top tokens agree from {found.sites[half]} on"
        )
        return (
            f"{verdict}. KL from the final layer: {kl[0]:.3g} nats at {found.sites[0]}, "
            f"{kl[last_but_one]:.3g} at {found.sites[last_but_one]}."
        )
