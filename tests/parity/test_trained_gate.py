"""The shipped gate and adapter on the embedded model: exact off-switches, answer, and return."""

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from tests.parity.conftest import greedy_by_transformers
from workbench.latent.inputs import GatedMixture
from workbench.latent.interventions import Intervened, Intervention
from workbench.latent.thinking import LatentThinking
from workbench.latent.trained import HybridModel, open_hybrid
from workbench.model.generation import GenerationOptions
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Sampling
from workbench.model.sites import Kind, Site
from workbench.model.tokens import Tokens
from workbench.training.adapter import Adapter
from workbench.training.checkpoint import Checkpoint

pytestmark = pytest.mark.slow
TEXTS = ["7+12+5=", "12+30+17=", "Sum of three numbers, partial sums written out: 21+4+26="]
FREE = GenerationOptions(seeds=7, stop_ids=())
SHIPPED = Path(str(files("workbench"))) / "data" / "models" / "hybrid-smollm2-135m"


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("default", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def trained(model: Model) -> HybridModel:
    return open_hybrid(model)


@pytest.fixture(scope="module")
def batch(model: Model) -> Tokens:
    return model.tokenize(TEXTS, side="left")


def _policy(trained: HybridModel, **more: object) -> LatentThinking:
    sampling = Sampling(temperature=trained.temperature)
    base = LatentThinking(inputs=trained.inputs(), sampling=sampling, delimiter=trained.mark)
    return replace(base, **more)


def test_the_trained_gate_closed_is_transformers_generate(
    trained: HybridModel, batch: Tokens
) -> None:
    gated = trained.inputs()
    assert isinstance(gated, GatedMixture)
    closed = Intervened(inner=gated, change=Intervention(gate=1.0))
    policy = _policy(trained, inputs=closed, greedy=True)
    found = trained.model.generate(batch, policy=policy, limit=40, options=FREE)
    assert [list(row) for row in found.generated] == greedy_by_transformers(trained.model, batch)
    warm = policy.sampling
    sampled = replace(policy, greedy=False)
    found = trained.model.generate(batch, policy=sampled, limit=40, options=FREE)
    plain = trained.model.generate(batch, policy=warm, limit=40, options=FREE)
    assert found.generated == plain.generated


def test_the_answer_is_fed_as_tokens_bit_for_bit(trained: HybridModel, batch: Tokens) -> None:
    site = Site(Kind.EMBED)
    policy = _policy(trained, greedy=True, keep=4, vectors=True)
    found = trained.model.generate(batch, policy=policy, limit=40, options=FREE, read=(site,))
    width = batch.ids.shape[1]
    fed = found.activations[site][:, width:]
    tokens = trained.model.embed(found.tokens.ids)[:, width:]
    assert found.latent is not None
    latent = found.latent[:, width:]
    assert bool(latent.any(dim=1).all())
    assert bool((~latent).any(dim=1).all())
    assert torch.equal(fed[~latent], tokens[~latent])
    assert not bool((fed[latent] == tokens[latent]).all(dim=-1).any())


def test_the_adapter_off_is_the_embedded_model_bit_for_bit(model: Model, batch: Tokens) -> None:
    whole = Checkpoint.load(SHIPPED)
    part = {
        name.removeprefix("adapter."): tensor
        for name, tensor in whole.tensors.items()
        if name.startswith("adapter.")
    }
    adapter = Adapter.restore(model, Checkpoint(manifest=whole.manifest, tensors=part))
    plain = model.run(batch, logits="all").logits
    assert plain is not None
    on = adapter.model.run(batch, logits="all").logits
    assert not torch.equal(on, plain)
    with adapter.off() as same:
        assert torch.equal(same.run(batch, logits="all").logits, plain)
        again = same.generate(batch, policy=GREEDY, limit=8, options=FREE).generated
    assert again == model.generate(batch, policy=GREEDY, limit=8, options=FREE).generated


def test_kept_again_and_opened_it_thinks_the_same(
    model: Model, trained: HybridModel, batch: Tokens, tmp_path: Path
) -> None:
    whole = Checkpoint.load(SHIPPED)
    whole.save(tmp_path / "again")
    found = open_hybrid(model, str(tmp_path / "again"))
    policy = _policy(trained, keep=4, vectors=True)
    one = trained.model.generate(batch, policy=policy, limit=16, options=FREE)
    policy = replace(policy, inputs=found.inputs())
    other = found.model.generate(batch, policy=policy, limit=16, options=FREE)
    assert one.generated == other.generated
    for mine, theirs in zip(one.records, other.records, strict=True):
        assert torch.equal(mine.logprob, theirs.logprob)
        assert mine.vector is None or torch.equal(mine.vector, theirs.vector)
