"""A made-up result with one view of every type, and strings that try to break out."""

import numpy as np
import pytest

from workbench.result.estimate import Estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Bars, Curve, GraphView, Heatmap, Points, TokenStrip

HOSTILE = (
    "<script>alert(1)</script>",
    "<b>bold</b>",
    "\x1b[31mred\x1b[0m",
    "\u202eevil\u202c",
    "</span></div><img src=x onerror=alert(1)>",
    'a" onmouseover="alert(1)',
    "%{x} {y} $z$",
    "שלום",
    "\x00\u200b\ufeff",
)


@pytest.fixture
def hostile() -> tuple[str, ...]:
    return HOSTILE


@pytest.fixture
def layers() -> Table:
    n = 6
    rows = [
        {
            "layer": i,
            "mean_cosine": 0.1 * i,
            "mean_cosine_low": 0.1 * i - 0.02,
            "mean_cosine_high": 0.1 * i + 0.03,
            "mean_cosine_shuffled": 0.01 * i,
            "effective_rank": 40.0 - i,
            "group": "a" if i < 3 else "b",
        }
        for i in range(n)
    ]
    return Table.from_rows(
        rows,
        {
            "layer": Column(unit="", help="Layer."),
            "mean_cosine": Column(
                unit="cosine", help="Mean.", low="mean_cosine_low", high="mean_cosine_high"
            ),
            "mean_cosine_shuffled": Column(unit="cosine", help="Null."),
            "effective_rank": Column(unit="dimensions", help="Rank."),
        },
    )


@pytest.fixture
def tokens() -> Table:
    words = ["<|im_start|>", "user", "\n", " What", " is", "\t", "?", *HOSTILE]
    return Table.from_rows(
        [
            {
                "token": word,
                "norm": 1234.5678 if i == 0 else 10.0 + i,
                "gain": (-1) ** i * 0.5 * i,
                "best": word[::-1],
                "split": i % 2 == 0,
                "text": "first" if i < 8 else "second",
            }
            for i, word in enumerate(words)
        ],
        {"norm": Column(unit="activation units", help="Length."), "gain": Column(unit="nats")},
    )


@pytest.fixture
def whole(layers: Table, tokens: Table) -> Result:
    cells = Table.from_rows(
        [
            {"layer": i, "position": j, "kl": float(i * j), "top": HOSTILE[(i + j) % 9]}
            for i in range(4)
            for j in range(5)
        ],
        {"kl": Column(unit="nats")},
    )
    nodes = Table.from_rows([{"name": n, "latent": n == "c"} for n in ("a", "b", HOSTILE[0])])
    edges = Table.from_rows(
        [
            {
                "cause": "a",
                "effect": "b",
                "weight": 0.5,
                "low": 0.2,
                "high": 0.8,
                "found": 0.9,
                "mark": "directed",
            },
            {
                "cause": "b",
                "effect": HOSTILE[0],
                "weight": -1.0,
                "low": -1.5,
                "high": -0.5,
                "found": 0.4,
                "mark": "undirected",
            },
        ],
        {"weight": Column(unit="points per point", low="low", high="high")},
    )
    return Result(
        summary="Cosine rises to 0.5 [0.48, 0.53].",
        estimates=(
            Estimate(
                name="cosine",
                value=0.5,
                unit="cosine",
                n=9,
                low=0.48,
                high=0.53,
                control=0.05,
                control_name="shuffled",
            ),
            Estimate(name="rank", value=35.0, unit="dimensions", n=9),
            Estimate(name="lost", value=None, unit="nats", n=9, note="one token"),
        ),
        tables={"layers": layers, "tokens": tokens, "cells": cells, "nodes": nodes, "edges": edges},
        arrays={"matrix": np.arange(6.0).reshape(2, 3)},
        notes=(Note("few texts", "warning"),),
        views=(
            Curve(
                "Curve",
                "layers",
                x="layer",
                y=("mean_cosine", "effective_rank"),
                control=("mean_cosine_shuffled",),
            ),
            Bars("Bars", "layers", x="layer", y="mean_cosine", control="mean_cosine_shuffled"),
            Points(
                "Points",
                "layers",
                x="mean_cosine",
                y="effective_rank",
                color="layer",
                label="group",
            ),
            Heatmap("Heatmap", "cells", row="layer", column="position", value="kl", text="top"),
            TokenStrip("Tokens", "tokens", token="token", color="norm"),
            GraphView(title="Graph", nodes="nodes", edges="edges", stability="found"),
        ),
    )
