"""Every policy writes the same tokens on all three backends, edits and early ends included."""

import pytest
import torch

from reasoning.policy_contrastive import ContrastiveSearch
from reasoning.policy_momentum import MomentumDecoding
from workbench.model.edits import Edit, Op
from workbench.model.generation import GenerationOptions
from workbench.model.policy import GREEDY, Policy, Sampling
from workbench.model.sites import Kind, Site
from workbench.model.tiny import tiny_model
from workbench.model.tokens import pad

pytestmark = pytest.mark.slow

BATCH = pad([[5, 9, 11], [7], [3, 4, 5, 6, 8, 21, 30], [12, 40]])
POLICIES: tuple[Policy, ...] = (GREEDY, Sampling(), ContrastiveSearch(k=3), MomentumDecoding())


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("backend", ["transformer-lens", "nnsight"])
def test_generation_agrees_with_the_reference_backend(family: str, backend: str) -> None:
    vector = torch.randn(32, generator=torch.Generator().manual_seed(0)) * 3
    steer = Edit(site=Site(Kind.RESID_POST, 1), op=Op.ADD, value=vector)
    options = GenerationOptions(stop_ids=range(0, 64, 5))
    models = [tiny_model(family, backend=name) for name in ("hooks", backend)]
    for policy in POLICIES:
        expected, found = (
            model.generate(
                BATCH, policy=policy, limit=10, edits=[steer], options=options, read=["embed"]
            )
            for model in models
        )
        assert found.generated == expected.generated
        assert found.ended == expected.ended
        torch.testing.assert_close(found["embed"], expected["embed"])
