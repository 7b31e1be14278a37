"""Masked diffusion under several decoders: order, answers, energies, keys, what a probe reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch

from probes.diffusion.filling import GUIDE, SUMS, Filled, accuracy, fill, hide
from probes.diffusion.guidance import TokenClassifier, contains
from probes.diffusion.report import (
    COLUMNS,
    KS,
    LAYERS,
    MAP,
    PLOTS,
    RUNS,
    SHUFFLED,
    SLOTS,
    measured,
    trajectory_rows,
)
from workbench.errors import BadOption, ModelNotFound, Unsupported
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.denoiser import Denoiser
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.result import Note, Result
from workbench.result.samples import Samples
from workbench.sampling.energy import LeftToRightEnergy
from workbench.sampling.sentences import answer_lead
from workbench.sampling.task import open_task
from workbench.sampling.unmask_orders import (
    AtRandom,
    Blocks,
    ChosenBlocks,
    LeftToRight,
    LeftToRightThen,
    MostConfident,
    Order,
)
from workbench.sampling.unmasking import Decoding
from workbench.training.splits import part_problems

Decoder = Literal[
    "left-to-right",
    "random",
    "confidence",
    "threshold",
    "blocks",
    "chosen-blocks",
    "left-to-right-then",
    "sampled",
    "energy",
    "guided",
]
_SHIPPED, _DEFAULT = "diffusion-sums", 50
_CLASSIFIED = 200
_OF_ITS_OWN = ("threshold",)
"""Decoders that decide themselves how many positions a step fills."""


@probe("diffusion", source="DiffuCoder, arXiv:2506.20639; EDLM, arXiv:2410.21357; arXiv:2505.16990")
@dataclass(frozen=True, kw_only=True)
class DiffusionDecoders:
    """Fill in hidden responses by masked diffusion and compare the orders of several decoders.

    The response to each problem is hidden, as many positions as its reference has tokens, and
    filled in step by step. AR-ness says how close to left to right that was: global@k is the share
    of positions among the k leftmost hidden ones, local@k of those that continue a run of length
    k. A random order of L positions has global@1 = H_L/L and local@1 = 1/L. `energy` weighs
    proposals by a left-to-right network; `guided` leans towards responses that contain a text.
    Controls: the same steps at random positions, the next problem's answer, probes with shuffled
    labels.

    Cost: a pass of the network per step and decoder; `energy` scores `draws` rows more.

    Units: shares, steps, entropy in nats, drift of keys and values as 1 − cosine.

    Raises:
        BadOption: a decoder lacks what it needs.
        DataError: a question holds characters that the network does not know.

    Source: AR-ness after DiffuCoder, section 4.1; energy after EDLM, section 3.3; blocks and
    guidance after CtrlDiff, arXiv:2505.14455; threshold after Dimple, arXiv:2505.16990; reuse
    after FreeCache, arXiv:2505.21467. We differ where a rule or a count stands for a trained
    policy or classifier.
    """

    default_task: ClassVar[str] = SUMS

    decoders: tuple[Decoder, ...] = option(
        (
            "left-to-right", "random", "confidence", "threshold", "blocks", "chosen-blocks",
            "left-to-right-then", "sampled", "energy",
        ),
        help="Decoders to compare.",
    )  # fmt: skip
    many: tuple[int, ...] = option((1, 4), help="Positions filled per step.", low=1, high=4096)
    k: tuple[int, ...] = option((1, 4), help="Runs and leftmost positions of AR-ness.", low=1)
    network: str = option(
        "", help="Masked network: a folder or id; default: the model, or one that ships."
    )
    guide: str = option("", help="Left-to-right network of `energy`; default: beside the network.")
    draws: int = option(8, help="Proposals that `energy` weighs.", low=2, high=1024)
    threshold: float = option(0.9, help="Probability that is confident.", low=0.0, high=1.0)
    block: int = option(8, help="Size of `blocks`, and most of `chosen-blocks`.", low=1, high=4096)
    least: int = option(2, help="Least size of `chosen-blocks`.", low=1, high=4096)
    first: int = option(8, help="Positions of `left-to-right-then` from the left.", low=0)
    temperature: float = option(0.0, help="Of tokens; 0: the likeliest.", low=0.0, high=100.0)
    tolerance: float = option(
        0.0, help="Reuse keys and values that move less, as 1 − cosine; 0: none.", low=0.0, high=2.0
    )
    toward: str = option("", help="Text in a response that `guided` leans towards.")
    scale: float = option(1.0, help="Strength of `guided`; 0: none.", low=0.0, high=1000.0)
    shown: int = option(0, help="Number of the problem shown step by step, from 0.", low=0)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        denoiser, note = self._network(model)
        address = context.task or self.default_task
        task, mark = open_task(address), answer_lead(address).strip()
        problems = part_problems(address, "test", context.limit or _DEFAULT, context)
        rows = hide(denoiser, problems, mark)
        runs: dict[tuple[str, int], list[Filled]] = {}
        plan = self._plan()
        for done, (decoder, many) in enumerate(plan):
            context.progress(done, len(plan), "decoders")
            decoding = self._decoding(decoder, many, denoiser, address, context)
            runs[decoder, many] = fill(denoiser, rows, decoding, context)
        context.progress(len(plan), len(plan), "decoders")
        right = {key: accuracy(denoiser, task, filled) for key, filled in runs.items()}
        found = measured(runs, right, self.k, context)
        decode = denoiser.tokenizer.decode
        told = [
            {"problem": one.hidden.problem.question, "decoder": decoder, "many": many,
             "response": str(decode(list(one.tokens))), "right": bool(right[decoder, many][0, i])}
            for (decoder, many), filled in runs.items()
            for i, one in enumerate(filled)
        ]  # fmt: skip
        shown = trajectory_rows(runs, min(self.shown, len(rows) - 1), decode)
        return study_report(
            found,
            summary=_summary(found, self.many, self.k),
            estimates=_estimates(found, self.many, self.k),
            averages={"decoders": RUNS, "order": KS, "slots": SLOTS, "layers": LAYERS,
                      "layers_by_step": MAP},
            rows={"trajectory": shown, "responses": told},
            columns=COLUMNS,
            plots=PLOTS,
            notes=note,
        )  # fmt: skip

    def _plan(self) -> list[tuple[Decoder, int]]:
        """Return every decoder with every number of positions a step, where it takes one."""
        if "guided" in self.decoders and not self.toward:
            raise BadOption("guided has nothing to lean towards", hint='--toward "#### 4"')
        many = sorted(set(self.many))
        return [(d, m) for d in self.decoders for m in (many[:1] if d in _OF_ITS_OWN else many)]

    def _decoding(
        self, decoder: Decoder, many: int, denoiser: Denoiser, address: str, context: Context
    ) -> Decoding:
        orders: Mapping[str, Order] = {
            "left-to-right": LeftToRight(),
            "random": AtRandom(),
            "threshold": MostConfident(threshold=self.threshold),
            "blocks": Blocks(size=self.block),
            "chosen-blocks": ChosenBlocks(
                threshold=self.threshold, least=min(self.least, self.block), most=self.block
            ),
            "left-to-right-then": LeftToRightThen(first=self.first),
        }
        draws_tokens = decoder in ("sampled", "energy")
        return Decoding(
            order=orders.get(decoder, MostConfident()),
            many=many,
            temperature=(self.temperature or 1.0) if draws_tokens else self.temperature,
            energy=self._energy(denoiser) if decoder == "energy" else None,
            draws=self.draws,
            guide=self._classifier(denoiser, address, context) if decoder == "guided" else None,
            tolerance=self.tolerance,
        )

    def _network(self, model: Model) -> tuple[Denoiser, tuple[Note, ...]]:
        if self.network:
            return Denoiser.load(self.network), ()
        try:
            return Denoiser.of(model), ()
        except Unsupported:
            text = f"{model.spec.name} has no mask token; filled in by {_SHIPPED}, which ships"
            return Denoiser.load(_SHIPPED), (Note(text, code="network"),)

    def _energy(self, denoiser: Denoiser) -> LeftToRightEnergy:
        beside = Path(denoiser.name) / GUIDE
        try:
            guide = load_model(self.guide or str(beside))
        except ModelNotFound as error:
            raise BadOption(
                f"energy needs a left-to-right network; there is none at {self.guide or beside}",
                hint="--guide FOLDER, or --decoders without energy",
            ) from error
        return LeftToRightEnergy(guide, len(denoiser.tokenizer))

    def _classifier(
        self, denoiser: Denoiser, address: str, context: Context
    ) -> TokenClassifier | None:
        problems = part_problems(address, "train", _CLASSIFIED, context)
        rows = hide(denoiser, problems, answer_lead(address).strip())
        texts = [str(denoiser.tokenizer.decode(list(row.reference))) for row in rows]
        labels = contains(texts, self.toward)
        if not 0 < int(labels.sum()) < len(labels):
            raise BadOption(
                f"{int(labels.sum())} of {len(labels)} responses contain {self.toward!r}; expected "
                "some, not all"
            )
        return TokenClassifier(
            torch.tensor([row.reference for row in rows]),
            labels,
            d_vocab=len(denoiser.tokenizer),
            scale=self.scale,
        )


def _at(decoder: str, many: Sequence[int]) -> dict[str, object]:
    return {"decoder": decoder, "many": min(many)}


def _estimates(found: Samples, many: Sequence[int], ks: Sequence[int]) -> tuple[Estimate, ...]:
    """Return what every decoder did at the fewest positions a step."""
    decoders = found.axes_of["decoder"].labels
    return (
        *(
            found.estimate(metric, SHUFFLED, _at(str(decoder), many))
            for metric in ("accuracy", "tau")
            for decoder in decoders
        ),
        *(
            found.estimate(metric, SHUFFLED, {**_at(str(decoder), many), "k": min(ks)})
            for metric in ("global", "local")
            for decoder in decoders
        ),
    )


def _summary(found: Samples, many: Sequence[int], ks: Sequence[int]) -> str:
    """Name the order of confidence if it is there, else the first decoder."""
    labels = found.axes_of["decoder"].labels
    decoder = "confidence" if "confidence" in labels else str(labels[0])
    at = _at(decoder, many)
    return (
        f"{decoder}: {found.estimate('accuracy', SHUFFLED, at)}; "
        f"{found.estimate('global', SHUFFLED, {**at, 'k': min(ks)})}; "
        f"{found.estimate('tau', SHUFFLED, at)}."
    )
