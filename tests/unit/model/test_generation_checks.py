"""The capabilities that generation builds on are found where they are and missed where not."""

import pytest
import torch

from tests.unit.model.rare_models import LONG_WINDOW, TEXT, alone, rare_model
from workbench.model.capabilities import verdict
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.narrow_windows import narrowed, smallest_window
from workbench.model.tiny import tiny_model
from workbench.model.tokens import pad

CAPABILITIES = ("padding left", "padding right", "cache", "shared prefix")


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_ordinary_models_have_every_capability(tiny: Model, capability: str) -> None:
    found = verdict(tiny, capability)
    assert found.works, found.reason
    assert found.largest is not None
    assert found.largest < 1e-5


@pytest.mark.parametrize(
    ("kind", "capability"),
    [
        ("minimax", "padding left"),
        ("gptj", "shared prefix"),
        ("jamba", "cache, several tokens at once"),
        pytest.param("recurrent_gemma", "cache", marks=pytest.mark.slow),
        pytest.param("diffllama", "shared prefix", marks=pytest.mark.slow),
        pytest.param("deepseek_v3", "shared prefix", marks=pytest.mark.slow),
    ],
)
def test_what_a_model_does_not_do_is_missed_with_a_reason(kind: str, capability: str) -> None:
    found = verdict(rare_model(kind), capability)
    assert not found.works
    assert found.reason
    assert "ended in" not in found.reason


def test_a_window_too_long_to_fill_is_tried_on_a_copy_with_a_short_one() -> None:
    model = rare_model("qwen2")
    module = model.backend.module
    assert smallest_window(module) == LONG_WINDOW
    copy = narrowed(model)
    assert smallest_window(copy.backend.module) == 8
    assert smallest_window(module) == LONG_WINDOW
    ids = TEXT[:12]
    gap = alone(copy, ids) - alone(model, ids)
    assert torch.equal(gap[:8], torch.zeros_like(gap[:8]))
    assert float(gap[-1].abs().max()) > 1e-3
    assert all(verdict(model, capability).works for capability in CAPABILITIES)


def test_a_plain_run_checks_nothing_and_a_step_costs_one_pass() -> None:
    model = tiny_model("llama")
    model.run(pad([TEXT, TEXT[::-1]]), logits="last")
    assert model.verdicts == {}
    model.generate(pad([TEXT]), limit=2)
    passes = []
    with model.backend.module.register_forward_hook(lambda *_: passes.append(1)):
        model.generate(pad([TEXT]), limit=4, options=GenerationOptions(stop_ids=()))
    assert len(passes) == 4
