"""The kernel of a step and the bands of rotary positions: off-switches and closed forms."""

import numpy as np
import pytest
import torch

from probes.rotary_bands import RotaryBands, band_weights, rotary_pairs
from probes.step_kernel import StepKernel, same_pairs, spread
from workbench.errors import Unsupported
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.model.tiny import tiny_model
from workbench.result.result import Result
from workbench.runs.counting import count_texts
from workbench.runs.spec import RunSpec

TEXTS = ("the cat sat . the red dog ran to paris", "a king saw the blue bird")


def run(model: Model, probe: object) -> Result:
    rows = [Example(text=text, number=i) for i, text in enumerate(TEXTS)]
    return count_texts(probe, RunSpec(name="any"), rows, model, Context.of(model)).result


def test_a_greedy_step_is_a_function(tiny_llama: Model) -> None:
    found = run(tiny_llama, StepKernel(temperature=0.0))
    assert found.estimate("spread").value == pytest.approx(0, abs=1e-12)
    assert found.estimate("same").value == 1
    assert found.estimate("spread").control > 0.1
    assert run(tiny_llama, StepKernel()).estimate("spread").value > 0.1


def test_spread_is_that_of_all_pairs() -> None:
    states = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    rows = states[:, [0, 0, 1, 2, 2, 2]].double()
    unit = torch.nn.functional.normalize(rows, dim=-1)
    cosine = unit @ unit.transpose(1, 2)
    pairs = ~torch.eye(6, dtype=torch.bool)
    expected = 1 - cosine[:, pairs].mean(dim=1)
    assert spread(states, torch.tensor([2, 1, 3])).tolist() == pytest.approx(expected.tolist())
    assert float(same_pairs(np.array([1, 1, 2, 3, 3, 3]))) == pytest.approx(8 / 30)


def test_bands_that_are_kept_change_no_bit(tiny_llama: Model) -> None:
    assert run(tiny_llama, RotaryBands(off=True)).estimate("kl").value == 0
    found = run(tiny_llama, RotaryBands())
    assert found.estimate("kl").value > 0


def test_a_query_in_one_band_weighs_there_alone() -> None:
    q, k = torch.zeros(5, 4, 8), torch.ones(5, 2, 8)
    q[..., [1, 5]] = 3.0
    bands = np.array_split(np.arange(4), 4)
    assert band_weights(q, k, 4, bands).tolist() == [0, 1, 0, 0]
    assert band_weights(k, k, 4, bands).tolist() == pytest.approx([0.25] * 4)


def test_pairs_are_those_of_the_architecture() -> None:
    assert rotary_pairs(tiny_model("llama")) == tiny_model("llama").spec.d_head // 2
    assert 0 < rotary_pairs(tiny_model("gpt_neox")) <= tiny_model("gpt_neox").spec.d_head // 2
    with pytest.raises(Unsupported, match="no rotary positions"):
        rotary_pairs(tiny_model("gpt2"))
