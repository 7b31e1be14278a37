"""Saturation, early exit and smoothness: closed forms, off-switches and schedules."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from probes.early_exit import EarlyExit, exit_depth
from probes.ffn_saturation import FfnSaturation
from probes.planted import made_up_spec
from probes.smoothness import smoothness
from workbench.methods.contracts import Context, Example
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import pad
from workbench.model.trace import Trace
from workbench.result.result import Result
from workbench.runs.counting import count_texts
from workbench.runs.spec import RunSpec

TEXTS = ("the cat sat . the red dog ran to paris and saw the king", "a king saw the blue bird")


def run(model: Model, probe: object, texts: tuple[str, ...] = TEXTS) -> Result:
    rows = [Example(text=text, number=i) for i, text in enumerate(texts)]
    return count_texts(probe, RunSpec(name="any"), rows, model, Context.of(model)).result


def test_a_threshold_above_one_skips_nothing(tiny_llama: Model) -> None:
    result = run(tiny_llama, FfnSaturation(threshold=1.5, cold=0, first=0, alone=False))
    assert result.estimate("kl").value == 0
    assert result.estimate("agreement").value == 1
    assert result.estimate("skipped").value == 0
    assert "no block was skipped" in result.summary


def test_skipping_is_the_plain_model_without_those_blocks(tiny_llama: Model) -> None:
    result = run(tiny_llama, FfnSaturation(cold=0, first=0), TEXTS[:1])
    plain = tiny_llama.run(TEXTS[0], logits="all").logits[0].double().log_softmax(-1)
    for layer in range(tiny_llama.spec.n_layers):
        edit = Edit(site=Site(Kind.MLP_OUT, layer), op=Op.ABLATE)
        other = tiny_llama.run(TEXTS[0], edits=[edit], logits="all").logits[0].double()
        kl = (plain.exp() * (plain - other.log_softmax(-1))).sum(-1).mean()
        found = result.table("layers")["kl_alone"][layer]
        assert found == pytest.approx(float(kl), rel=1e-4, abs=1e-7)


def test_no_output_saturates_and_an_orthogonal_one_as_long_does_not() -> None:
    before = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(before, dim=-1)
    added = torch.randn(before.shape, generator=torch.Generator().manual_seed(1))
    added -= (added * unit).sum(-1, keepdim=True) * unit
    added *= before.norm(dim=-1, keepdim=True) / added.norm(dim=-1, keepdim=True)
    blocks = {0: torch.zeros_like(before), 1: added}
    spec = made_up_spec(2, 8)
    states = {Site(Kind.RESID_POST, k): before + x for k, x in blocks.items()}
    states |= {Site(Kind.MLP_OUT, k): x for k, x in blocks.items()}
    trace = Trace(spec=spec, tokens=pad([[1, 2, 3, 4, 5, 6]]), activations=states)
    probe = FfnSaturation(skip=False, alone=False)
    found = probe.measure(trace, [Example(text="any")], Context(spec=spec)).values["saturation"]
    assert found[0, 0].tolist() == pytest.approx([1.0] * 6)
    assert found[0, 1].tolist() == pytest.approx([0.5**0.5] * 6)


def test_saturated_blocks_are_followed_by_skipped_ones() -> None:
    saturation = torch.tensor([0.0, 0.99, 0.99, 0.99, 0.0, 0.99, 0.99])[:, None, None]
    seen = torch.ones(1, 1, dtype=torch.bool)
    one = FfnSaturation(cold=0, first=0, span=1).skips(saturation, seen).flatten().tolist()
    assert one == [False, False, True, False, True, False, True]
    two = FfnSaturation(cold=0, first=0, span=2).skips(saturation, seen).flatten().tolist()
    assert two == [False, False, True, True, False, False, True]
    cold = FfnSaturation(cold=2, first=0).skips(saturation, seen).flatten().tolist()
    assert cold == [False, False, False, True, False, False, False]
    assert not FfnSaturation(cold=0, first=1).skips(saturation, seen).any()


def test_random_skips_are_as_many(tiny_llama: Model) -> None:
    frame = run(tiny_llama, FfnSaturation(threshold=-1.0, cold=0, first=2)).table("tokens").frame
    assert frame["skipped"].tolist() == pytest.approx(frame["skipped_random"].tolist())
    assert frame["skipped"].max() > 0


def test_the_schedule_never_rises_and_is_nested() -> None:
    probe = EarlyExit(most=1.0, least=0.25, prompt=3, horizon=10)
    depths = probe.depths(torch.ones(1, 30, dtype=torch.bool), 12)
    n = depths[0].tolist()
    assert n[:4] == [12, 12, 12, 12]
    assert all(a >= b for a, b in pairwise(n))
    assert n[12:] == [3] * 18
    assert n[3 + 4] == round(12 - 9 * 4 / 9)
    runs = probe._scheduled(depths, 12)
    assert runs.sum(dim=0)[0].tolist() == n
    assert not (runs[:, :, 1:] & ~runs[:, :, :-1]).any(), "a layer that runs has all its keys"
    assert runs[0].all(), "the warm-up always runs"
    assert runs[:, 0, 29].nonzero().flatten().tolist() == [0, 10, 11], "then the top layers"


def test_all_layers_are_the_identity(tiny_llama: Model) -> None:
    result = run(tiny_llama, EarlyExit(least=1.0))
    assert result.estimate("kl").value == 0
    assert result.estimate("layers_run").value == 1
    fewer = run(tiny_llama, EarlyExit(least=0.4, prompt=0, horizon=4))
    assert fewer.estimate("kl").value > 0
    frame = fewer.table("tokens").frame
    assert frame["layers_run"].tolist() == pytest.approx(frame["layers_run_random"].tolist())


def test_exit_depth_is_where_the_choice_stays() -> None:
    tops = torch.tensor([[5, 1, 3], [2, 1, 5], [5, 1, 3], [5, 1, 3]])[:, None]
    assert exit_depth(tops, tops[-1])[0].tolist() == [3, 1, 3]
    assert exit_depth(tops, tops[-1] + 7)[0].tolist() == [4, 4, 4]


def _ar(keep: float, n: int = 400, d: int = 576) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    h = [torch.randn(d, generator=generator)]
    for _ in range(n - 1):
        step = torch.randn(d, generator=generator)
        h.append(keep * h[-1] + (1 - keep**2) ** 0.5 * step)
    return torch.stack(h)[None, None]


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_smoothness_of_planted_sequences(keep: float) -> None:
    states, seen = _ar(keep), torch.ones(1, 400, dtype=torch.bool)
    found = smoothness(states, seen)
    assert float(found["cosine"].nanmean()) == pytest.approx(keep, abs=0.01)
    curve = found["lag_curve"][0, 0]
    assert curve[:4].tolist() == pytest.approx([keep**k for k in (1, 2, 3, 4)], abs=0.03)
    shared = smoothness(states + 3.0, seen)
    assert float(shared["cosine"].nanmean()) > 0.85
    assert float(shared["adjusted"]) == pytest.approx(keep, abs=0.03)
    mixed = states[:, :, np.random.default_rng(0).permutation(400)]
    assert abs(float(smoothness(mixed, seen)["adjusted"])) < 0.02


def test_a_text_is_as_smooth_beside_a_longer_one_as_alone() -> None:
    states = torch.randn(2, 2, 12, 8, generator=torch.Generator().manual_seed(0)) + 1
    seen = torch.ones(2, 12, dtype=torch.bool)
    seen[1, 7:] = False
    both, alone = smoothness(states, seen), smoothness(states[:, 1:, :7], seen[1:, :7])
    assert both["adjusted"][1].tolist() == pytest.approx(alone["adjusted"][0].tolist())
    assert both["any_pair"][1].tolist() == pytest.approx(alone["any_pair"][0].tolist())
    assert torch.isnan(both["cosine"][1, :, 6:]).all()


def test_a_constant_sequence_is_smooth_and_short_texts_are_undefined() -> None:
    seen = torch.ones(1, 9, dtype=torch.bool)
    assert smoothness(torch.ones(1, 1, 9, 4), seen)["cosine"][0, 0, 1:8].tolist() == [1.0] * 7
    short = smoothness(torch.randn(1, 1, 3, 4), seen[:, :3])
    assert torch.isnan(short["adjusted"]).all()
