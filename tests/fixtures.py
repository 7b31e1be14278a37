"""Fixtures every test may use: tiny models, the embedded model, generators, an empty store."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from workbench.config import settings
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.tiny import FAMILIES, tiny_model

torch.set_num_threads(1)
# A busy machine must not fail a test, and the same commit must draw the same examples.
hypothesis.settings.register_profile(
    "workbench",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("workbench")


@pytest.fixture(scope="session", params=FAMILIES)
def tiny(request: pytest.FixtureRequest) -> Model:
    """One tiny random model per architecture; shared, so read-only."""
    return tiny_model(request.param)


@pytest.fixture(scope="session")
def tiny_llama() -> Model:
    """One tiny Llama, for tests that need a model and not every architecture."""
    return tiny_model("llama")


@pytest.fixture(scope="session")
def default_model() -> Model:
    """The embedded SmolLM2-135M-Instruct; its wheel is a test dependency."""
    return load_model("default", device="cpu")


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded generator of its own for every test."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def store_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that `settings().store` points to; the model cache stays shared."""
    yield from _set(monkeypatch, "WORKBENCH_STORE", tmp_path / "store")


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that `settings().cache` points to, for tests of the cache itself."""
    yield from _set(monkeypatch, "WORKBENCH_CACHE", tmp_path / "cache")


def _set(monkeypatch: pytest.MonkeyPatch, name: str, folder: Path) -> Iterator[Path]:
    monkeypatch.setenv(name, str(folder))
    settings.cache_clear()
    yield folder
    monkeypatch.undo()
    settings.cache_clear()
