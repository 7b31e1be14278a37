"""The logit lens against brute force, closed forms and the model's own loss."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from probes.lens.metrics import LensMath, untranslated
from probes.lens.target import METRICS
from probes.logit_lens import LogitLens
from workbench.errors import InputError, TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit_state import PerUnitAccumulator
from workbench.model.sites import Site
from workbench.model.tokens import pad
from workbench.result.grid import grids_of

TEXTS = ["one two three four five six", "seven eight nine", "ten two one"]


def _context(model, **more):
    return Context(
        spec=model.spec, unembed=model.unembed, decode=model.decode, resamples=100, **more
    )


def _counted(model, probe, tokens, context=None):
    context = context or _context(model)
    accumulator = PerUnitAccumulator(probe, context)
    _add(accumulator, model, tokens)
    return accumulator


def _add(accumulator, model, tokens):
    trace = model.run(tokens, read=accumulator.probe.sites(model.spec))
    accumulator.add(trace, [Example(text="x", number=i) for i in range(len(tokens.lengths))])


def _means(accumulator):
    """The means of every text, by kind and metric."""
    state = accumulator.state()
    return {
        name.removeprefix("sum/").removesuffix("/layer"): np.where(
            state[name.replace("sum/", "count/", 1)] > 0, x, np.nan
        )
        for name, x in state.items()
        if name.startswith("sum/") and name.endswith("/layer")
    }


def _assert_near(found, expected, **tolerance):
    assert found.keys() == expected.keys()
    for name, x in expected.items():
        np.testing.assert_allclose(found[name], x, err_msg=name, **tolerance)


def _rows(seed=0, lengths=(9, 6, 12)):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(4, 60, (n,), generator=generator).tolist() for n in lengths]


def _brute(model, row, site):
    """Every metric at every position but the first, in float64 with full distributions."""
    trace = model.run(pad([row]), read=[site, "resid_post.-1"])
    p = model.unembed(trace["resid_post.-1"])[0].double().log_softmax(-1)
    q = model.unembed(trace[site])[0].double().log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1)
    agreement = (p.argmax(-1) == q.argmax(-1)).double()
    entropy = -(q.exp() * q).sum(-1)
    following = torch.tensor(row[1:])
    at_next = q[:-1].gather(-1, following[:, None])
    rank = (q[:-1] > at_next).sum(-1) + 1
    return {
        "kl": kl[1:].mean().item(),
        "agreement": agreement[1:].mean().item(),
        "entropy": entropy[1:].mean().item(),
        "nll": -at_next[1:].mean().item(),
        "rank": rank[1:].double().log().mean().exp().item(),
    }


def test_every_metric_equals_brute_force(tiny):
    row = _rows()[0]
    table = _counted(tiny, LogitLens(every=1), pad([row])).result(_context(tiny)).tables["layers"]
    for cells in table.rows():
        expected = _brute(tiny, row, cells["site"])
        for name, value in expected.items():
            assert cells[name] == pytest.approx(value, rel=2e-4, abs=2e-5), (cells["site"], name)


def test_the_last_layer_is_the_model_itself(tiny):
    rows = _rows()
    found = _counted(tiny, LogitLens(every=1, skip_first=False), pad(rows)).result(_context(tiny))
    last = found.tables["layers"].rows()[-1]
    assert last["kl"] == 0.0
    assert last["agreement"] == 1.0
    losses = []
    for row in rows:
        logits = tiny.run(pad([row]), logits="all").logits[0]
        losses.append(torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(row[1:])).item())
    assert last["nll"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_uniform_states_have_the_entropy_of_the_vocabulary():
    math_ = LensMath(unembed=lambda h: h, translate=lambda _, h: h, d_vocab=8, budget=10**6)
    flat, sharp = torch.zeros(1, 8), torch.tensor([[3.0] + [0.0] * 7])
    found = math_.compare([flat, sharp], sharp, torch.tensor([0]))
    values = {name: found[name][:, 0] for name in METRICS}
    z = math.exp(3) + 7
    p = [math.exp(3) / z, *[1 / z] * 7]
    entropy = -sum(x * math.log(x) for x in p)
    assert values["entropy"][0] == pytest.approx(math.log(8), rel=1e-6)
    assert values["kl"][0] == pytest.approx(math.log(8) - entropy, rel=1e-6)
    assert values["nll"][1] == pytest.approx(-math.log(p[0]), rel=1e-6)
    assert values["kl"][1] == 0.0
    assert values["probability"][0] == pytest.approx(1 / 8, rel=1e-6)
    assert values["rank"][0] == 0.0


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
def test_products_of_any_size_give_the_same_numbers(rows):
    """Sites that share a product, and columns that share a target, do not mix."""
    generator = torch.Generator().manual_seed(0)
    states, final = (torch.randn(*shape, 9, generator=generator) for shape in ((4, 11), (6,)))
    target = torch.randint(0, 6, (11,), generator=generator)
    following = torch.tensor([3, -1, 0, 8, 2, 5])
    lens = LensMath(
        unembed=lambda h: h, translate=lambda i, h: h * (i + 1), d_vocab=9, budget=3 * 9 * rows
    )
    assert lens.rows_at_once == rows
    found = lens.compare(states, final, following, target=target, named=torch.tensor([2, 5]))
    p = final.double().log_softmax(-1)
    for site in range(4):
        for column in range(11):
            z, at = (states[site, column] * (site + 1)).double(), int(target[column])
            q, after = z.log_softmax(-1), int(following[at])
            kl = (p[at].exp() * (p[at] - q)).sum()
            assert float(found["kl"][site, column]) == pytest.approx(float(kl), rel=1e-4, abs=1e-6)
            same = q.argmax() == p[at].argmax()
            assert found["agreement"][site, column] == float(same)
            if after >= 0:
                rank = math.log(1 + int((q > q[after]).sum()))
                assert float(found["rank"][site, column]) == pytest.approx(rank, rel=1e-6)
                assert float(found["nll"][site, column]) == pytest.approx(
                    -float(q[after]), rel=1e-5
                )
            else:
                assert math.isnan(found["nll"][site, column])
            assert found.best[site, column] == (q.argmax() if column in (2, 5) else -1)


def test_little_memory_does_not_change_the_numbers(tiny_llama):
    rows, probe = _rows(), LogitLens(every=1, memory=1)
    whole = _means(_counted(tiny_llama, LogitLens(every=1), pad(rows)))
    context = _context(tiny_llama)
    wide = replace(context, spec=replace(context.spec, d_vocab=(1 << 18) // 3 // 2))
    assert LensMath.of(wide, untranslated, memory=1).rows_at_once == 2
    _assert_near(_means(_counted(tiny_llama, probe, pad(rows), wide)), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_equals_single_texts(tiny_llama, side):
    rows = _rows()
    probe = LogitLens(every=1)
    batch = _means(_counted(tiny_llama, probe, pad(rows, side=side)))
    alone = [_means(_counted(tiny_llama, probe, pad([row]))) for row in rows]
    expected = {name: np.concatenate([one[name] for one in alone]) for name in batch}
    _assert_near(batch, expected, rtol=1e-3, atol=1e-4)


def test_halves_merge_to_the_whole_and_a_state_restores(tiny_llama):
    rows = _rows(lengths=(7, 5, 7, 9))
    probe = LogitLens(every=2)
    whole = _counted(tiny_llama, probe, pad(rows[:2]))
    _add(whole, tiny_llama, pad(rows[2:]))
    left = _counted(tiny_llama, probe, pad(rows[:2]))
    left.merge(_counted(tiny_llama, probe, pad(rows[2:])).state())
    again = PerUnitAccumulator(probe, _context(tiny_llama))
    again.merge(left.state())
    for name, array in whole.state().items():
        assert np.array_equal(array, again.state()[name], equal_nan=True), name
    context = _context(tiny_llama)
    assert whole.result(context).equals(again.result(context))


def test_controls_are_no_better_than_chance(tiny_llama):
    rows = _rows(lengths=(40,) * 8)
    found = _counted(tiny_llama, LogitLens(every=1, controls=40), pad(rows))
    last = found.result(_context(tiny_llama)).tables["layers"].rows()[-1]
    assert last["agreement"] == 1.0
    assert last["agreement_random"] < 0.1
    assert last["agreement_shuffled"] < 0.3
    assert last["kl_random"] > 0.5


@pytest.mark.parametrize(
    ("options", "length", "expected"),
    [
        ({"every": 3}, 9, [1, 4, 7]),
        ({"every": 3, "skip_first": False}, 9, [0, 3, 6]),
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
    found = probe.measure(trace, examples, _context(tiny_llama)).values["kl"][0, 0]
    read = np.flatnonzero(np.isfinite(found[tokens.mask[0].numpy()]))
    assert read.tolist() == expected
    assert np.isnan(found[~tokens.mask[0].numpy()]).all()


def test_the_last_position_has_no_next_token(tiny_llama):
    found = _counted(tiny_llama, LogitLens(positions="last"), pad(_rows()))
    row = found.result(_context(tiny_llama)).tables["layers"].rows()[0]
    assert row["nll"] is None
    assert row["rank"] is None
    assert row["kl"] > 0


def test_short_texts_are_counted_out_loud(tiny_llama):
    result = _counted(tiny_llama, LogitLens(), pad([[5], [6, 7, 8]])).result(_context(tiny_llama))
    assert "1 text too short" in next(n for n in result.notes if n.code == "short").text
    assert result.tables["layers"]["n_texts"].iloc[0] == 1
    with pytest.raises(TooLittleData):
        _counted(tiny_llama, LogitLens(), pad([[5], [6]])).result(_context(tiny_llama))


def test_the_embedding_is_layer_minus_one(tiny_llama):
    table = (
        _counted(tiny_llama, LogitLens(embedding=True), pad(_rows()))
        .result(_context(tiny_llama))
        .tables["layers"]
    )
    assert table["layer"].tolist() == [-1, 0, 1, 2]


def test_the_shown_text_holds_every_layer_and_token(tiny_llama):
    rows = _rows()
    result = _counted(tiny_llama, LogitLens(shown=4), pad(rows)).result(_context(tiny_llama))
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
    (grid,) = grids_of(_counted(tiny_llama, probe, pad(_rows())).result(_context(tiny_llama)))
    assert len(grid.tokens) == 9
    for name in ("kl", "entropy", "agreement", "probability"):
        assert np.isfinite(grid.map(name)).all(), name
    assert np.isfinite(grid.map("rank")[:, :-1]).all()
    assert all(all(row) for row in grid.words["prediction"])


def test_a_lens_without_a_model_is_refused(tiny_llama):
    with pytest.raises(InputError, match="needs a model"):
        _counted(tiny_llama, LogitLens(), pad(_rows()), Context())


def test_sites_are_whole_layers(tiny_llama):
    assert LogitLens().sites(tiny_llama.spec)[-1] == Site.parse("resid_post.2")


def test_one_text_in_many_is_compared_with_the_controls(tiny_llama):
    rows = _rows(lengths=(9,) * 40)
    whole = _means(_counted(tiny_llama, LogitLens(), pad(rows)))
    some = _counted(tiny_llama, LogitLens(control_every=4), pad(rows))
    means = _means(some)
    chosen = np.isfinite(means["random/kl"][:, 0])
    assert 0 < chosen.sum() < 25
    for name, x in whole.items():
        kept = slice(None) if name.startswith("/") else chosen
        np.testing.assert_allclose(means[name][kept], x[kept], rtol=1e-3, atol=1e-4)
    table = some.result(_context(tiny_llama)).tables["layers"]
    assert {row["n_random"] for row in table.rows()} == {chosen.sum()}
    assert {row["n_texts"] for row in table.rows()} == {40}


def test_controls_that_chose_no_text_are_said_to_be_missing(tiny_llama):
    found = _counted(tiny_llama, LogitLens(control_every=1_000_000), pad(_rows()))
    result = found.result(_context(tiny_llama))
    assert "nothing was compared with random vectors" in [note.text for note in result.notes]
    assert result.estimates[0].control is None


def test_the_draws_of_a_text_depend_on_its_tokens_alone(tiny_llama):
    """The control of each text by hand: as many draws as published runs rest on, in order."""
    row, probe = _rows()[0], LogitLens(every=2, controls=3)
    context = _context(tiny_llama)
    found = _means(_counted(tiny_llama, probe, pad([row, *_rows(seed=1)]), context))
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
