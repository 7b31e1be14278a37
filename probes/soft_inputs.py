"""Whether a language model helps to forecast a series of numbers that enters as soft inputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from probes.soft.adapter import Entry, Head, cosines, last_states, train_entry
from probes.soft.backbones import BACKBONES, backbone
from probes.soft.series import Windows, windows
from workbench.errors import BadOption
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.model import Model
from workbench.model.tokens import token_ids
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.metric import Axis, Control, Plot, number
from workbench.result.result import Result
from workbench.result.row_samples import samples_of
from workbench.result.tables import Rows

_BOTH = ("series", "backbone")
_METRICS = {
    "error": number("variance", "Squared error of the next value.", *_BOTH),
    "excess": number("variance", "Of that, above the planted noise.", *_BOTH),
    "worth": number("variance", "Error without a backbone less with it.", *_BOTH),
    "swap": number("variance", "What another text in front adds to the error.", *_BOTH),
    "nearest": number("cosine", "Of an input vector with the nearest token embedding.", *_BOTH),
}
_CONTROLS = {
    "last": Control("last value", "the last value of the window as the forecast"),
    "random": Control("random vectors", "random vectors in place of the input vectors"),
}


@probe("soft-inputs", source="Liu et al. 2024, AutoTimes, arXiv:2402.02370; arXiv:2406.16964")
@dataclass(frozen=True, kw_only=True)
class SoftInputs:
    """Forecast numbers through a frozen model, its weights shuffled, attention alone, and none.

    A window of the series is cut into patches; each becomes one input vector behind a text. The
    map is trained by `steps` of Adam through the frozen backbone, then a ridge regression reads
    the next value off the last state; both see the training part only. `removed` hands the last
    input vector to the same regression: where it does as well, the language model is not used.
    `worth` is that comparison, window by window.
    `swap` puts the first text of the data in front in place of `text`. `nearest` says how far the
    vectors are from the vocabulary. Controls: the last value as the forecast; random vectors.

    Units: errors in variances of the series' training part; n counts blocks of `block` held-out
    windows. Neighbouring windows share most of their values, so that intervals resample blocks.

    Cost: for each series and backbone one pass per window and one more per held-out window, and
    sixteen rows with gradients per step; the model is copied once for each backbone.

    Raises:
        BadOption: a series or a backbone is unknown.
        DataError: a file holds something else than numbers.
        Unsupported: the backend is not `hooks`.

    Source: AutoTimes (patches), Time-LLM, arXiv:2310.01728 (prototypes), S²IP-LLM,
    arXiv:2403.05798 (anchors); the ablation is that of Tan et al. 2024, arXiv:2406.16964. We
    differ: one value ahead, by a ridge regression from the last state.
    """

    series: str = option("ar,season", help="Planted series (ar, season) or files of numbers.")
    enter: Literal["patches", "prototypes", "anchors"] = option(
        "patches", help="How a patch becomes an input vector."
    )
    backbones: str = option(",".join(BACKBONES), help="What stands behind the input vectors.")
    text: str = option("A series of measurements:", help="Text in front of the series.")
    patch: int = option(8, help="Values per patch.", low=1, high=1000)
    patches: int = option(4, help="Patches per window.", low=1, high=500)
    fitted: int = option(256, help="Windows to fit; a quarter as many choose.", low=8, high=100000)
    held: int = option(192, help="Held-out windows, later in time.", low=2, high=100_000)
    block: int = option(8, help="Held-out windows that intervals keep together.", low=1)
    steps: int = option(30, help="Steps of training the map; 0 leaves it random.", low=0)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        names = _names(self.backbones, BACKBONES)
        all_series = [self._windows(name, context) for name in _names(self.series)]
        vocabulary = _embeddings(model)
        texts = [self._text(text, model, vocabulary)
                 for text in (self.text, examples[0].text if examples else "")]  # fmt: skip
        rows: Rows = []
        for i, name in enumerate(names):
            through = backbone(name, model, context.torch_stream("soft-inputs backbone"))
            for j, data in enumerate(all_series):
                generator = context.torch_stream(f"soft-inputs {data.name}")
                entry = Entry.start(self.enter, texts[0], vocabulary, self.patch, generator)
                train_entry(
                    entry, through, data.take(0, self.fitted), steps=self.steps, generator=generator
                )
                place = {"series": data.name, "backbone": name}
                found = self._measured(entry, through, data, texts[1], generator)
                rows += [{"window": k, "block": k // self.block, **place, **row}
                         for k, row in enumerate(found)]  # fmt: skip
                context.progress(i * len(all_series) + j + 1, len(names) * len(all_series), "fits")
        return self._report(rows, all_series, names)

    def _windows(self, name: str, context: Context) -> Windows:
        return windows(
            name, n_train=self.fitted, n=self._seen + self.held, patch=self.patch,
            patches=self.patches, generator=context.stream(f"soft-inputs {name}"),
        )  # fmt: skip

    @property
    def _seen(self) -> int:
        return self.fitted + max(self.fitted // 4, 2)

    def _text(self, text: str, model: Model, vocabulary: Tensor) -> Float[Tensor, "token d_model"]:
        ids = token_ids(model.tokenizer, text, special_tokens=False)[:64] if text else []
        return vocabulary[torch.tensor(ids, dtype=torch.long)]

    def _measured(
        self, entry: Entry, through: Any, data: Windows, other: Tensor, generator: torch.Generator
    ) -> Iterator[dict[str, float]]:
        """Yield the numbers of every held-out window."""
        held = data.take(self._seen, len(data.x))
        head = Head.fit(
            last_states(entry, through, data.x[: self._seen], None), data.y[: self._seen],
            self.fitted,
        )  # fmt: skip
        error, swapped = (
            head.errors(last_states(entry, through, held.x, text), held.y) for text in (None, other)
        )
        last = (held.x[:, -1, -1] - held.y).double().square()
        own = entry.vectors(held.x).mean(dim=1)
        like = torch.randn(own.shape, generator=generator)
        near, random = (cosines(x, entry.vocabulary).amax(dim=-1) for x in (own, like))
        told = {
            "error": error, "error_last": last, "swap": swapped - error,
            "nearest": near, "nearest_random": random,
        }  # fmt: skip
        if data.least is not None:
            told |= {"excess": error - data.least, "excess_last": last - data.least}
        for values in zip(*(x.tolist() for x in told.values()), strict=True):
            yield dict(zip(told, values, strict=True))

    def _report(self, rows: Rows, data: Sequence[Windows], names: Sequence[str]) -> Result:
        labels = tuple(dict.fromkeys(one.name for one in data))
        rows = beside_removed(rows)
        axes = {
            "series": Axis(help="Series of numbers.", labels=labels),
            "backbone": Axis(help="What stands behind the input vectors.", labels=tuple(names)),
        }
        found = samples_of(
            rows, _METRICS, by=("block",), unit="blocks", controls_of=_CONTROLS, axes_of=axes
        )
        estimates = [
            found.estimate("error", "last", {"series": label, "backbone": name})
            for label in labels
            for name in names
        ]
        places = [{"series": label, "backbone": "pretrained"} for label in labels]
        known = {"pretrained", "removed"} <= set(names)
        worth = [found.estimate("worth", at=at) for at in places] if known else []
        told = [verdict(one, label) for one, label in zip(worth, labels, strict=False)]
        return study_report(
            found,
            summary=" ".join([*told, f"{'; '.join(map(str, estimates))}."]),
            averages={"backbones": _BOTH},
            estimates=[*estimates, *worth],
            plots=(Plot(title="Error of the next value", metrics=("error",), axes=_BOTH),),
        )


def beside_removed(rows: Rows) -> Rows:
    """Add to each row what its backbone takes from the error of the window without one."""
    alone = {
        (row["window"], row["series"]): row["error"] for row in rows if row["backbone"] == "removed"
    }
    return [
        {**row, "worth": alone[at] - row["error"]}
        if (at := (row["window"], row["series"])) in alone
        else row
        for row in rows
    ]


def verdict(worth: Estimate, series: str) -> str:
    """Return in a sentence whether the model helps with a series."""
    if (worth.low or 0.0) > 0:
        told = "helps with"
    else:
        told = "harms" if (worth.high or 0.0) < 0 else "is not shown to help with"
    return f"The model {told} {series}: {worth}."


def _names(told: str, known: Sequence[str] = ()) -> list[str]:
    names = list(dict.fromkeys(part.strip() for part in told.split(",") if part.strip()))
    unknown = [name for name in names if known and name not in known]
    if not names or unknown:
        raise BadOption(f"{told!r} names {unknown or 'nothing'}; expected some of {list(known)}")
    return names


def _embeddings(model: Model) -> Float[Tensor, "d_vocab d_model"]:
    ids = torch.arange(model.spec.d_vocab)[None]
    return model.embed(ids.to(model.device))[0].detach().float().cpu()
