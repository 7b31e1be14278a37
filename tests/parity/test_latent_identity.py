"""The latent loop on the embedded model: identities with plain `generate`, and its replay."""

import pytest
import torch

from tests.parity.conftest import greedy_by_transformers
from workbench.latent.gate import Gate, GateShape
from workbench.latent.inputs import GatedMixture, SoftTokens
from workbench.latent.interventions import Intervened, Intervention
from workbench.latent.mixture import EmbeddingTable
from workbench.latent.replay import Batch, fed_vectors, replayed_logits, rollouts_of, token_logprobs
from workbench.latent.thinking import LatentThinking
from workbench.model.generation import GenerationOptions
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Sampling
from workbench.model.tokens import Tokens

pytestmark = pytest.mark.slow
WARM = Sampling(temperature=0.7)
FREE = GenerationOptions(seeds=7, stop_ids=())
TEXTS = [
    "The capital of France is",
    "Tom has 12 pears and gives away 5. How many pears does Tom have now? Let us think: Tom has",
    "Once upon a time, in a small village by the sea,",
]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("default", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def batch(model: Model) -> Tokens:
    return model.tokenize(TEXTS, side="left")


def _gate(model: Model) -> GatedMixture:
    generator = torch.Generator().manual_seed(0)
    return GatedMixture(gate=Gate(model.spec.d_model, GateShape(r_min=0.95), generator=generator))


def test_a_closed_gate_is_transformers_generate(model: Model, batch: Tokens) -> None:
    closed = Intervened(inner=_gate(model), change=Intervention(gate=1.0))
    policy = LatentThinking(inputs=closed, sampling=WARM, greedy=True)
    found = model.generate(batch, policy=policy, limit=40, options=FREE)
    assert found.latent is not None
    assert [list(row) for row in found.generated] == greedy_by_transformers(model, batch)


def test_a_closed_gate_samples_as_plain_sampling(model: Model, batch: Tokens) -> None:
    closed = Intervened(inner=_gate(model), change=Intervention(gate=1.0))
    policy = LatentThinking(inputs=closed, sampling=WARM)
    found = model.generate(batch, policy=policy, limit=40, options=FREE)
    assert found.generated == model.generate(batch, policy=WARM, limit=40, options=FREE).generated


def test_one_soft_token_is_greedy(model: Model, batch: Tokens) -> None:
    policy = LatentThinking(inputs=SoftTokens(n=1), sampling=WARM)
    found = model.generate(batch, policy=policy, limit=40, options=FREE)
    assert found.generated == model.generate(batch, policy=GREEDY, limit=40, options=FREE).generated


def test_rows_alone_and_the_replay(model: Model, batch: Tokens) -> None:
    gated = _gate(model)
    policy = LatentThinking(inputs=gated, sampling=WARM, keep=50)
    options = GenerationOptions(seeds=[3, 4, 5], stop_ids=())
    trace = model.generate(batch, policy=policy, limit=24, options=options)
    for i in range(len(TEXTS)):
        options = GenerationOptions(seeds=[3 + i], stop_ids=())
        alone = model.generate(batch.take([i]), policy=policy, limit=24, options=options)
        assert alone.generated[0] == trace.generated[i]
    stepwise = torch.stack([record.logprob for record in trace.records], dim=1)
    assert float((_replayed(model, gated, trace, True) - stepwise).abs().max()) < 1e-3
    off = (_replayed(model, gated, trace, False) - stepwise).abs().max(dim=1).values
    assert float(off[0]) > 0.05
    assert float(off[1]) < 1e-3


@torch.no_grad()
def _replayed(model, gated, trace, masked):
    whole = Batch.of(rollouts_of(trace), model.device)
    if not masked:
        whole = Batch(**{**vars(whole), "mask": torch.ones_like(whole.mask)})
    module = model.backend.module
    vectors = fed_vectors(module, EmbeddingTable(model), gated.gate, whole)
    return token_logprobs(replayed_logits(module, vectors, whole), whole, 0.7)
