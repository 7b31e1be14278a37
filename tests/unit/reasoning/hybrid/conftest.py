"""A small random network of characters with a learner on it."""

from dataclasses import replace

import pytest
import torch

from reasoning.hybrid.ablation_run import HybridOptions
from reasoning.hybrid.demonstrations import Demonstration, demonstrations
from reasoning.hybrid.learner import Learner, Setting
from reasoning.hybrid.presets import ABLATIONS, PRESETS, HybridPreset
from tests.networks import spread
from workbench.model.model import Model
from workbench.sampling.marked import written_response
from workbench.sampling.prompting import stop_ids
from workbench.training.adapter import Adapter
from workbench.training.scratch import scratch_model

PRESET = replace(
    PRESETS["tiny"], layers=2, d_model=32, heads=2, problems=60, judged=8, prompts=3, responses=4,
    new_tokens=10, steps=4, rank=2, r_min=0.3, format_steps=4, format_batch=4, seeds=1,
)  # fmt: skip


@pytest.fixture(scope="session")
def preset() -> HybridPreset:
    return PRESET


@pytest.fixture(scope="session")
def shared() -> HybridOptions:
    return HybridOptions(
        task="sums?terms=2&largest=9", preset=PRESET, seed=0, mark="####", half=False
    )


@pytest.fixture(scope="session")
def network(shared: HybridOptions) -> Model:
    """Random, and far enough from linear that its states tell tokens apart."""
    _, problems, _ = shared.problems()
    texts = [t for p in problems for t in (p.question, written_response(p, "####"))]
    model = scratch_model(texts, PRESET.shape, seed=0, name="characters", pieces="characters")
    return spread(model, 1)


@pytest.fixture(scope="session")
def taught(network: Model, shared: HybridOptions) -> list[Demonstration]:
    task, problems, _ = shared.problems()
    return demonstrations(network, task, problems[:12], "####")


@pytest.fixture
def learner(network: Model, shared: HybridOptions):
    """Make a learner of an arm; its adapter does something already."""

    def make(arm: str = "hrpo", *, beta: float = 0.005) -> Learner:
        task, _, _ = shared.problems()
        generator = torch.Generator().manual_seed(3)
        adapter = Adapter(network, PRESET.lora, generator=generator)
        with torch.no_grad():
            for parameter in adapter.parameters().values():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        setting = Setting(mark="####", stop_ids=stop_ids(network, task), beta=beta)
        return Learner(network, network, adapter, (ABLATIONS[arm], PRESET, setting), generator)

    return make
