"""Explainers that change the state of the last token at one layer and let the model go on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from causal.concepts.explain import Asked, Known, nearest
from workbench.methods.eraser import Eraser, Whitening, leace, one_hot, shifts
from workbench.methods.kernel_probe import held_out_scores
from workbench.model.edits import Edit, Op
from workbench.model.late_start import begin, run_from, starts_late
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import pad

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerFit:
    """What is fitted at one layer: an eraser, the shift to a value, and random subspaces."""

    states: Float[np.ndarray, "n d_model"]
    known: Known
    classes: tuple[str, ...]
    eraser: Eraser
    shift: Float[np.ndarray, "n_class d_model"]
    white: Whitening
    random: tuple[Eraser, ...]

    @classmethod
    def of(
        cls,
        states: Float[np.ndarray, "n d_model"],
        known: Known,
        *,
        draws: int,
        generator: np.random.Generator,
    ) -> "LayerFit":
        """Fit to states of texts with values of the concept, controls partialled out."""
        x = states.astype(np.float64)
        classes = tuple(sorted({str(value) for value in known.t}))
        z, c = one_hot(list(known.t), classes), controls_hot(known.c)
        eraser = leace(x, z, c, shrinkage=True)
        white = Whitening.of(eraser.erase(x), shrinkage=True)
        whole = Whitening.of(x, shrinkage=True)
        random = tuple(whole.random(eraser.rank, generator) for _ in range(draws))
        return cls(
            states=x,
            known=known,
            classes=classes,
            eraser=eraser,
            shift=shifts(x, z, c),
            white=white,
            random=random,
        )

    def edited(
        self, h: Float[np.ndarray, "pair d_model"], asked: Asked, generator: np.random.Generator
    ) -> dict[str, Float[np.ndarray, "pair d_model"]]:
        """Return the source states erased, swapped and interchanged, and under random erasers."""
        now, then = (one_hot(list(t), self.classes) for t in (asked.source.t, asked.to))
        other = self.states[nearest(self.known, asked, generator, k=1)[:, 0]]
        return {
            "erase": self.eraser.erase(h),
            "swap": h + (then - now) @ self.shift,
            "interchange": h + self.eraser.component(other) - self.eraser.component(h),
            **{f"random {i}": eraser.erase(h) for i, eraser in enumerate(self.random)},
        }

    def neighbours(
        self,
        h: Float[np.ndarray, "pair d_model"],
        asked: Asked,
        generator: np.random.Generator,
        *,
        k: int,
    ) -> Int[np.ndarray, "pair k"]:
        """Return the texts with T = t′ that lie nearest after erasing, in the whitened space."""
        a, b = (self.eraser.erase(x) @ self.white.forward.T for x in (h, self.states))
        square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
        return nearest(self.known, asked, generator, k=k, distance=square)

    def told(
        self, h: Float[np.ndarray, "pair d_model"], asked: Asked
    ) -> dict[str, Float[np.ndarray, " pair"]]:
        """Return which states a linear probe reads as t′, and the share of controls it reads."""
        found = {"as_target": _reads(self.states, self.known.t, h, asked.to)}
        controls = [
            _reads(self.states, column, h, truth)
            for column, truth in zip(self.known.c.T, asked.source.c.T, strict=True)
        ]
        if controls:
            stacked = np.stack(controls)
            there = np.isfinite(stacked).sum(axis=0)
            mean = np.nansum(stacked, axis=0) / np.maximum(there, 1)
            found["controls_kept"] = np.where(there > 0, mean, np.nan)
        return found


def controls_hot(c: NDArray[np.generic]) -> Float[np.ndarray, "n k"] | None:
    """Return every control one-hot, a row of zeros where there is no value."""
    columns = [one_hot(list(x), sorted({str(v) for v in x if v != ""})) for x in c.T]
    return np.column_stack(columns) if columns else None


def answered(
    model: Model,
    tokens: Sequence[int],
    states: Mapping[int, Float[np.ndarray, "variant d_model"]],
) -> dict[int, Float[Tensor, "variant d_vocab"]]:
    """Return the last logits of one text with other states of its last token after each layer.

    The blocks below and the tokens before run once, where this model can start late.
    """
    batch = pad([list(tokens)])
    late = starts_late(model)
    start = begin(model, batch, cut=len(tokens) - 1) if late else None
    found = {}
    for layer, x in states.items():
        h = torch.from_numpy(x).to(getattr(torch, model.spec.dtype))
        if layer == model.spec.n_layers - 1:
            found[layer] = model.unembed(h.to(model.device))
        elif start is not None:
            before = start.captured[Site(Kind.RESID_PRE, layer + 1)][[0] * len(h)].clone()
            before[:, -1] = h.to(before.device)
            found[layer] = run_from(model, start, layer + 1, before, rows=[0] * len(h))
        else:
            site = Site(Kind.RESID_POST, layer, (-1,))
            edit = Edit(site=site, op=Op.SET, value=h[:, None].to(model.device))
            trace = model.run(batch.take([0] * len(h)), edits=[edit], logits="last")
            found[layer] = torch.as_tensor(trace.logits)[:, -1]
    return found


def _reads(
    x: Array, values: NDArray[np.generic], h: Array, truth: NDArray[np.generic]
) -> Float[np.ndarray, " pair"]:
    there = values != ""
    classes = sorted({str(v) for v in values[there]})
    goal = one_hot(list(truth), classes)
    scores = held_out_scores(x[there], one_hot(list(values[there]), classes), h)
    right = scores.argmax(axis=1) == goal.argmax(axis=1)
    return np.where(goal.any(axis=1), right.astype(np.float64), np.nan)
