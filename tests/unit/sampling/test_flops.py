"""Operations counted by formula are those that a profiler counts."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from workbench.model.tiny import tiny_model, tiny_module
from workbench.sampling.flops import Size, generation_cost


def _profiled(module, call) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return counter.get_total_flops()


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
def test_a_pass_costs_what_the_profiler_says(family: str) -> None:
    module, spec = tiny_module(family), tiny_model(family).spec
    module.set_attn_implementation("eager")
    size = Size.of(module, spec)
    ids = torch.arange(4, 15)[None]
    every = _profiled(module, lambda: module(input_ids=ids))
    last = _profiled(module, lambda: module(input_ids=ids, logits_to_keep=1))
    found = size.run(11, heads=11)
    # The rotary angles are a product of the profiler's, of one frequency and one position.
    assert found.every_position == pytest.approx(every, rel=2e-3)
    assert found.last_position == pytest.approx(last, rel=2e-3)
    assert found.n_tokens == 11


def test_a_cached_step_costs_what_the_profiler_says() -> None:
    module, spec = tiny_module("llama"), tiny_model("llama").spec
    module.set_attn_implementation("eager")
    size = Size.of(module, spec)
    with torch.no_grad():
        cache = module(input_ids=torch.arange(4, 15)[None], use_cache=True).past_key_values
    one = torch.tensor([[5]])
    counted = _profiled(module, lambda: module(input_ids=one, past_key_values=cache))
    assert size.write(1, before=11).last_position == pytest.approx(counted, rel=2e-3)


def test_tokens_written_one_by_one_add_up() -> None:
    size = Size(per_token=10.0, per_pair=1.0, head=100.0)
    costs = generation_cost(size, prompt=3, written=3)
    assert costs["prefill"].last_position == 30 + 9 + 100
    assert costs["prefill"].every_position == 30 + 9 + 300
    assert costs["reasoning"].last_position == 2 * 110 + 4 + 5
    assert (costs["prefill"] + costs["reasoning"]).n_tokens == 5
