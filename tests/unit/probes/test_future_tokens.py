"""Chains whose future is known: what a state adds to the next token is nothing, or all there is."""

import numpy as np
import pytest

from probes.future_tokens import readouts

V, N, LENGTH = 4, 60, 60


def planted(kind):
    draw = np.random.default_rng(0)
    rows = []
    for _ in range(N):
        row = list(draw.integers(0, V, 2))
        while len(row) < LENGTH:
            first_order = (row[-1] + int(draw.random() < 0.3)) % V
            row.append(first_order if kind == "first order" else (row[-2] + 1) % V)
        rows.append(row)
    tokens = np.concatenate(rows)
    states = np.eye(V)[tokens]
    return states, draw.permutation(states), tokens, np.repeat(np.arange(N), LENGTH)


@pytest.mark.parametrize(("kind", "expected"), [("first order", 0.0), ("second order", np.log(V))])
def test_the_surplus_of_a_planted_chain(kind, expected):
    states, others, tokens, text = planted(kind)
    part = np.array([0, 0, 1, 2])[text % 4]
    rows = readouts(states, others, tokens, text, part, offset=2, dims=V)
    surplus, null = (np.mean([r[m] for r in rows]) for m in ("surplus", "surplus_elsewhere"))
    assert surplus == pytest.approx(expected, abs=0.02)
    assert abs(null) < 0.02
    accuracy = np.mean([r["accuracy"] for r in rows])
    assert accuracy == pytest.approx(1.0 if kind == "second order" else 0.49, abs=0.04)
