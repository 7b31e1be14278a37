"""How much more a model is surprised than the exact predictor, beside the last symbol alone."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from probes.beliefs.symbols import SymbolRow, SymbolStates
from workbench.methods.study_report import study_report
from workbench.result.metric import Axis, Control, Metric, Plot
from workbench.result.result import Result
from workbench.result.samples import VALUE, Samples
from workbench.sampling.processes.process import kl_of

Values = dict[str, dict[str, NDArray[np.float64]]]
METRICS = {
    "excess": Metric(unit="nats", help="KL(exact‖model) of the next symbol.", axes=("after",)),
    "entropy": Metric(unit="nats", help="Entropy of the exact predictor.", axes=("after",)),
}
SYMBOL = Control("the last symbol alone", "the best predictor that knows the last symbol only")
CONTROLS = {"symbol": SYMBOL}


def after_axis(rows: Sequence[SymbolRow]) -> Axis:
    """Return the axis of symbols seen, as long as the longest sequence."""
    longest = max(len(row.symbols) for row in rows)
    return Axis(help="Symbols seen.", unit="symbols", labels=tuple(range(1, longest + 1)))


def laid_out(
    flat: Float[np.ndarray, "n *k"], read: SymbolStates, shape: tuple[int, int]
) -> Float[np.ndarray, "sequence after *k"]:
    """Return numbers of all symbols by sequence and symbols seen, NaN where there are none."""
    found = np.full((*shape, *flat.shape[1:]), np.nan)
    found[read.owner, read.after - 1] = flat
    return found


def last_symbol_log_next(
    log_next: Float[np.ndarray, "n symbol"], symbols: NDArray[np.int64]
) -> Float[np.ndarray, "symbol symbol"]:
    """Return the mean exact distribution behind each symbol: no better one knows that alone."""
    found = np.full((log_next.shape[1],) * 2, 1 / log_next.shape[1])
    for symbol in np.unique(symbols):
        found[symbol] = np.exp(log_next[symbols == symbol]).mean(axis=0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(found))


def excess_values(rows: Sequence[SymbolRow], read: SymbolStates, shape: tuple[int, int]) -> Values:
    """Return excess and entropy by kind, `sequence after`; the last symbol is followed by none.

    A model that never gives a symbol which may come is undefined there.
    """
    exact = np.concatenate([row.exact.log_next[0, 1:] for row in rows])
    symbols = np.concatenate([row.symbols for row in rows])
    last = np.concatenate([np.arange(len(r.symbols)) == len(r.symbols) - 1 for r in rows])
    alone = last_symbol_log_next(exact[~last], symbols[~last])[symbols]
    found: Values = {VALUE: {}, "symbol": {}}
    for kind, log_q in ((VALUE, read.log_next), ("symbol", alone)):
        kl = kl_of(exact, log_q)
        kl[last | ~np.isfinite(kl)] = np.nan
        found[kind]["excess"] = laid_out(kl, read, shape)
    entropy = np.concatenate([row.exact.entropy[0, 1:] for row in rows])
    entropy[last] = np.nan
    found[VALUE]["entropy"] = laid_out(entropy, read, shape)
    return found


def excess_report(rows: Sequence[SymbolRow], read: SymbolStates) -> Result:
    """Report excess and entropy by symbols seen, averaged over sequences."""
    axis = after_axis(rows)
    samples = Samples.of(
        excess_values(rows, read, (len(rows), len(axis.labels))),
        METRICS,
        unit="sequences",
        controls_of=CONTROLS,
        axes_of={"after": axis},
    )
    excess = samples.estimate("excess", "symbol")
    return study_report(
        samples,
        summary=f"The model loses {excess.beside_control} one that sees the last symbol alone, "
        f"over the exact predictor: {excess}.",
        averages={"by_symbols_seen": ("after",)},
        plots=(Plot(title="Excess by symbols seen", metrics=("excess",), axes=("after",)),),
        estimates=[excess, samples.estimate("entropy")],
    )
