"""Controls as long as what they stand beside, and a layer that is chosen, not assumed."""

import pytest
import torch

from probes.sentences.grid import ACTUAL, RANDOM, Reader
from probes.sentences.of_text import _ways
from probes.sentences.settings import Settings
from probes.sentences.states import Ends, Place
from workbench.methods.contracts import Context
from workbench.training.codec import Decoded
from workbench.training.lora_codec import LoraCodec

CONTEXT = Context(seed=3, resamples=20)
SETTINGS = Settings(
    sentences=8, every=1, raw=True, normed=False, tuned=True, rank=4, fitted=100, controls=3,
    limit=6, longest=64,
)  # fmt: skip


class _Recorder:
    """Writes nothing and keeps what it was handed."""

    def __init__(self):
        self.seen = []

    def decode(self, vectors, *, limit=48, nearest=0):
        self.seen.append(vectors)
        return [Decoded(ids=(), text="", logprob=0.0) for _ in vectors]


class _Planted(LoraCodec):
    """Encodes sentence i as row i of planted vectors."""

    def __init__(self, vectors):
        self.planted = vectors

    def encode(self, sentences):
        return self.planted[[int(s) for s in sentences]]


def test_random_vectors_are_as_long_as_the_states_they_stand_for():
    draw = torch.Generator().manual_seed(0)
    scale = torch.tensor([[0.1, 50.0], [1.0, 7.0], [3.0, 900.0], [20.0, 2.0]])
    states = torch.randn(4, 2, 16, generator=draw) * scale[..., None]
    writer = _Recorder()
    reader = Reader(
        writer=writer, ways={"raw": lambda _, h: h}, layers=(0, 5), targets=states[:, 0], controls=3
    )
    cells = reader.cells(states, [1, 2, 3, 0], CONTEXT)
    handed = torch.cat(writer.seen)
    for cell, vector in zip(cells, handed, strict=False):
        state = states[cell.place, (0, 5).index(cell.layer)]
        if cell.kind == RANDOM:
            torch.testing.assert_close(vector.norm(), state.norm(), rtol=1e-5, atol=0)
            assert abs(float(torch.cosine_similarity(vector, state, dim=0))) < 0.9
        elif cell.kind == ACTUAL:
            assert torch.equal(vector, state)
    assert sum(c.kind == RANDOM for c in cells) == 6


@pytest.mark.parametrize("told", [0, 1, 2])
def test_the_fitted_map_is_judged_where_it_errs_least(told):
    draw = torch.Generator().manual_seed(told)
    states = torch.randn(40, 3, 12, generator=draw)
    goal = torch.nn.functional.normalize(states[:, told], dim=-1) @ torch.randn(
        12, 5, generator=draw
    )
    places = tuple(Place(text=i, number=0, sentence=str(i)) for i in range(40))
    ways, best = _ways(_Planted(goal), Ends(places=places, states=states), (0, 1, 2), SETTINGS)
    assert best == {"raw": 2, "tuned": told}
    near = [float((ways["tuned"](at, states[:, at]) - goal).square().mean()) for at in (0, 1, 2)]
    assert min(range(3), key=near.__getitem__) == told
