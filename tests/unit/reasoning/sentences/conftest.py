"""A small network on the words of a task, and what sentence reasoning puts on top of it."""

import numpy as np
import pytest
import torch

from tests.networks import spread_network
from workbench.model.model import Model
from workbench.sampling.flops import Size
from workbench.sampling.sentences import chain_sentences
from workbench.sampling.task import open_task
from workbench.training.checkpoint import Manifest
from workbench.training.codec import SentenceCodec
from workbench.training.latent import LatentHeads, LatentModel
from workbench.training.lines import Worked
from workbench.training.network import Network
from workbench.training.sentence_model import SentenceModel

TASK = "blocksworld?blocks=4&brief=yes"


def _worked(n, part):
    task = open_task(f"{TASK}&part={part}")
    return [
        Worked(question=p.question, sentences=chain_sentences(task, p))
        for p in task.problems(n, np.random.default_rng(0))
    ]


@pytest.fixture(scope="session")
def problems() -> list[Worked]:
    return _worked(24, "train")


@pytest.fixture(scope="session")
def held_out() -> list[Worked]:
    return _worked(6, "valid")


@pytest.fixture(scope="session")
def scratch(problems: list[Worked], held_out: list[Worked]) -> Model:
    """A random network of two layers; its states differ enough to tell sentences apart."""
    texts = [line for w in (*problems, *held_out) for line in (w.question, *w.sentences)]
    return spread_network(texts)


@pytest.fixture(scope="session")
def untrained(scratch: Model) -> dict[str, SentenceModel]:
    """Untrained sentence models by space: what they write is noise, how they run is not."""
    return {space: _sentence_model(scratch, space) for space in ("semantic", "ctx-b")}


def _sentence_model(model: Model, space) -> SentenceModel:
    network = Network(model.backend.module)
    heads = LatentHeads(32, scale=1.0, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        # Spread out, so that a threshold can end chains early, late and never.
        heads.stop[-1].weight.mul_(4)
        heads.stop[-1].bias.zero_()
    size = Size.of(model.backend.module, model.spec)
    manifest = Manifest(
        recipe="sentence-chain", options={"answer_ids": [5, 6, 7], "lead": "The answer is:"},
        base_model="words", base_hash=model.spec.weights_hash, seed=0, data_hash="",
    )  # fmt: skip
    return SentenceModel(
        writer=model,
        codec=SentenceCodec(network, model.tokenizer, space),
        latent=LatentModel(network, heads.eval().requires_grad_(False)),
        codec_size=size,
        latent_size=size,
        manifest=manifest,
    )
