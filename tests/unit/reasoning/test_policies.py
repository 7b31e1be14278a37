"""Contrastive search and momentum decoding against slow and obvious versions of themselves."""

import pytest
import torch
from torch import Tensor

from reasoning.policy_contrastive import ContrastiveSearch
from reasoning.policy_momentum import MomentumDecoding
from workbench.errors import BadOption
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import Policy
from workbench.model.tokens import pad

PROMPTS = ([5, 9, 11], [7], [3, 4, 5, 6, 8, 21, 30], [12, 40])
FREE = GenerationOptions(stop_ids=())


def states(model: Model, ids: list[int]) -> tuple[Tensor, Tensor]:
    """Return the final states of every position and the probabilities of the next token."""
    trace = model.run(pad([ids]), read=["final_norm"], logits="last")
    assert trace.logits is not None
    return trace["final_norm"][0], trace.logits[0, -1].softmax(dim=-1)


def slow_contrastive(
    model: Model, recipe: ContrastiveSearch, prompt: list[int], n: int
) -> list[int]:
    ids = list(prompt)
    for _ in range(n):
        h, p = states(model, ids)
        past = h[1:] if recipe.skip_first else h
        scores = {}
        for v in p.topk(recipe.k).indices.tolist():
            new = states(model, [*ids, v])[0][-1]
            cosines = [torch.cosine_similarity(new, old, dim=0).item() for old in past]
            nearest = max(cosines, default=0.0)
            scores[v] = (1 - recipe.alpha) * p[v].item() - recipe.alpha * nearest
        ids.append(max(scores, key=lambda v: scores[v]))
    return ids[len(prompt) :]


def slow_momentum(model: Model, recipe: MomentumDecoding, prompt: list[int], n: int) -> list[int]:
    """The rule as the paper words it: greedy on unseen tokens, otherwise least resistance."""
    ids = list(prompt)
    for _ in range(n):
        p = states(model, ids)[1]
        top = p.topk(recipe.k).indices.tolist()
        if top[0] not in ids:
            ids.append(top[0])
            continue
        scores = {}
        for v in top:
            ending = [*ids, v]
            lengths = [0]
            for length in range(1, min(5, len(ending)) + 1):
                places = range(len(ids) - length + 1)
                if any(ids[i : i + length] == ending[-length:] for i in places):
                    lengths.append(length)
            resistance = (0.0, *recipe.resistance)[max(lengths)]
            scores[v] = p[v].item() - recipe.alpha * resistance
        ids.append(max(scores, key=lambda v: scores[v]))
    return ids[len(prompt) :]


@pytest.mark.parametrize("tiny", ["gpt2", "llama"], indirect=True)
@pytest.mark.parametrize(
    "recipe",
    [
        ContrastiveSearch(k=4, alpha=0.6),
        ContrastiveSearch(k=7, alpha=0.3, skip_first=True),
        ContrastiveSearch(k=3, alpha=1.0),
    ],
)
def test_contrastive_equals_the_slow_version(tiny: Model, recipe: ContrastiveSearch) -> None:
    trace = tiny.generate(pad(PROMPTS), limit=5, policy=recipe, options=FREE)
    for prompt, generated in zip(PROMPTS, trace.generated, strict=True):
        assert list(generated) == slow_contrastive(tiny, recipe, prompt, 5)


@pytest.mark.parametrize("recipe", [ContrastiveSearch(alpha=0.0), ContrastiveSearch(k=1)])
def test_contrastive_without_penalty_or_choice_is_greedy(
    tiny: Model, recipe: ContrastiveSearch
) -> None:
    greedy = tiny.generate(pad(PROMPTS), limit=10, options=FREE)
    assert tiny.generate(pad(PROMPTS), limit=10, policy=recipe, options=FREE).generated == (
        greedy.generated
    )


def test_contrastive_differs_from_greedy_and_records_why(tiny_llama: Model) -> None:
    recipe = ContrastiveSearch(k=4, alpha=0.6)
    greedy = tiny_llama.generate(pad(PROMPTS), limit=10, options=FREE)
    trace = tiny_llama.generate(pad(PROMPTS), limit=10, policy=recipe, options=FREE)
    assert trace.generated != greedy.generated
    assert len(trace.records) == 10
    for step, record in enumerate(trace.records):
        for row, generated in enumerate(trace.generated):
            table = record.rows(row)
            (chosen,) = [r for r in table if r["chosen"]]
            assert chosen["token_id"] == generated[step]
            assert chosen["score"] == max(r["score"] for r in table)
            for r in table:
                assert r["score"] == pytest.approx(0.4 * r["p"] - 0.6 * r["penalty"], abs=1e-6)


@pytest.mark.parametrize("tiny", ["gpt2", "llama"], indirect=True)
@pytest.mark.parametrize("recipe", [MomentumDecoding(k=3), MomentumDecoding(k=6, alpha=0.05)])
def test_momentum_equals_the_rule_as_worded(tiny: Model, recipe: MomentumDecoding) -> None:
    trace = tiny.generate(pad(PROMPTS), limit=12, policy=recipe, options=FREE)
    for prompt, generated in zip(PROMPTS, trace.generated, strict=True):
        assert list(generated) == slow_momentum(tiny, recipe, prompt, 12)


def test_momentum_without_resistance_is_greedy_and_with_it_is_not(tiny_llama: Model) -> None:
    greedy = tiny_llama.generate(pad(PROMPTS), limit=20, options=FREE).generated
    for recipe in (MomentumDecoding(alpha=0.0), MomentumDecoding(resistance=(0.0,))):
        free = tiny_llama.generate(pad(PROMPTS), limit=20, policy=recipe, options=FREE)
        assert free.generated == greedy
    assert (
        tiny_llama.generate(
            pad(PROMPTS), limit=20, policy=MomentumDecoding(), options=FREE
        ).generated
        != greedy
    )


@pytest.mark.parametrize("policy", [ContrastiveSearch(k=3), MomentumDecoding(k=3)])
def test_rows_that_end_early_leave_the_others_as_they_are(
    tiny_llama: Model, policy: Policy
) -> None:
    free = tiny_llama.generate(pad(PROMPTS), limit=12, policy=policy, options=FREE)
    stops = {free.generated[i][2] for i in (0, 2, 3)}
    options = GenerationOptions(stop_ids=tuple(stops))
    trace = tiny_llama.generate(
        pad(PROMPTS), limit=12, policy=policy, options=options, read=["resid_post.1"]
    )
    assert min(map(len, trace.generated)) <= 3
    for got, whole in zip(trace.generated, free.generated, strict=True):
        assert got == whole[: len(got)]
    again = tiny_llama.run(trace.tokens, read=["resid_post.1"])
    torch.testing.assert_close(trace["resid_post.1"], again["resid_post.1"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ContrastiveSearch(k=0),
        lambda: ContrastiveSearch(alpha=1.5),
        lambda: MomentumDecoding(alpha=-1.0),
        lambda: MomentumDecoding(resistance=()),
        lambda: MomentumDecoding(resistance=(1.0, -2.0)),
    ],
)
def test_settings_out_of_bounds_are_refused(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadOption):
        make()
