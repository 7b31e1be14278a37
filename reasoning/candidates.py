"""The candidates a repetition-aware decoder weighed at one step."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor


@runtime_checkable
class Explained(Protocol):
    """What a policy wrote down of one step, told row by row."""

    def rows(self, row: int) -> list[dict[str, Any]]:
        """Return plain values with the keys of `Candidates.rows`, none where the row had ended."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """The k most probable tokens of every row, most probable first, and what became of them.

    `score` = `confidence`·`p` − `weight`·`penalty`; `picked` is the column of the chosen token.
    `repeated` is the number of tokens at the end of the text that would already have occurred
    in this order, if the policy counts them. Rows that are not `live` hold no meaning.

    `kl` is that of the distribution a token was taken from to the model's own, where they differ.

    Units: p is a probability; penalty a cosine (contrastive), a resistance (momentum) or nats
    (reward-guided); kl in nats.
    """

    ids: Int[Tensor, "batch k"]
    p: Float[Tensor, "batch k"]
    penalty: Float[Tensor, "batch k"]
    score: Float[Tensor, "batch k"]
    picked: Int[Tensor, " batch"]
    live: Bool[Tensor, " batch"]
    repeated: Int[Tensor, "batch k"] | None = None
    kl: Float[Tensor, " batch"] | None = None

    def rows(self, row: int) -> list[dict[str, Any]]:
        """Return the candidates of one row as plain values."""
        return [
            {
                "token_id": int(self.ids[row, j]),
                "p": float(self.p[row, j]),
                "penalty": float(self.penalty[row, j]),
                "score": float(self.score[row, j]),
                "repeated": None if self.repeated is None else int(self.repeated[row, j]),
                "chosen": j == int(self.picked[row]),
                **({} if self.kl is None else {"kl": float(self.kl[row])}),
            }
            for j in range(self.ids.shape[1] if bool(self.live[row]) else 0)
        ]


def candidate_row(
    token_id: int, *, p: float, penalty: float | None, score: float | None, chosen: bool
) -> dict[str, Any]:
    """Return one candidate as plain values, where repetitions are not counted."""
    found = {"token_id": token_id, "p": p, "penalty": penalty, "score": score}
    return {**found, "repeated": None, "chosen": chosen}
