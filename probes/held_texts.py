"""States of whole texts at some layers, in parts: to fit on, to choose by, and held out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from workbench.methods.contracts import Context, Example
from workbench.methods.controls import other_positions
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.result.result import Note

TRAIN, CHOOSE, HELD = 0, 1, 2
_FEW = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldTexts:
    """Every token of some texts: `states` and the control `others`, those of another position.

    `text` says whose a token is, `part` whether it is fitted to, chosen by or held out.
    """

    layers: tuple[int, ...]
    states: Float[np.ndarray, "layer n d_model"]
    others: Float[np.ndarray, "layer n d_model"]
    ids: Int[np.ndarray, " n"]
    text: Int[np.ndarray, " n"]
    part: Int[np.ndarray, " n"]
    notes: tuple[Note, ...] = ()

    @classmethod
    def read(
        cls, model: Model, examples: Sequence[Example], layers: str, context: Context, *, name: str
    ) -> "HeldTexts":
        """Run every text; `layers` are some, comma-separated, or the first, middle and last one."""
        chosen = _layers(layers, model.spec.n_layers)
        sites = [Site(Kind.RESID_POST, layer) for layer in chosen]
        states, others, ids = [], [], []
        for done, example in enumerate(examples):
            trace = model.run([example.text], read=sites)
            own = torch.stack([trace.row(0, site) for site in sites]).float().cpu()
            states.append(own.numpy())
            others.append(own[:, other_positions(trace.tokens, context, name)[0]].numpy())
            ids.append(trace.tokens.row(0))
            context.progress(done + 1, len(examples), "texts")
        why = "too few texts: the last tokens of each are held out, not whole texts"
        return cls(
            layers=tuple(chosen),
            states=np.concatenate(states, axis=1),
            others=np.concatenate(others, axis=1),
            ids=np.concatenate(ids),
            text=np.repeat(np.arange(len(ids)), [len(row) for row in ids]),
            part=_parts(ids, context, name),
            notes=(Note(why, "warning", "few-texts"),) if len(ids) < _FEW else (),
        )


def components(
    x: Float[np.ndarray, "n d_model"], train: Any, dims: int
) -> Float[np.ndarray, "n component"]:
    """Return the first principal components of the training states, the first of unit spread."""
    centred = x.astype(np.float64) - x[train].mean(axis=0)
    values, vectors = np.linalg.eigh(centred[train].T @ centred[train] / train.sum())
    first = vectors[:, ::-1][:, :dims]
    return np.asarray(centred @ first / np.sqrt(max(values[-1], 1e-12)))


def _layers(told: str, n: int) -> list[int]:
    if not told:
        return sorted({0, n // 2, n - 1})
    given = [Site.parse(f"resid_post.{part.strip()}") for part in told.split(",")]
    return sorted({site.layer % n for site in given if site.layer is not None})


def _parts(ids: Sequence[Sequence[int]], context: Context, name: str) -> Int[np.ndarray, " n"]:
    """Return the part of every token: whole texts, or stretches of each where texts are few."""
    if len(ids) < _FEW:
        shares = [np.arange(len(row)) / max(len(row), 1) for row in ids]
        return np.concatenate([np.digitize(x, (0.5, 0.75)) for x in shares])
    order = context.stream(f"{name} parts").permutation(len(ids)) * 4 // len(ids)
    of_text = np.array([TRAIN, TRAIN, CHOOSE, HELD])[order]
    return np.repeat(of_text, [len(row) for row in ids])
