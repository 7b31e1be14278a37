"""How many tokens a reader must wait before a state tells what follows: quality by delay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray

from probes.held_texts import CHOOSE, HELD, TRAIN, HeldTexts, components
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.model import Model
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.metric import Axis, Control, Plot, number
from workbench.result.result import Result
from workbench.result.row_samples import samples_of
from workbench.result.samples import Samples
from workbench.result.tables import Rows

_PENALTIES = tuple(10.0**k for k in range(-4, 3))
_METRICS = {"quality": number("proportion", "Variance of what follows.", "layer", "delay")}
_CONTROLS = {"elsewhere": Control("other positions", "the state of another token of the text")}
_ENOUGH = 0.9


@probe("look-ahead", source="Wang et al. 2024, StreamVoice, arXiv:2401.11053")
@dataclass(frozen=True, kw_only=True)
class LookAhead:
    """Read what follows a token off the states behind it, and see how long one has to wait.

    What follows is the mean input embedding of the next `ahead` tokens. A linear readout gets the
    state d tokens later, which has seen d of them: at a delay of 0 it foresees, at `ahead` it
    remembers. Quality is the share of variance that it explains on texts that it was not fitted
    to; the penalty is chosen on a quarter of the texts. States that keep every token and foresee
    none have a quality of d/`ahead` where tokens are drawn at random. Control: the state of
    another position of the text.

    Units: shares of variance, below 0 where the readout is worse than the mean.

    Raises:
        TooLittleData: the texts hold too few tokens.

    Source: the loss of quality by look-ahead in StreamVoice, section 4. We differ: what is foreseen
    is the text's own future, not the output of a recogniser, and nothing but the readout is fitted.
    """

    ahead: int = option(8, help="Tokens that follow, K, and the longest delay.", low=1, high=64)
    layers: str = option("", help="Layers, comma-separated; default: first, middle and last.")
    dims: int = option(64, help="Principal components of states and embeddings.", low=1, high=4096)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        data = HeldTexts.read(model, examples, self.layers, context, name="look-ahead")
        embedded = model.embed(_as_row(data.ids, model))[0].detach().float().cpu().numpy()
        rows: Rows = []
        for i, layer in enumerate(data.layers):
            told = qualities(
                embedded, (data.states[i], data.others[i]), data.text, data.part,
                ahead=self.ahead, dims=self.dims,
            )  # fmt: skip
            rows += [{"layer": layer, **row} for row in told]
        axes = {
            "layer": Axis(help="Layer whose output is read."),
            "delay": Axis(help="Tokens read after the one in question.", unit="tokens"),
        }
        found = samples_of(
            rows, _METRICS, controls_of=_CONTROLS, axes_of=axes, n_given=len(examples)
        )
        last = data.layers[-1]
        estimates = [
            found.estimate("quality", "elsewhere", {"layer": last, "delay": delay})
            for delay in sorted({0, self.ahead // 2, self.ahead})
        ]
        return study_report(
            found,
            summary=f"{_told(found, last, estimates[0])}.",
            averages={"delays": ("layer", "delay")},
            estimates=estimates,
            notes=data.notes,
            plots=(Plot(title="Quality by delay", metrics=("quality",), axes=("layer", "delay")),),
        )


def qualities(
    embedded: Float[np.ndarray, "n d_embed"],
    both: tuple[Float[np.ndarray, "n d_model"], Float[np.ndarray, "n d_model"]],
    text: Int[np.ndarray, " n"],
    part: Int[np.ndarray, " n"],
    *,
    ahead: int,
    dims: int,
) -> Rows:
    """Return the quality of every held-out text at every delay from 0 to `ahead`.

    `both` are the states and those of the control; `text` says whose each token is, `part` is 0
    for fitting, 1 for choosing, 2 for held out.
    """
    at = np.flatnonzero(text[:-ahead] == text[ahead:]) if ahead < len(text) else text[:0]
    place, whose = part[at + ahead], text[at]
    if not all((place == one).any() for one in (TRAIN, CHOOSE, HELD)):
        raise TooLittleData(
            f"no part of the texts may be without stretches of {ahead + 1} tokens",
            hint="give more or longer texts, or a smaller --ahead",
        )
    train, held = place == TRAIN, place == HELD
    follows = np.mean([embedded[at + k] for k in range(1, ahead + 1)], axis=0)
    y = components(follows, train, dims)
    # A future that never varies is told without error.
    spread = max(float((y[held] ** 2).sum(axis=1).mean()), 1e-12)
    rows = []
    for delay in range(ahead + 1):
        errors = [_errors(x[at + delay], y, place, dims) for x in both]
        for t in np.unique(whose[held]):
            own = held & (whose == t)
            own_quality, null = (1 - e[own].mean() / spread for e in errors)
            row = {"text": int(t), "delay": delay}
            rows.append({**row, "quality": own_quality, "quality_elsewhere": null})
    return rows


def _errors(
    x: Float[np.ndarray, "n d_model"],
    y: Float[np.ndarray, "n column"],
    place: NDArray[np.int64],
    dims: int,
) -> NDArray[np.float64]:
    """Return the squared error of every token, with the penalty that is best to choose."""
    train, choose = place == TRAIN, place == CHOOSE
    x = components(x, train, dims)
    values, vectors = np.linalg.eigh(x[train].T @ x[train] / train.sum())
    seen = vectors.T @ (x[train].T @ y[train]) / train.sum()
    tried = []
    for penalty in _PENALTIES:
        told = x @ (vectors @ (seen / (values + max(penalty * values[-1], 1e-12))[:, None]))
        error = ((told - y) ** 2).sum(axis=1)
        tried.append((float(error[choose].mean()), error))
    return np.asarray(min(tried, key=lambda pair: pair[0])[1])


def _told(found: Samples, layer: int, first: Estimate) -> str:
    """Return in words whether the future is foreseen, and after how many tokens it is known."""
    foreseen = first.told(
        "Last-layer states {} than those of other positions",
        "foresee what follows better",
        "foresee what follows worse",
        "are not shown to foresee what follows better",
    )
    curve = found.mean("quality").value[found.axes_of["layer"].labels.index(layer)]
    if not np.isfinite(curve).all():
        return foreseen
    if curve.max() <= 0:
        return f"{foreseen}; it is not read even when it has been seen"
    delay = int((curve >= _ENOUGH * curve.max()).argmax())
    return (
        f"{foreseen}; {_ENOUGH:.0%} of the best quality ({curve.max():.3g}) at a delay of {delay}"
    )


def _as_row(ids: Int[np.ndarray, " n"], model: Model) -> Int[torch.Tensor, "row pos"]:
    return torch.from_numpy(ids)[None].to(model.device)
