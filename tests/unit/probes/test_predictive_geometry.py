"""The Fisher metric of predictions in closed form, and spaces that are shared or are not."""

from dataclasses import replace

import pytest
import torch

from probes.predictive_geometry import PredictiveGeometry, alignment, fisher
from workbench.errors import WorkbenchError
from workbench.methods.contracts import Context, Example
from workbench.model.tiny import tiny_model


def test_two_tokens_have_one_direction_and_equal_ones_all_but_one():
    move = torch.tensor([0.01, -0.02], dtype=torch.double)
    found = fisher(torch.tensor([0.8, 0.2]).double(), torch.eye(2), move)
    assert found["trace"] == pytest.approx(2 * 0.16, rel=1e-6)
    assert found["top"] == pytest.approx(2 * 0.16, rel=1e-6)
    assert found["effective_rank"] == pytest.approx(1, rel=1e-6)
    n = 7
    even = fisher(torch.full((n,), 1 / n).double(), torch.eye(n), torch.full((n,), 0.01).double())
    assert even["trace"] == pytest.approx((n - 1) / n, rel=1e-5)
    assert even["top"] == pytest.approx(1 / n, rel=1e-5)
    assert even["effective_rank"] == pytest.approx(n - 1, rel=1e-5)


@pytest.mark.parametrize(("step", "within"), [(0.01, 0.002), (5.0, None)])
def test_kl_of_a_small_step_is_the_quadratic_form(step, within):
    generator = torch.Generator().manual_seed(0)
    weight = 0.2 * torch.randn(24, 300, generator=generator)
    h, move = torch.randn(2, 24, generator=generator).double()
    p = (h @ weight.double()).softmax(dim=0)
    move = move * step / move.norm()
    found = fisher(p, weight, move)["ratio"]
    moved = ((h + move) @ weight.double()).log_softmax(dim=0)
    whole = (p * (p.log() - moved)).sum()
    g = (weight.double() * p) @ weight.double().T
    g -= torch.outer(weight.double() @ p, weight.double() @ p)
    assert found == pytest.approx(float(2 * whole / (move @ g @ move)), rel=1e-3)
    assert within is None or abs(found - 1) < within
    assert within is not None or abs(found - 1) > 0.05


def test_identical_matrices_align_and_random_ones_do_by_chance():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 60, 20, generator=generator).double()
    assert float(alignment(x, 3 * x[0] + 5, 4)) == pytest.approx(1)
    other = torch.randn(200, 60, 30, generator=generator).double()
    found = torch.stack([alignment(x, one, 4)[0] for one in other])
    assert float(found.mean()) == pytest.approx(4 / 59, abs=0.01)


def test_the_quadratic_form_holds_on_a_model_and_a_soft_cap_is_refused():
    examples = [Example(text="the king saw the queen and ran", number=0)]
    probe = PredictiveGeometry(rank=2)
    for family in ("gpt2", "gpt_neox"):
        model = tiny_model(family)
        trace = model.run([e.text for e in examples], read=probe.sites(model.spec))
        found = probe.measure(trace, examples, Context.of(model)).values
        assert float(found["ratio"].nanmean()) == pytest.approx(1, abs=0.002)
        assert float(found["chance"][0]) == pytest.approx(2 / (len(trace.tokens.row(0)) - 2))
    capped = replace(
        Context.of(model), model=None, unembed=lambda h, **how: torch.tanh(model.unembed(h, **how))
    )
    with pytest.raises(WorkbenchError, match="linear"):
        probe.measure(trace, examples, capped)
