"""The lens on chains: blocks end in what the chain says; an own state put back changes nothing."""

import pytest
import torch

from probes.sentences.chains import block_states, think
from probes.sentences.of_chain import read_chains
from probes.sentences.settings import Settings
from tests.networks import spread_network
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.sampling.flops import Size
from workbench.training.checkpoint import Manifest
from workbench.training.codec import SentenceCodec
from workbench.training.latent import LatentHeads, LatentModel
from workbench.training.network import Network
from workbench.training.sentence_model import RECIPE, SentenceModel

QUESTIONS = ["A on B; goal B on A", "A on table", "B on A, A on C; goal A on B", "C on A"]
SETTINGS = Settings(
    sentences=12, every=1, raw=True, normed=True, tuned=True, rank=8, fitted=100, controls=2,
    limit=6, longest=64,
)  # fmt: skip


@pytest.fixture(scope="module")
def trained():
    """A pipeline whose weights are random, so that every vector matters to what follows."""
    model = spread_network([*QUESTIONS, "move\n"], layers=3, seed=3, weights=0)
    network = Network(model.backend.module)
    heads = LatentHeads(32, scale=0.5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        heads.stop[-1].bias.fill_(-9.0)  # never stops by itself
    size = Size.of(model.backend.module, model.spec)
    manifest = Manifest(
        recipe=RECIPE, options={}, base_model="words", base_hash="", seed=0, data_hash=""
    )
    return SentenceModel(
        writer=model,
        codec=SentenceCodec(network, model.tokenizer, "ctx-b"),
        latent=LatentModel(network, heads.eval().requires_grad_(False)),
        codec_size=size,
        latent_size=size,
        manifest=manifest,
    )


def _think(trained, **options):
    return think(trained, QUESTIONS, steps=4, limit=6, **options)


def test_the_last_block_is_the_chain_itself(trained):
    for question, thought in zip(QUESTIONS, _think(trained), strict=True):
        states = block_states(trained, question, thought)
        assert states.shape == (len(thought.vectors), 3, 32)
        torch.testing.assert_close(states[:, -1], thought.vectors, atol=1e-4, rtol=1e-3)


def test_an_own_state_put_back_changes_nothing_and_another_does(trained):
    thoughts = _think(trained)
    longest = max(range(4), key=lambda i: len(thoughts[i].vectors))
    assert len(thoughts[longest].vectors) > 1
    own = _think(trained, exchanged={longest: (0, thoughts[longest].vectors[0])})
    assert torch.equal(own[longest].vectors, thoughts[longest].vectors)
    other = _think(trained, exchanged={longest: (0, thoughts[longest - 1].vectors[0])})
    assert torch.equal(other[longest].vectors[0], thoughts[longest - 1].vectors[0])
    assert not torch.equal(other[longest].vectors[1], thoughts[longest].vectors[1])
    beside = [i for i in range(4) if i != longest]
    assert all(torch.equal(other[i].vectors, thoughts[i].vectors) for i in beside)


def test_a_chain_in_a_batch_is_the_chain_alone(trained):
    for question, thought in zip(QUESTIONS, _think(trained), strict=True):
        (alone,) = think(trained, [question], steps=4, limit=6)
        torch.testing.assert_close(alone.vectors, thought.vectors, atol=1e-4, rtol=1e-3)


def test_chains_are_read_with_controls_and_exchanges(trained):
    examples = [Example(text=q) for q in QUESTIONS]
    seen = read_chains(trained, examples, SETTINGS, Context(resamples=20))
    result = seen.result()
    assert seen.layers == (0, 1, 2)
    last = [c for c in seen.cells if (c.way, c.layer, c.kind) == ("raw", 2, "actual")]
    assert [c.written.text for c in last] == [target.sentence for target in seen.targets]
    exchanges = result.tables["exchanges"].rows()
    assert {row["by"] for row in exchanges} <= {"another chain's state", "random"}
    assert result.estimate("words in common, raw, layer 1").control is not None
    assert all(row["is_changed"] == (row["answer_after"] != row["answer"]) for row in exchanges)
    one = read_chains(trained, examples[:1], SETTINGS, Context(resamples=20))
    assert "exchanges" not in one.result().tables, "nothing to exchange with"
    with pytest.raises(TooLittleData, match="question"):
        read_chains(trained, [], SETTINGS, Context())
