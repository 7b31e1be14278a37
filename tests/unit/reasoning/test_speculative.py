"""Speculative decoding writes what plain generation writes, in fewer calls."""

import pytest
import torch

from reasoning.drafts import ModelDraft, TrigramTree
from reasoning.policy_speculative import Draft, Speculative
from workbench.errors import BadOption, Unsupported
from workbench.model.edits import Edit, Op
from workbench.model.fewer_layers import with_layers
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Sampling
from workbench.model.sites import Site
from workbench.model.tiny import tiny_model
from workbench.model.tokens import pad

PROMPTS = ([5, 9, 11], [7], [3, 4, 5, 6, 8, 3, 4, 5])
FREE = GenerationOptions(stop_ids=(), keep_logprobs=True, seeds=3)
SAMPLED = Sampling(temperature=0.9, top_p=0.95)


def drafts(name: str, model: Model) -> Draft:
    other = tiny_model(model.spec.name.split(":")[1], seed=5)
    known: dict[str, Draft] = {
        "exit": ModelDraft(layers=2),
        "second": ModelDraft(model=other),
        "tree": TrigramTree(drafts=4, iterations=20),
    }
    return known[name]


@pytest.mark.parametrize(
    ("tiny", "name"),
    [("gpt2", "tree"), ("gpt_neox", "exit"), ("llama", "second"), ("gemma2", "exit")],
    indirect=["tiny"],
)
def test_greedy_text_is_that_of_plain_generation(tiny: Model, name: str) -> None:
    plain = tiny.generate(pad(PROMPTS), limit=20, options=FREE)
    policy = Speculative(draft=drafts(name, tiny), length=3)
    found = tiny.generate(pad(PROMPTS), limit=20, policy=policy, options=FREE)
    assert found.generated == plain.generated
    assert found.ended == plain.ended == ("limit",) * 3
    for got, wanted in zip(found.logprobs, plain.logprobs, strict=True):
        assert got == pytest.approx(wanted, abs=1e-4)
    assert torch.equal(found.tokens.ids, plain.tokens.ids)
    assert len(found.records) <= 60


def test_trees_draw_the_tokens_of_plain_sampling(tiny_llama: Model) -> None:
    plain = tiny_llama.generate(pad(PROMPTS), limit=30, policy=SAMPLED, options=FREE)
    policy = Speculative(draft=TrigramTree(), base=SAMPLED)
    found = tiny_llama.generate(pad(PROMPTS), limit=30, policy=policy, options=FREE)
    assert found.generated == plain.generated


@pytest.mark.parametrize("paths", [1, 3])
def test_the_model_as_its_own_draft_is_always_accepted(tiny_llama: Model, paths: int) -> None:
    """Only if every probability of a draft stands beside the model's own of the same token."""
    draft = ModelDraft(model=tiny_llama, paths=paths)
    policy = Speculative(draft=draft, base=Sampling(), length=4)
    found = tiny_llama.generate(pad(PROMPTS), limit=20, policy=policy, options=FREE)
    assert [record.record.accepted for record in found.records] == [4] * 12
    replay = tiny_llama.run(pad([[*PROMPTS[2], *found.generated[2]]]), logits="all")
    assert replay.logits is not None
    logp = replay.logits[0].log_softmax(dim=-1)
    for at, (token, told) in enumerate(
        zip(found.generated[2], found.logprobs[2], strict=True), start=len(PROMPTS[2]) - 1
    ):
        assert logp[at, token].item() == pytest.approx(told, abs=1e-4)


def test_paths_that_part_leave_the_cache_of_the_one_that_was_kept(tiny_llama: Model) -> None:
    draft = ModelDraft(model=tiny_model("llama", seed=5), paths=3)
    policy = Speculative(draft=draft, base=Sampling(temperature=2.0), length=3)
    found = tiny_llama.generate(pad(PROMPTS), limit=40, policy=policy, options=FREE)
    assert {record.record.path for record in found.records} > {0}
    replay = tiny_llama.run(pad([[*PROMPTS[0], *found.generated[0]]]), logits="all")
    assert replay.logits is not None
    told = replay.logits[0, 2:-1].log_softmax(dim=-1)
    wanted = told.gather(1, torch.tensor(found.generated[0])[:, None])[:, 0]
    assert found.logprobs[0] == pytest.approx(wanted.tolist(), abs=1e-4)


def test_a_stop_token_and_a_full_context_end_a_text(tiny_llama: Model) -> None:
    plain = tiny_llama.generate(pad(PROMPTS), limit=24, options=FREE)
    stop = plain.generated[0][4]
    options = GenerationOptions(stop_ids=(stop,))
    policy = Speculative(draft=ModelDraft(model=tiny_llama))
    for chosen in (GREEDY, policy):
        found = tiny_llama.generate(pad(PROMPTS[:1]), limit=24, policy=chosen, options=options)
        assert found.generated[0] == plain.generated[0][: plain.generated[0].index(stop) + 1]
        assert found.ended == ("stop",)
    long = pad([[5, 6, 7] * 83 + [5]])
    wanted = tiny_llama.generate(long, limit=20, options=FREE)
    found = tiny_llama.generate(long, limit=20, policy=policy, options=FREE)
    assert (found.generated, found.ended) == (wanted.generated, wanted.ended)
    assert found.ended == ("context",)


def test_no_drafts_are_plain_generation_to_the_bit(tiny_llama: Model) -> None:
    policy = Speculative(draft=TrigramTree(), base=SAMPLED, length=0)
    a, b = (
        tiny_llama.generate(pad(PROMPTS), limit=9, policy=one, options=FREE)
        for one in (SAMPLED, policy)
    )
    assert (a.generated, a.logprobs) == (b.generated, b.logprobs)


def test_what_cannot_be_done_is_refused(tiny_llama: Model) -> None:
    policy = Speculative(draft=TrigramTree())
    edit = Edit(site=Site.parse("mlp_out.1"), op=Op.SCALE, value=0.5)
    with pytest.raises(Unsupported, match=r"model\.run"):
        tiny_llama.generate(pad(PROMPTS), policy=policy, edits=[edit], read=["resid_post.0"])
    for build in (
        lambda: Speculative(draft=TrigramTree(), length=-1),
        lambda: TrigramTree(drafts=0),
        lambda: ModelDraft(),
        lambda: ModelDraft(layers=1, paths=0),
        lambda: with_layers(tiny_llama, [1, 2]),
    ):
        with pytest.raises(BadOption):
            build()
