"""The logit lens against brute force, closed forms and the model's own loss."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from probes.lens.metrics import LensMath, untranslated
from probes.lens.target import METRICS
from probes.logit_lens import LogitLens
from tests.unit.probes.counting_lens import add, counted, lens_context, means_of, rows_of
from workbench.methods.per_unit_state import PerUnitAccumulator
from workbench.model.tokens import pad

TEXTS = ["one two three four five six", "seven eight nine", "ten two one"]


def _assert_near(found, expected, **tolerance):
    assert found.keys() == expected.keys()
    for name, x in expected.items():
        np.testing.assert_allclose(found[name], x, err_msg=name, **tolerance)


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
    row = rows_of()[0]
    table = (
        counted(tiny, LogitLens(every=1), pad([row])).result(lens_context(tiny)).tables["layers"]
    )
    for cells in table.rows():
        expected = _brute(tiny, row, cells["site"])
        for name, value in expected.items():
            assert cells[name] == pytest.approx(value, rel=2e-4, abs=2e-5), (cells["site"], name)


def test_the_last_layer_is_the_model_itself(tiny):
    rows = rows_of()
    found = counted(tiny, LogitLens(every=1, skip_first=False), pad(rows)).result(
        lens_context(tiny)
    )
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
    rows, probe = rows_of(), LogitLens(every=1, memory=1)
    whole = means_of(counted(tiny_llama, LogitLens(every=1), pad(rows)))
    context = lens_context(tiny_llama)
    wide = replace(context, spec=replace(context.spec, d_vocab=(1 << 18) // 3 // 2))
    assert LensMath.of(wide, untranslated, memory=1).rows_at_once == 2
    _assert_near(means_of(counted(tiny_llama, probe, pad(rows), wide)), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_equals_single_texts(tiny_llama, side):
    rows = rows_of()
    probe = LogitLens(every=1)
    batch = means_of(counted(tiny_llama, probe, pad(rows, side=side)))
    alone = [means_of(counted(tiny_llama, probe, pad([row]))) for row in rows]
    expected = {name: np.concatenate([one[name] for one in alone]) for name in batch}
    _assert_near(batch, expected, rtol=1e-3, atol=1e-4)


def test_halves_merge_to_the_whole_and_a_state_restores(tiny_llama):
    rows = rows_of(lengths=(7, 5, 7, 9))
    probe = LogitLens(every=2)
    whole = counted(tiny_llama, probe, pad(rows[:2]))
    add(whole, tiny_llama, pad(rows[2:]))
    left = counted(tiny_llama, probe, pad(rows[:2]))
    left.merge(counted(tiny_llama, probe, pad(rows[2:])).state())
    again = PerUnitAccumulator(probe, lens_context(tiny_llama))
    again.merge(left.state())
    for name, array in whole.state().items():
        assert np.array_equal(array, again.state()[name], equal_nan=True), name
    context = lens_context(tiny_llama)
    assert whole.result(context).equals(again.result(context))
