"""A decoder comparison as estimates, tables and views."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from reasoning._decoder_runs import Written
from reasoning.repetition import NGRAMS, diversity, ngram_counts
from workbench.methods.contracts import Context
from workbench.result.estimate import Estimate
from workbench.result.intervals import NoInterval, left_out
from workbench.result.tables import Column, Table

SHUFFLED = "the same tokens in random order"
BASELINE = "greedy"

Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
    """What one decoder wrote, per text and per batch; resampling them is one product."""

    different: Float[np.ndarray, "text n"]
    every: Float[np.ndarray, "text n"]
    shuffled: Float[np.ndarray, "text n"]
    logprob: Float[np.ndarray, " text"]
    length: Float[np.ndarray, " text"]
    seconds: Float[np.ndarray, " batch"]
    tokens: Float[np.ndarray, " batch"]

    @classmethod
    def of(cls, written: Written, generator: np.random.Generator) -> "Sums":
        """Count the n-grams of every text, and of one random order of its tokens."""
        counts = np.array([text.counts for text in written.texts], dtype=np.float64)
        mixed = [generator.permutation(text.ids).tolist() for text in written.texts]
        return cls(
            different=counts[:, 0],
            every=counts[:, 1],
            shuffled=np.array([ngram_counts(ids)[0] for ids in mixed], dtype=np.float64),
            logprob=np.array([text.logprob for text in written.texts], dtype=np.float64),
            length=np.array([len(text.ids) for text in written.texts], dtype=np.float64),
            seconds=np.array(written.seconds, dtype=np.float64),
            tokens=np.array(written.tokens, dtype=np.float64),
        )


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One number per decoder: `of` maps sums and weights over units to it."""

    name: str
    unit: str
    help: str
    of: Callable[[Sums, Numbers], Numbers]
    n_unit: str = "texts"


def _ratio(above: Numbers, below: Numbers) -> Numbers:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(above / below)


def _rep(column: int) -> Quantity:
    n = NGRAMS[column]
    return Quantity(
        name=f"rep_{n}",
        unit="proportion",
        help=f"{n}-grams of a text that had occurred in it before, all texts together",
        of=lambda s, w: 1 - _ratio(w @ s.different[:, column], w @ s.every[:, column]),
    )


DIVERSITY = Quantity(
    name="diversity",
    unit="proportion",
    help="product of 1 - rep_n for n = 2, 3, 4; 1 is no repetition",
    of=lambda s, w: diversity(w @ s.different, w @ s.every),
)
SHUFFLED_DIVERSITY = Quantity(
    name="diversity_shuffled",
    unit="proportion",
    help=f"diversity of {SHUFFLED}",
    of=lambda s, w: diversity(w @ s.shuffled, w @ s.every),
)
SECONDS = Quantity(
    name="seconds_per_token",
    unit="seconds",
    help="wall time of a batch by the tokens it wrote",
    of=lambda s, w: _ratio(w @ s.seconds, w @ s.tokens),
    n_unit="batches",
)
QUANTITIES = (
    DIVERSITY,
    *(_rep(column) for column in range(len(NGRAMS))),
    SHUFFLED_DIVERSITY,
    Quantity(
        name="logprob",
        unit="nats per token",
        help="mean log-probability that the model itself gives to the text",
        of=lambda s, w: _ratio(w @ s.logprob, w.sum(axis=-1)),
    ),
    Quantity(
        name="n_tokens",
        unit="tokens",
        help="mean length of a text",
        of=lambda s, w: _ratio(w @ s.length, w.sum(axis=-1)),
    ),
    SECONDS,
)


class Measured:
    """Every quantity of every decoder, with its values when each unit is left out."""

    def __init__(self, written: Mapping[str, Written], context: Context) -> None:
        """Add up texts and batches; decoders are compared on the same ones."""
        self.sums = {
            name: Sums.of(texts, context.stream("shuffled")) for name, texts in written.items()
        }
        first = next(iter(self.sums.values()))
        self.n = {"texts": len(first.length), "batches": len(first.seconds)}
        self._weights = {unit: 1 - np.eye(n) for unit, n in self.n.items()}

    def value(self, quantity: Quantity, name: str) -> float:
        """Return the value over all units."""
        ones = np.ones((1, self.n[quantity.n_unit]))
        return float(quantity.of(self.sums[name], ones)[0])

    def left_out(self, quantity: Quantity, name: str) -> Numbers:
        """Return the values without each unit, none from a single one."""
        if self.n[quantity.n_unit] < 2:
            return np.empty(0)
        return quantity.of(self.sums[name], self._weights[quantity.n_unit])

    def estimate(self, quantity: Quantity, name: str) -> Estimate:
        """Return one quantity of one decoder; diversity carries its null."""
        control = None
        if quantity is DIVERSITY:
            control = _finite(self.value(SHUFFLED_DIVERSITY, name))
        return _estimate(
            f"{quantity.name}.{name}",
            self.value(quantity, name),
            self.left_out(quantity, name),
            unit=quantity.unit,
            n=(self.n[quantity.n_unit], quantity.n_unit),
            control=control,
        )

    def against_baseline(self, quantity: Quantity, name: str) -> Estimate:
        """Return a decoder's quantity divided by that of greedy decoding, text by text."""
        value = _ratio(
            np.array(self.value(quantity, name)), np.array(self.value(quantity, BASELINE))
        )
        without = _ratio(self.left_out(quantity, name), self.left_out(quantity, BASELINE))
        return _estimate(
            f"{quantity.name}_ratio.{name}",
            float(value),
            without,
            unit=f"{quantity.unit} per {quantity.unit} of {BASELINE}",
            n=(self.n[quantity.n_unit], quantity.n_unit),
        )


def _finite(x: float) -> float | None:
    return x if np.isfinite(x) else None


def _estimate(
    name: str,
    value: float,
    without: Numbers,
    *,
    unit: str,
    n: tuple[int, str],
    control: float | None = None,
) -> Estimate:
    interval = (
        left_out(value, without, bounds=(0.0, 1.0) if unit == "proportion" else None)
        if np.isfinite(value)
        else NoInterval("undefined")
    )
    return Estimate(
        name=name,
        value=_finite(value),
        unit=unit,
        n=n[0],
        n_unit=n[1],
        low=interval.low,
        high=interval.high,
        method=interval.method,
        control=control,
        control_name=SHUFFLED if control is not None else "",
        note="" if np.isfinite(value) else "the texts are too short for it",
    )


def decoder_table(measured: Measured) -> Table:
    """Return one row per decoder with every quantity and its interval."""
    rows = []
    for name in measured.sums:
        row: dict[str, Any] = {"decoder": name}
        for quantity in QUANTITIES:
            found = measured.estimate(quantity, name)
            row |= {
                quantity.name: found.value,
                f"{quantity.name}_low": found.low,
                f"{quantity.name}_high": found.high,
            }
        rows.append(row | {"n_texts": measured.n["texts"], "n_batches": measured.n["batches"]})
    columns = {"decoder": Column(help="How the next token is chosen")}
    for q in QUANTITIES:
        low, high = f"{q.name}_low", f"{q.name}_high"
        columns[q.name] = Column(q.unit, q.help, low, high)
        columns[low] = Column(q.unit, f"lower bound of the 95 % interval of {q.name}")
        columns[high] = Column(q.unit, f"upper bound of the 95 % interval of {q.name}")
    return Table.from_rows(rows, columns)
