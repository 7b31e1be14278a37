"""Whether a model's states hold what can be known of the hidden states behind a sequence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from probes.beliefs.excess import after_axis, excess_values, laid_out
from probes.beliefs.report import CONTROLS, Judged, belief_report
from probes.beliefs.ridge import tuned_ridge
from probes.beliefs.symbols import SymbolStates, read_states, symbol_rows
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import probe
from workbench.model.model import Model
from workbench.model.sites import Kind, Site, every_layer
from workbench.options import option
from workbench.result.result import Result
from workbench.result.samples import VALUE
from workbench.sampling.processes.sequences import open_sequences

_DEFAULT = 100


@probe("beliefs", source="Shai et al. 2024, arXiv:2405.15943; arXiv:2410.00699")
@dataclass(frozen=True, kw_only=True)
class Beliefs:
    """Read the exact belief about hidden states off every layer and token, by ridge regression.

    The sequences are those of a process whose beliefs the forward algorithm gives. At every layer
    one readout maps states to the whole belief vector; it is fitted to some sequences and scored
    on the others: R² = 1 − Σ‖b − b̂‖²/Σ‖b − b̄‖², b̄ the mean belief of the training part. The
    penalty is chosen inside that part. Controls: beliefs of other sequences at the same place,
    fitted and scored alike, and the mean belief behind the last symbol, which needs no memory.
    Beside it stands KL(exact‖model), the cross-entropy in excess of the exact predictor. It reads
    and intervenes nowhere.

    Units: R² has none; distance is total variation, 0 to 1; KL in nats per symbol.

    Raises:
        DataError: the task draws no sequences, or the tokenizer joins symbols.
        TooLittleData: fewer sequences than folds.

    Source: Shai et al. 2024, section 4. We differ: held-out sequences, a tuned penalty, controls.
    """

    default_task: ClassVar[str] = "hidden-markov?kind=mess3"

    n_folds: int = option(5, help="Parts of the sequences, each held out once.", low=2, high=100)
    shown: int = option(4, help="Sequences shown token by token.", low=0, high=100)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        task = open_sequences(context.task or self.default_task)
        limit = context.limit or _DEFAULT
        problems = task.problems(limit, context.stream("problems"))
        if len(problems) < self.n_folds:
            raise TooLittleData(
                f"{len(problems)} sequences cannot be split into {self.n_folds} folds",
                hint="raise --limit, or lower --n-folds",
            )
        # The order of sequences decides nothing: folds and shuffles follow their content.
        texts = sorted(p.question for p in problems)
        rows = symbol_rows(model, texts, task.process())
        sites = (Site(Kind.RESID_PRE, 0), *every_layer(Kind.RESID_POST, model.spec))
        read = read_states(model, rows, sites, context)
        fold = context.stream("belief folds").permutation(len(rows)) % self.n_folds
        beliefs = np.concatenate([row.exact.beliefs[0, 1:] for row in rows])
        targets = {VALUE: beliefs, "shuffled": _shuffled(beliefs, read, context)}
        judged = []
        for i, site in enumerate(sites):
            judged.append(_judged(read.states[site], targets, read, fold))
            context.progress(i + 1, len(sites), "layers read")
        shape = (len(rows), len(after_axis(rows).labels))
        alone = np.concatenate([row.symbols for row in rows])
        hot = np.eye(len(task.process().symbols))[alone]
        baseline = _judged(hot, {"symbol": beliefs}, read, fold)
        values = _values(judged, baseline, read, shape)
        excess = excess_values(rows, read, shape)
        for kind, part in excess.items():
            values.setdefault(kind, {}).update(part)
        return belief_report(model, rows, read, judged, beliefs, values, shown=self.shown)


def _shuffled(
    beliefs: Float[np.ndarray, "n state"], read: SymbolStates, context: Context
) -> Float[np.ndarray, "n state"]:
    """Return beliefs of another sequence at the same place, as far as there is one so long."""
    found = np.empty_like(beliefs)
    rank = context.stream("shuffled beliefs").permutation(int(read.owner.max()) + 1)
    for after in np.unique(read.after):
        here = np.flatnonzero(read.after == after)
        order = here[np.argsort(rank[read.owner[here]])]
        found[order] = beliefs[np.roll(order, 1)]
    return found


def _judged(
    x: NDArray[np.floating],
    targets: Mapping[str, NDArray[np.float64]],
    read: SymbolStates,
    fold: NDArray[np.int64],
) -> Judged:
    """Return what held-out states are read as, and the mean of the training part."""
    told = {kind: np.empty_like(y) for kind, y in targets.items()}
    level = {kind: np.empty_like(y) for kind, y in targets.items()}
    penalties = []
    of = fold[read.owner]
    for part in np.unique(fold):
        train, test = of != part, of == part
        if not test.any():
            continue
        found = tuned_ridge(x[train], [y[train] for y in targets.values()], read.owner[train])
        penalties.append(found[0].penalty)
        for (kind, y), readout in zip(targets.items(), found, strict=True):
            told[kind][test] = readout.read(x[test])
            level[kind][test] = y[train].mean(axis=0)
    return Judged(
        told=told, level=level, targets=targets, penalty=float(np.median(penalties)),
        features=x.shape[1], examples=int((of != 0).sum()),
    )  # fmt: skip


def _values(
    judged: Sequence[Judged],
    baseline: Judged,
    read: SymbolStates,
    shape: tuple[int, int],
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return the sums behind R², `sequence layer (after) part`, by kind."""
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for kind in CONTROLS.keys() | {VALUE}:
        each = [baseline] * len(judged) if kind == "symbol" else judged
        sums = np.stack([laid_out(one.sums(kind), read, shape) for one in each], axis=1)
        found[kind] = {"r2": np.nansum(sums, axis=2), "r2_after": sums}
    return found
