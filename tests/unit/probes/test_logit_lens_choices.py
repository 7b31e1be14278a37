"""Which positions, texts and controls the logit lens reads, and what it shows."""

import hashlib

import numpy as np
import pytest
import torch

from probes.logit_lens import LogitLens
from tests.unit.probes.counting_lens import counted, lens_context, means_of, rows_of
from workbench.errors import InputError, TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.model.sites import Site
from workbench.model.tokens import pad
from workbench.result.grid import grids_of


def test_controls_are_no_better_than_chance(tiny_llama):
    rows = rows_of(lengths=(40,) * 8)
    found = counted(tiny_llama, LogitLens(every=1, controls=40), pad(rows))
    last = found.result(lens_context(tiny_llama)).tables["layers"].rows()[-1]
    assert last["agreement"] == 1.0
    assert last["agreement_random"] < 0.1
    assert last["agreement_shuffled"] < 0.3
    assert last["kl_random"] > 0.5


@pytest.mark.parametrize(
    ("options", "length", "expected"),
    [
        ({"every": 3}, 15, [1, 4, 7, 10, 13]),
        ({"every": 3, "skip_first": False}, 14, [0, 3, 6, 9, 12]),
        ({"every": 3}, 13, list(range(1, 13))),  # four places would be few: all are read
        ({"positions": "last"}, 9, [8]),
        ({"positions": "last"}, 1, []),
        ({"positions": "last", "skip_first": False}, 1, [0]),
    ],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_are_chosen_as_asked(tiny_llama, options, length, expected, side):
    tokens = pad([[5] * length, [6] * 12], side=side)
    probe = LogitLens(**options)
    trace = tiny_llama.run(tokens, read=probe.sites(tiny_llama.spec))
    examples = [Example(text="x", number=1)] * 2
    found = probe.measure(trace, examples, lens_context(tiny_llama)).values["kl"][0, 0]
    read = np.flatnonzero(np.isfinite(found[tokens.mask[0].numpy()]))
    assert read.tolist() == expected
    assert np.isnan(found[~tokens.mask[0].numpy()]).all()


def test_the_last_position_has_no_next_token(tiny_llama):
    found = counted(tiny_llama, LogitLens(positions="last"), pad(rows_of()))
    row = found.result(lens_context(tiny_llama)).tables["layers"].rows()[0]
    assert row["nll"] is None
    assert row["rank"] is None
    assert row["kl"] > 0


def test_short_texts_are_counted_out_loud(tiny_llama):
    result = counted(tiny_llama, LogitLens(), pad([[5], [6, 7, 8]])).result(
        lens_context(tiny_llama)
    )
    assert "1 text too short" in next(n for n in result.notes if n.code == "short").text
    assert result.tables["layers"]["n_texts"].iloc[0] == 1
    with pytest.raises(TooLittleData):
        counted(tiny_llama, LogitLens(), pad([[5], [6]])).result(lens_context(tiny_llama))


def test_the_embedding_is_layer_minus_one(tiny_llama):
    table = (
        counted(tiny_llama, LogitLens(embedding=True), pad(rows_of()))
        .result(lens_context(tiny_llama))
        .tables["layers"]
    )
    assert table["layer"].tolist() == [-1, 0, 1, 2]


def test_the_shown_text_holds_every_layer_and_token(tiny_llama):
    rows = rows_of()
    result = counted(tiny_llama, LogitLens(shown=4), pad(rows)).result(lens_context(tiny_llama))
    (grid,) = grids_of(result)
    assert grid.tokens == tuple(tiny_llama.decode([i]) for i in rows[0][:4])
    for site in (0, 2):
        logits = tiny_llama.unembed(
            tiny_llama.run(pad(rows[:1]), read=[f"resid_post.{site}"])[f"resid_post.{site}"]
        )
        best = logits[0, :4].softmax(-1).max(-1)
        assert grid.map("probability")[site, 1:] == pytest.approx(best.values[1:].numpy(), rel=1e-4)
        said = [tiny_llama.decode([int(i)]) for i in best.indices[1:]]
        assert list(grid.words["prediction"][site]) == ["", *said]
    assert np.isnan(grid.map("probability")[:, 0]).all()
    heat = result.views[-1]
    assert {heat.row, heat.column, heat.value, heat.text} <= set(result.tables["grid"].frame)


def test_every_token_of_a_text_is_measured_when_asked(tiny_llama):
    probe = LogitLens(**LogitLens.every_token)
    (grid,) = grids_of(counted(tiny_llama, probe, pad(rows_of())).result(lens_context(tiny_llama)))
    assert len(grid.tokens) == 9
    for name in ("kl", "entropy", "agreement", "probability"):
        assert np.isfinite(grid.map(name)).all(), name
    assert np.isfinite(grid.map("rank")[:, :-1]).all()
    assert all(all(row) for row in grid.words["prediction"])


def test_a_lens_without_a_model_is_refused(tiny_llama):
    with pytest.raises(InputError, match="needs a model"):
        counted(tiny_llama, LogitLens(), pad(rows_of()), Context())


def test_sites_are_whole_layers(tiny_llama):
    assert LogitLens().sites(tiny_llama.spec)[-1] == Site.parse("resid_post.2")


def test_one_text_in_many_is_compared_with_the_controls(tiny_llama):
    rows = rows_of(lengths=(9,) * 40)
    whole = means_of(counted(tiny_llama, LogitLens(), pad(rows)))
    some = counted(tiny_llama, LogitLens(control_every=4), pad(rows))
    means = means_of(some)
    chosen = np.isfinite(means["random/kl"][:, 0])
    assert 0 < chosen.sum() < 25
    for name, x in whole.items():
        kept = slice(None) if name.startswith("/") else chosen
        np.testing.assert_allclose(means[name][kept], x[kept], rtol=1e-3, atol=1e-4)
    table = some.result(lens_context(tiny_llama)).tables["layers"]
    assert {row["n_random"] for row in table.rows()} == {chosen.sum()}
    assert {row["n_texts"] for row in table.rows()} == {40}


def test_controls_that_chose_no_text_are_said_to_be_missing(tiny_llama):
    found = counted(tiny_llama, LogitLens(control_every=1_000_000), pad(rows_of()))
    result = found.result(lens_context(tiny_llama))
    assert "nothing was compared with random vectors" in [note.text for note in result.notes]
    assert result.estimates[0].control is None


def test_the_draws_of_a_text_depend_on_its_tokens_alone(tiny_llama):
    """The control of each text by hand: as many draws as published runs rest on, in order."""
    row, probe = rows_of(lengths=(12,))[0], LogitLens(every=2, controls=3)
    context = lens_context(tiny_llama)
    found = means_of(counted(tiny_llama, probe, pad([row, *rows_of(seed=1)]), context))
    digest = hashlib.sha256(np.array(row, dtype=np.int64).tobytes()).hexdigest()
    draw = context.stream(f"lens controls {digest[:16]}")
    trace = tiny_llama.run(pad([row]), read=probe.sites(tiny_llama.spec))
    states = torch.stack([trace[site][0, 1::2] for site in probe.sites(tiny_llama.spec)])
    n = states.shape[1]
    rows = np.sort(draw.permutation(n)[:3])
    noise = torch.from_numpy(draw.standard_normal((3, 3, states.shape[2]), dtype=np.float32))
    noise *= (states[:, rows].norm(dim=-1) / noise.norm(dim=-1))[..., None]
    elsewhere = (rows + draw.integers(1, n, size=3)) % n
    p = tiny_llama.unembed(states[-1][rows]).double().log_softmax(-1)
    for kind, h in (("random", noise), ("shuffled", states[:, elsewhere])):
        q = tiny_llama.unembed(h).double().log_softmax(-1)
        kl = (p.exp() * (p - q)).sum(-1).mean(-1)
        assert found[f"{kind}/kl"][0] == pytest.approx(kl.numpy(), rel=1e-3)
