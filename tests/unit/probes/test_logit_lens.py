"""The logit lens against brute force, closed forms and the model's own loss."""

import math

import numpy as np
import pytest
import torch

from probes.lens.accumulator import Reading
from probes.lens.metrics import METRICS, LensMath
from probes.logit_lens import LogitLens
from workbench.errors import InputError, TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.model.sites import Site
from workbench.model.tokens import pad

TEXTS = ["one two three four five six", "seven eight nine", "ten two one"]


def _context(model, **more):
    return Context(
        spec=model.spec, unembed=model.unembed, decode=model.decode, resamples=100, **more
    )


def _counted(model, probe, tokens, context=None):
    context = context or _context(model)
    accumulator = probe.start(context)
    n = len(tokens.lengths)
    trace = model.run(tokens, read=probe.sites(model.spec))
    accumulator.add(trace, [Example(text=str(i)) for i in range(n)])
    return accumulator


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
    values = {name: found[:, 0, i] for i, name in enumerate(METRICS)}
    z = math.exp(3) + 7
    p = [math.exp(3) / z, *[1 / z] * 7]
    entropy = -sum(x * math.log(x) for x in p)
    assert values["entropy"][0] == pytest.approx(math.log(8), rel=1e-6)
    assert values["kl"][0] == pytest.approx(math.log(8) - entropy, rel=1e-6)
    assert values["nll"][1] == pytest.approx(-math.log(p[0]), rel=1e-6)
    assert values["kl"][1] == 0.0
    assert values["log_rank"][0] == 0.0


def test_chunks_do_not_change_the_numbers(tiny_llama):
    context = _context(tiny_llama)
    whole = LogitLens(every=1).start(context)
    assert whole.lens.rows_at_once > 100
    small = LogitLens(every=1).start(context)
    small.lens = LensMath(
        unembed=context.unembed, translate=lambda _, h: h, d_vocab=64, budget=3 * 64 * 2
    )
    assert small.lens.rows_at_once == 2
    trace = tiny_llama.run(pad(_rows()), read=LogitLens().sites(tiny_llama.spec))
    for accumulator in (whole, small):
        accumulator.add(trace, [Example(text="x")] * 3)
    assert np.allclose(whole.state()["means"], small.state()["means"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_equals_single_texts(tiny_llama, side):
    rows = _rows()
    probe = LogitLens(every=1)
    batch = _counted(tiny_llama, probe, pad(rows, side=side)).state()["means"]
    alone = [_counted(tiny_llama, probe, pad([row])).state()["means"][0] for row in rows]
    assert np.allclose(batch, np.stack(alone), rtol=1e-3, atol=1e-4, equal_nan=True)


def test_halves_merge_to_the_whole_and_a_state_restores(tiny_llama):
    rows = _rows(lengths=(7, 5, 7, 9))
    probe = LogitLens(every=2)
    whole = _counted(tiny_llama, probe, pad(rows[:2]))
    trace = tiny_llama.run(pad(rows[2:]), read=probe.sites(tiny_llama.spec))
    whole.add(trace, [Example(text="x")] * 2)
    left = _counted(tiny_llama, probe, pad(rows[:2]))
    left.merge(_counted(tiny_llama, probe, pad(rows[2:])).state())
    again = probe.start(_context(tiny_llama))
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


def test_positions_are_chosen_as_asked():
    assert Reading(every=3).of(9) == [1, 4, 7]
    assert Reading(every=3, skip_first=False).of(9) == [0, 3, 6]
    assert Reading(positions="last").of(9) == [8]
    assert Reading(positions="last").of(1) == []
    assert Reading(positions="last", skip_first=False).of(1) == [0]


def test_the_last_position_has_no_next_token(tiny_llama):
    found = _counted(tiny_llama, LogitLens(positions="last"), pad(_rows()))
    row = found.result(_context(tiny_llama)).tables["layers"].rows()[0]
    assert row["nll"] is None
    assert row["rank"] is None
    assert row["kl"] > 0
    assert row["n_tokens"] == 3


def test_short_texts_are_counted_out_loud(tiny_llama):
    result = _counted(tiny_llama, LogitLens(), pad([[5], [6, 7, 8]])).result(_context(tiny_llama))
    assert "1 texts are too short" in result.notes[0].text
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
    result = _counted(tiny_llama, LogitLens(shown=4), pad(_rows())).result(_context(tiny_llama))
    table = result.tables["tokens"].frame
    assert len(table) == 3 * 4
    assert table["probability"].between(0, 1).all()
    assert table["token"].nunique() == 4
    heat = result.views[-1]
    assert {heat.row, heat.column, heat.value, heat.text} <= set(table.columns)


def test_a_lens_without_a_model_is_refused():
    with pytest.raises(InputError, match="needs a model"):
        LogitLens().start(Context())


def test_sites_are_whole_layers(tiny_llama):
    assert LogitLens().sites(tiny_llama.spec)[-1] == Site.parse("resid_post.2")


def test_one_text_in_many_is_compared_with_the_controls(tiny_llama):
    rows = _rows(lengths=(9,) * 40)
    whole = _counted(tiny_llama, LogitLens(), pad(rows)).state()["means"]
    some = _counted(tiny_llama, LogitLens(control_every=4), pad(rows))
    means = some.state()["means"]
    np.testing.assert_allclose(means[:, 0], whole[:, 0], rtol=1e-4, atol=1e-5)
    chosen = np.isfinite(means[:, 1, 0, 0])
    assert 0 < chosen.sum() < 25
    np.testing.assert_allclose(means[chosen, 1:], whole[chosen, 1:], rtol=1e-3, atol=1e-4)
    table = some.result(_context(tiny_llama)).tables["layers"]
    assert {row["n_random"] for row in table.rows()} == {chosen.sum()}
    assert {row["n_texts"] for row in table.rows()} == {40}


def test_controls_that_chose_no_text_are_said_to_be_missing(tiny_llama):
    found = _counted(tiny_llama, LogitLens(control_every=1_000_000), pad(_rows()))
    result = found.result(_context(tiny_llama))
    assert "no text was compared with the controls" in [note.text for note in result.notes]
    assert result.estimates[0].control is None


def test_states_that_wait_are_counted_like_the_others(tiny_llama):
    rows, probe = _rows(lengths=(7, 5, 9, 6)), LogitLens(positions="last")
    whole = _counted(tiny_llama, probe, pad(rows)).state()
    accumulator = probe.start(_context(tiny_llama))
    for row in rows:
        accumulator.add(
            tiny_llama.run(pad([row]), read=probe.sites(tiny_llama.spec)), [Example(text="x")]
        )
    found = accumulator.state()
    np.testing.assert_allclose(found["means"], whole["means"], rtol=1e-3, atol=1e-4)
    assert found["n_tokens"].tolist() == [1, 1, 1, 1]
