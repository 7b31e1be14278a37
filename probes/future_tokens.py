"""What a state says of the tokens to come, and how much of that is not the next one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from probes.held_texts import CHOOSE, HELD, TRAIN, HeldTexts, components
from probes.lens.least_loss import logistic
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.model import Model
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.result import Note, Result
from workbench.result.row_samples import samples_of
from workbench.result.tables import Rows

_PENALTIES = (1e-3, 1e-1)
_METRICS = {
    "accuracy": share("Held-out tokens that the readout names.", "layer", "offset"),
    "information": number("nats", "Log-loss without the state less with it.", "layer", "offset"),
    "surplus": number("nats", "Of that, beyond the next token; estimated.", "layer", "offset"),
}
_CONTROLS = {"elsewhere": Control("other positions", "the state of another token of the text")}


@probe("future-tokens", source="Walker 2024, arXiv:2410.18160; Zhang 2025, arXiv:2507.19247")
@dataclass(frozen=True, kw_only=True)
class FutureTokens:
    """Read the tokens at +1 to +K off a state, with one linear readout per layer and offset.

    Multinomial readouts on the first `dims` principal components of the states; the penalty is
    chosen on a quarter of the texts and every number is of another quarter. Tokens beyond the
    `classes` − 1 most frequent ones count as one. Information is the log-loss of the frequencies
    less that of the readout; the surplus that of a readout of the next token alone less that of
    one that has the state as well: what the state knows of the future beyond the next token.
    Control: the state of another position of the same text.

    Units: nats and proportions; means over tokens of a text, then over held-out texts.

    Raises:
        TooLittleData: the texts hold too few tokens.

    Source: Future Token Prediction; the surplus I(h_t; W_{>t} | W_t) of the Markov-category paper,
    per offset. The difference of two upper bounds is no bound unless the smaller readout is the
    best there is, so it is an estimate.
    """

    offsets: int = option(4, help="How many tokens ahead, K.", low=2, high=64)
    layers: str = option("", help="Layers, comma-separated; default: first, middle and last.")
    classes: int = option(32, help="Kinds of tokens, one of them all rare ones.", low=3, high=4096)
    dims: int = option(32, help="Principal components of the states.", low=1, high=4096)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        data = HeldTexts.read(model, examples, self.layers, context, name="future-tokens")
        kinds = _kinds(data, self.classes)
        found: Rows = []
        for i, layer in enumerate(data.layers):
            for offset in range(1, self.offsets + 1):
                told = readouts(
                    data.states[i], data.others[i], kinds, data.text, data.part,
                    offset=offset, dims=self.dims,
                )  # fmt: skip
                found += [{"layer": layer, "offset": offset, **row} for row in told]
        return self._report(found, len(examples), data.notes)

    def _report(self, rows: Rows, n_given: int, notes: Sequence[Note]) -> Result:
        axes = {
            "layer": Axis(help="Layer whose output is read."),
            "offset": Axis(help="How far ahead.", unit="tokens"),
        }
        found = samples_of(rows, _METRICS, controls_of=_CONTROLS, axes_of=axes, n_given=n_given)
        last = {"layer": found.layers[-1]}
        places = [(metric, 1 + (metric == "surplus")) for metric in found.metrics]
        estimates = [found.estimate(m, "elsewhere", {**last, "offset": k}) for m, k in places]
        return study_report(
            found,
            summary=f"{_verdict(estimates)}.",
            averages={"offsets": ("layer", "offset")},
            estimates=estimates,
            notes=notes,
            plots=[
                Plot(title=title, metrics=(metric,), axes=("layer", "offset"))
                for metric, title in zip(
                    _METRICS, ("Accuracy", "Information", "Surplus beyond the next token"),
                    strict=True,
                )
            ],
        )  # fmt: skip


def _verdict(found: Sequence[Estimate]) -> str:
    """Say what the last layer's states know of the next token, and of the one after it."""
    by_name = {e.name.split(".")[0]: e for e in found}
    told = [
        by_name["information"].told(
            "Last-layer states {} of the next token than those of other positions",
            *("tell more", "tell less", "are not shown to tell more"),
        )
    ]
    if surplus := by_name.get("surplus"):
        further = surplus.told(
            "of the token after it {}",
            *("they know something too", "they know less", "nothing further is shown"),
        )
        told.append(further)
    return "; ".join(told)


def readouts(  # noqa: PLR0913 - states and their control, what follows them and who is held out
    states: Float[np.ndarray, "n d_model"],
    others: Float[np.ndarray, "n d_model"],
    kinds: Int[np.ndarray, " n"],
    text: Int[np.ndarray, " n"],
    part: Int[np.ndarray, " n"],
    *,
    offset: int,
    dims: int,
) -> Rows:
    """Return accuracy, information and surplus of every held-out text at one offset.

    `kinds` number the tokens' kinds, `text` says whose each is, `part` is 0 for training, 1 for
    choosing penalties and 2 for what is held out. The surplus is undefined at offset 1.
    """
    at = np.flatnonzero(text[:-offset] == text[offset:]) if offset < len(text) else text[:0]
    # Two kinds would share one row of weights.
    y, n_kinds = kinds[at + offset], max(int(kinds.max()) + 1, 3)
    place = part[at + offset]
    if not all((place == one).any() for one in (TRAIN, CHOOSE, HELD)):
        raise TooLittleData(
            f"no part of the texts may be without tokens {offset} apart",
            hint="give more or longer texts, or fewer --offsets",
        )
    train = place == TRAIN
    h, other = (components(x[at], train, dims) for x in (states, others))
    following = np.eye(n_kinds)[kinds[at + 1]]
    none = np.zeros((len(at), 0))
    base = _log_p(none, y, place, n_kinds)
    scores = {kind: _log_p(x, y, place, n_kinds) for kind, x in (("", h), ("_elsewhere", other))}
    values: dict[str, Float[np.ndarray, " n"]] = {}
    for kind, logp in scores.items():
        values[f"accuracy{kind}"] = (logp.argmax(axis=1) == y).astype(np.float64)
        values[f"information{kind}"] = _gain(logp, base, y)
    if offset > 1:
        next_alone = _log_p(following, y, place, n_kinds)
        for kind, x in (("", h), ("_elsewhere", other)):
            both = _log_p(np.hstack([following, x]), y, place, n_kinds)
            values[f"surplus{kind}"] = _gain(both, next_alone, y)
    held, texts = place == HELD, text[at]
    return [
        {"text": int(t), **{m: float(x[held & (texts == t)].mean()) for m, x in values.items()}}
        for t in np.unique(texts[held])
    ]


def _log_p(
    x: Float[np.ndarray, "n width"],
    y: Int[np.ndarray, " n"],
    place: Int[np.ndarray, " n"],
    n_kinds: int,
) -> Float[np.ndarray, "n kind"]:
    """Fit on the training part with the penalty that is best on the second; return all log p."""
    train, choose = place == TRAIN, place == CHOOSE
    # One more row of every kind without features: no kind is impossible.
    rows = np.vstack([x[train], np.zeros((n_kinds, x.shape[1]))])
    goal = np.concatenate([y[train], np.arange(n_kinds)])
    best, found = np.inf, np.zeros((len(x), n_kinds))
    for penalty in _PENALTIES if x.shape[1] else _PENALTIES[:1]:
        weight, bias = logistic(rows, goal, n_kinds, penalty)
        score = x @ weight.T + bias
        logp = score - np.logaddexp.reduce(score, axis=1, keepdims=True)
        loss = -logp[choose, y[choose]].mean()
        if loss < best:
            best, found = loss, logp
    return found


def _gain(
    logp: Float[np.ndarray, "n kind"], base: Float[np.ndarray, "n kind"], y: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    each = np.arange(len(y))
    return np.asarray(logp[each, y] - base[each, y])


def _kinds(data: HeldTexts, most: int) -> Int[np.ndarray, " n"]:
    """Number the most frequent tokens of the training part from 1; all others are 0."""
    counted = Counter(data.ids[data.part == TRAIN].tolist())
    common = sorted(counted, key=lambda token: (-counted[token], token))[: most - 1]
    number_of = {token: i + 1 for i, token in enumerate(common)}
    return np.array([number_of.get(token, 0) for token in data.ids.tolist()])
