"""Generation of the embedded model against transformers' own, token for token."""

from dataclasses import replace

import pytest
import torch

from reasoning.policy_contrastive import ContrastiveSearch
from workbench.model.edits import Edit, Op
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Policy, Sampling
from workbench.model.sites import Kind, Site

pytestmark = pytest.mark.slow

TEXTS = (
    "The capital of France is",
    "Once upon a time there was a small dog who lived by the sea with",
    "Q: What is 2+2? A:",
    "In 1969, the first men",
)


@pytest.mark.parametrize("side", ["left", "right"])
def test_greedy_equals_transformers_generate(default_model: Model, side: str) -> None:
    left = default_model.tokenize(TEXTS, side="left")
    with torch.no_grad():
        theirs = default_model.backend.module.generate(  # type: ignore[operator]
            left.ids, attention_mask=left.mask.long(), max_new_tokens=40, do_sample=False
        )
    given = default_model.tokenize(TEXTS, side=side)  # type: ignore[arg-type]
    ours = default_model.generate(given, limit=40).generated
    stops = set(default_model.stop_ids)
    for row, ids in zip(ours, theirs[:, left.ids.shape[1] :].tolist(), strict=True):
        ends = [i for i, token in enumerate(ids) if token in stops]
        assert list(row) == (ids[: ends[0] + 1] if ends else ids)


@pytest.mark.parametrize("policy", [GREEDY, Sampling(temperature=0.9, top_p=0.95)])
def test_a_row_equals_the_same_prompt_alone(default_model: Model, policy: Policy) -> None:
    options = GenerationOptions(seeds=(1, 2, 3, 4))
    together = default_model.generate(list(TEXTS), limit=40, policy=policy, options=options)
    for i, text in enumerate(TEXTS):
        alone = default_model.generate(
            text, limit=40, policy=policy, options=replace(options, seeds=(i + 1,))
        )
        assert alone.generated[0] == together.generated[i]


@pytest.mark.parametrize("policy", [ContrastiveSearch(alpha=0.0), ContrastiveSearch(k=1)])
def test_contrastive_without_penalty_or_choice_is_greedy(
    default_model: Model, policy: Policy
) -> None:
    greedy = default_model.generate(list(TEXTS), limit=40)
    trace = default_model.generate(list(TEXTS), limit=40, policy=policy)
    assert trace.generated == greedy.generated


def test_steered_generation_equals_steering_without_cache(default_model: Model) -> None:
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(default_model.spec.d_model, generator=generator)
    edit = Edit(site=Site(Kind.RESID_POST, 12), op=Op.ADD, value=vector / vector.norm() * 40)
    steered = default_model.generate(list(TEXTS), limit=12, edits=[edit])
    assert steered.generated != default_model.generate(list(TEXTS), limit=12).generated
    for i, text in enumerate(TEXTS):
        ids = default_model.tokenize(text)
        for token in steered.generated[i]:
            out = default_model.run(ids, edits=[edit], logits="last").logits
            assert out is not None
            assert int(out[0, -1].argmax()) == token
            ids = replace(
                ids,
                ids=torch.cat([ids.ids, torch.tensor([[token]])], dim=1),
                mask=torch.cat([ids.mask, torch.tensor([[True]])], dim=1),
            )


def test_the_trace_equals_one_pass_over_the_same_tokens(default_model: Model) -> None:
    trace = default_model.generate(list(TEXTS), limit=20, read=["resid_post.20", "final_norm"])
    again = default_model.run(trace.tokens, read=["resid_post.20", "final_norm"])
    for site in ("resid_post.20", "final_norm"):
        difference = (trace.flat(site) - again.flat(site)).norm(dim=-1)
        assert float((difference / again.flat(site).norm(dim=-1)).max()) < 1e-4
