"""Layers and blocks left out while generating are those that the same edits silence."""

from itertools import pairwise

import pytest
import torch

from reasoning.policy_skipping import FeedForwardSkipping, SkipDecode
from workbench.errors import BadOption
from workbench.model.edits import Edit, Op
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Policy
from workbench.model.sites import Kind, Site
from workbench.model.skipping import FeedForwardSkips, with_skips
from workbench.model.tokens import pad

PROMPTS = ([5, 9, 11], [7], [3, 4, 5, 6, 8, 3, 4, 5])
FREE = GenerationOptions(stop_ids=(), keep_logprobs=True)
STEPS = 6


def replayed(
    model: Model, row: int, written: tuple[int, ...], runs: dict[Kind, list[list[int]]]
) -> list[int]:
    """Return the greedy tokens when each layer runs only at the new tokens named for it."""
    prompt = PROMPTS[row]
    text = pad([[*prompt, *written[:-1]]])
    edits = []
    for kind, layers in runs.items():
        for layer, steps in enumerate(layers):
            on = torch.zeros(1, text.ids.shape[1], 1)
            on[:, : len(prompt)] = 1
            on[:, [len(prompt) - 1 + t for t in steps if t < len(written)]] = 1
            edits.append(Edit(site=Site(kind, layer), op=Op.SCALE, value=on))
    logits = model.run(text, edits=edits, logits="all").logits
    assert logits is not None
    return logits[0, len(prompt) - 1 :].argmax(dim=-1).tolist()


@pytest.mark.parametrize("tiny", ["llama", "gpt_neox"], indirect=True)
def test_a_falling_schedule_runs_the_layers_it_names(tiny: Model) -> None:
    policy = SkipDecode(least=0.34, horizon=5)
    sets = [set(policy.layers(t, 3)) for t in range(STEPS + 1)]
    assert all(later <= sooner for sooner, later in pairwise(sets))
    assert sets[1] == {0, 1, 2}
    assert sets[-1] == {0}
    found = tiny.generate(pad(PROMPTS), limit=STEPS, policy=policy, options=FREE)
    steps = [[t for t in range(1, STEPS + 1) if layer in sets[t]] for layer in range(3)]
    for row, written in enumerate(found.generated):
        both = {Kind.ATTN_OUT: steps, Kind.MLP_OUT: steps}
        assert replayed(tiny, row, written, both) == list(written)
    assert found.generated != tiny.generate(pad(PROMPTS), limit=STEPS, options=FREE).generated


@pytest.mark.parametrize(
    ("tiny", "span", "cold", "off"),
    [("gpt2", 1, 0, {1}), ("llama", 2, 0, {1, 2}), ("llama", 2, 1, set())],
    indirect=["tiny"],
)
def test_blocks_above_a_saturated_one_are_left_out(
    tiny: Model, span: int, cold: int, off: set[int]
) -> None:
    """Every block counts as saturated, so the next `span` outside the cold layers are skipped."""
    policy = FeedForwardSkipping(threshold=-1.0, span=span, cold=cold, first=2)
    found = tiny.generate(pad(PROMPTS), limit=STEPS, policy=policy, options=FREE)
    every, early = list(range(1, STEPS + 1)), [1, 2]
    steps = [early if layer in off else every for layer in range(3)]
    for row, written in enumerate(found.generated):
        assert replayed(tiny, row, written, {Kind.MLP_OUT: steps}) == list(written)


def test_saturation_decides_and_skipped_blocks_are_not_computed(tiny_llama: Model) -> None:
    text = pad(PROMPTS[2:])
    trace = tiny_llama.run(text, read=["resid_post.*", "mlp_out.*"])
    after, added = trace.stack(Kind.RESID_POST), trace.stack(Kind.MLP_OUT)
    low, high = torch.cosine_similarity(after - added, after, dim=-1)[:2, 0]
    threshold = float(low.median())
    skips = FeedForwardSkips(n_layers=3, threshold=threshold, span=1, cold=0)
    with_skips(tiny_llama, skips).run(text, logits="all")
    wanted = (low >= threshold).sum() + ((low < threshold) & (high >= threshold)).sum()
    assert skips.left_out == wanted
    assert skips.run + skips.left_out == 3 * len(PROMPTS[2])


@pytest.mark.parametrize("policy", [FeedForwardSkipping(threshold=1.5), SkipDecode(least=1.0)])
def test_switched_off_they_are_plain_to_the_bit(tiny_llama: Model, policy: Policy) -> None:
    a, b = (
        tiny_llama.generate(pad(PROMPTS), limit=STEPS, policy=one, options=FREE)
        for one in (GREEDY, policy)
    )
    assert (a.generated, a.logprobs) == (b.generated, b.logprobs)


def test_settings_out_of_bounds_are_refused() -> None:
    for build in (
        lambda: FeedForwardSkipping(span=0),
        lambda: SkipDecode(least=0.9, most=0.5),
        lambda: SkipDecode(warm_up=0),
    ):
        with pytest.raises(BadOption):
            build()
