"""Readings of a chain's steps: planted vectors save the nats they hold, and words are found."""

from types import SimpleNamespace

import pytest
import torch

from probes.sentences.chains import Thought
from probes.sentences.nats import Teller
from probes.sentences.readings import Shown, chain_verdict, told_nats, told_words
from probes.sentences.scores import Target
from probes.sentences.step_words import CURRENT, NEXT, fit_words
from workbench.training.codec import SentenceCodec

SENTENCES = ("move red", "move blue", "move green", "move grey")
SURE = 8.0


class _Codec(SentenceCodec):
    """Gives sentence i the logit `vector[i]`, so that its nats are known in closed form."""

    def __init__(self):
        self.lines = SimpleNamespace(sentence=lambda text: [SENTENCES.index(text) if text else 0])

    def token_losses(self, vectors, targets):
        log_p = vectors.log_softmax(dim=1)
        ids = torch.tensor([target[0] for target in targets])
        return -log_p.gather(1, ids[:, None]), torch.ones(len(ids), 1, dtype=torch.bool)


def _thought(*numbers):
    vectors = torch.stack([SURE * torch.eye(4)[n] for n in numbers])
    return Thought(vectors=vectors, sentences=tuple(SENTENCES[n] for n in numbers))


def _teller(*numbers):
    return Teller(
        codec=_Codec(),
        p_out=lambda x: x,
        vectors=SURE * torch.eye(4)[list(numbers)],
        units=numbers,
    )


@pytest.fixture
def teller():
    return _teller(0, 1, 2, 3)


def test_nats_are_those_beyond_the_mean_of_other_problems(teller):
    p = torch.softmax(SURE * torch.eye(4), dim=1)
    (found,) = teller.saved(SURE * torch.eye(4)[:1], [SENTENCES[0]], [0])
    others = p[1:, 0].mean()
    assert found == pytest.approx(float(p[0, 0].log() - others.log()), rel=1e-4)
    (nothing,) = teller.saved(torch.zeros(1, 4), [SENTENCES[0]], [9])
    assert nothing == pytest.approx(0.0, abs=1e-6), "the mean over all"
    alone = _teller(0)
    assert alone.saved(torch.zeros(1, 4), [SENTENCES[0]], [0]) == [None]


def test_a_step_past_the_end_of_a_chain_is_none(teller):
    chain, other = _thought(0, 1), _thought(2)
    assert teller.of_step(chain, chain, 1, 9) > 0
    assert teller.of_step(chain, other, 0, 9) < 0
    assert teller.of_step(other, chain, 1, 9) is None


def _shown(states, numbers):
    """Two steps a chain: each with its sentence and the one after it."""
    targets = [
        Target(
            name=str(i),
            sentence=SENTENCES[n],
            after=SENTENCES[numbers[i + 1]] if i % 2 == 0 else "",
            unit=10 + i // 2,  # of none of the other problems
        )
        for i, n in enumerate(numbers)
    ]
    others = [(i + 2) % len(numbers) for i in range(len(numbers))]
    return Shown(states=states, targets=targets, others=others, layers=(0,))


def test_a_state_that_holds_the_step_is_read_and_other_states_are_not(teller):
    numbers = [0, 1, 2, 3, 1, 0, 3, 2] * 2
    length = torch.linspace(0.9, 1.1, len(numbers))[:, None, None] * SURE
    shown = _shown(length * torch.eye(4)[numbers][:, None], numbers)
    assert shown.within[:8] == [1, 0, 3, 2, 5, 4, 7, 6]
    nats = told_nats(shown, {"raw": lambda _, h: h}, teller, [])
    at = {"way": "raw", "layer": 0}
    own = nats.estimate("saved", "swapped", at)
    assert own.value == pytest.approx(1.386, abs=0.01), "ln 4: one sentence of four"
    assert own.control < 0
    assert nats.estimate("saved", "within", at).control < 0
    assert nats.estimate("next_saved", "swapped", at).value < 0
    assert chain_verdict(nats, {"raw": 0}).startswith("The step is read (")
    assert "the next step is not read" in chain_verdict(nats, {"raw": 0})
    blind = told_nats(shown, {"raw": lambda _, h: torch.zeros_like(h)}, teller, [])
    assert chain_verdict(blind, {"raw": 0}).startswith("The step is not read")


def test_words_are_fitted_for_the_step_and_the_next():
    draw = torch.Generator().manual_seed(0)
    numbers = torch.randint(0, 4, (40, 2), generator=draw).tolist()
    thoughts = [_thought(*pair) for pair in numbers]
    # A first step's state holds the next word as well, in other dimensions.
    states = [torch.cat([t.vectors, t.vectors.roll(-1, dims=0)], dim=1)[:, None] for t in thoughts]
    words = fit_words(states, thoughts, (0,), 8)
    assert words.words == ("blue", "green", "grey", "red"), "a word of every step says nothing"
    some = [0, 1, 2, 3, 1, 0, 3, 2]
    vectors = torch.eye(4)[some] * SURE
    after = vectors.reshape(4, 2, 4).flip(1).reshape(8, 4)
    shown = _shown(torch.cat([vectors, after], dim=1)[:, None], some)
    said = told_words(shown, words)
    assert words.best((0,), CURRENT) == words.best((0,), NEXT) == 0
    for name in ("words_p_at_1", "next_words_p_at_1"):
        found = said.estimate(name, "swapped", {"layer": 0})
        assert (found.value, found.control) == (1.0, 0.0)
        assert said.estimate(name, "frequent", {"layer": 0}).control < 1
    assert fit_words([], [], (0,), 8) is None
