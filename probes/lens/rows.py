"""The places of a batch that a lens reads, and what each is compared with as a control."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from probes.lens.metrics import taken
from workbench.methods.contracts import Context
from workbench.methods.controls import text_key
from workbench.model.tokens import Tokens


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Row j stands at `column[j]` of text `text[j]`.

    `counted` are those that are averaged, `shown` those whose first choice is wanted.
    """

    shape: tuple[int, int]
    text: Int[Tensor, " n"]
    column: Int[Tensor, " n"]
    counted: Int[Tensor, " m"]
    shown: Int[Tensor, " k"]

    @classmethod
    def of(cls, counted: Bool[Tensor, "batch pos"], shown: Bool[Tensor, "batch pos"]) -> "Rows":
        """Read all places that count or are shown, text after text."""
        text, column = (counted | shown).nonzero(as_tuple=True)
        return cls(
            shape=(counted.shape[0], counted.shape[1]),
            text=text,
            column=column,
            counted=counted[text, column].nonzero()[:, 0],
            shown=shown[text, column].nonzero()[:, 0],
        )

    def __len__(self) -> int:
        """Return how many places are read."""
        return len(self.text)

    def pick(
        self, read: Sequence[Float[Tensor, "batch pos d_model"]]
    ) -> list[Float[Tensor, "n d_model"]]:
        """Read the places at every site."""
        places = self.text * self.shape[1] + self.column
        return taken([x.flatten(0, 1) for x in read], places)

    def spread(
        self, x: Float[Tensor, "site m"], rows: Int[Tensor, " m"]
    ) -> Float[np.ndarray, "batch site pos"]:
        """Lay what was found at some of the rows out by text and position, NaN elsewhere."""
        found = np.full((self.shape[0], len(x), self.shape[1]), np.nan)
        found[self.text[rows].numpy(), :, self.column[rows].numpy()] = x.numpy().T
        return found

    def words(self, best: Int[Tensor, "site n"]) -> Int[Tensor, "batch site pos"]:
        """Lay the first choices of the shown rows out, −1 elsewhere."""
        found = torch.full((self.shape[0], len(best), self.shape[1]), -1)
        found[self.text[self.shown], :, self.column[self.shown]] = best[:, self.shown].T
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class ControlRows:
    """Random vectors for the rows `target`, and for the rows `paired` the states of `elsewhere`."""

    target: Int[Tensor, " m"]
    noise: Float[Tensor, "site m d_model"]
    paired: Int[Tensor, " k"]
    elsewhere: Int[Tensor, " k"]

    @classmethod
    def draw(
        cls,
        rows: Rows,
        tokens: Tokens,
        shape: tuple[int, int],
        chosen: tuple[int, int],
        context: Context,
    ) -> "ControlRows":
        """Draw for up to `chosen[0]` counted rows of each text, in one text out of `chosen[1]`.

        `shape` is that of the states of one row, (site, d_model). The draws depend on the seed
        and the text alone, so that they do not shift with the order of texts or the batches.
        """
        most, one_in = chosen
        none = np.zeros(0, np.int64)
        target, paired, elsewhere = [none], [none], [none]
        noise = [np.zeros((shape[0], 0, shape[1]), np.float32)]
        for i, own in _by_text(rows):
            key = text_key(tokens.row(i))
            if int(key[-8:], 16) % one_in:
                continue
            draw, n = context.stream(f"lens controls {key[:16]}"), len(own)
            some = np.sort(draw.permutation(n)[:most])
            target.append(own[some])
            noise.append(draw.standard_normal((shape[0], len(some), shape[1]), dtype=np.float32))
            if n > 1:
                paired.append(own[some])
                elsewhere.append(own[(some + draw.integers(1, n, size=len(some))) % n])
        return cls(
            target=_joined(target),
            noise=torch.from_numpy(np.concatenate(noise, axis=1)),
            paired=_joined(paired),
            elsewhere=_joined(elsewhere),
        )

    def below(
        self, states: Sequence[Float[Tensor, "n d_model"]]
    ) -> list[Float[Tensor, "all d_model"]]:
        """Return the states of all rows at every site, then random ones, then those elsewhere."""
        like, elsewhere = taken(states, self.target), taken(states, self.elsewhere)
        noise: dict[torch.device, Tensor] = {}
        for h in states:
            if h.device not in noise:
                noise[h.device] = self.noise.to(h.device)
        found = []
        for i, h in enumerate(states):
            own = noise[h.device][i]
            scale = like[i].float().norm(dim=-1) / own.norm(dim=-1)
            random = (own * scale[:, None]).to(h.dtype)
            found.append(torch.cat([h, random, elsewhere[i]]))
        return found


def _by_text(rows: Rows) -> list[tuple[int, NDArray[np.int64]]]:
    """Return the texts that count anywhere, each with its rows that count."""
    texts, sizes = rows.text[rows.counted].unique_consecutive(return_counts=True)
    parts = rows.counted.split(sizes.tolist())
    return [(int(text), part.numpy()) for text, part in zip(texts, parts, strict=True)]


def _joined(parts: Sequence[NDArray[np.int64]]) -> Int[Tensor, " n"]:
    return torch.from_numpy(np.concatenate(parts))
