"""Sentences of a chain are read at their ends: planted words are found; a lens must be known."""

import pytest
import torch

from probes.hybrid.sentences import (
    FED,
    NOISE,
    TOKENS,
    ChainLens,
    sentence_samples,
    sentence_verdict,
)
from probes.hybrid.thoughts import Thought
from probes.sentence_words import LoadedWords
from tests.unit.probes.sentence_states.test_sentence_words import VOCABULARY, WORDS, _planted
from workbench.methods.contracts import Context
from workbench.model.tiny import tiny_model
from workbench.model.tokens import token_ids

N_CHAINS = 24


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


def _chain(model, words):
    """A response of one short sentence for each word, and the states that hold its words."""
    text = " ".join(f"the {word} is here ." for word in words)
    ids = (*token_ids(model.tokenizer, text, special_tokens=False), 1)
    vectors = torch.zeros(len(ids), 32)
    thought = Thought(
        prompt=(1,), response=ids, records=(), fed=vectors, token=vectors,
        latent=(True,) * len(ids),
    )  # fmt: skip
    states = torch.zeros(3, len(ids) - 1, 32)
    stop = token_ids(model.tokenizer, "here .", special_tokens=False)[-1]
    ends = [i for i, token in enumerate(ids) if token == stop]
    for end, word in zip(ends, words, strict=True):
        states[:2, end, VOCABULARY.number_of[word]] = 1.0
    return thought, states


def _rows(model):
    lens = ChainLens(probe=LoadedWords(lens=_planted()), context=Context.of(model))
    rows = []
    for text in range(N_CHAINS):
        words = [WORDS[text % 6], WORDS[(text + 2) % 6]]
        thought, states = _chain(model, words)
        blank = torch.zeros_like(states)
        found = lens.rows(model, thought, {FED: states, TOKENS: blank, NOISE: states})
        rows += [{"text": text, **row} for row in found]
    return rows


def test_words_of_a_chain_are_read_where_its_inputs_hold_them(model):
    rows = _rows(model)
    assert [row["said"] for row in rows[:2]] == [WORDS[0], WORDS[2]]
    assert all(row["words_p_at_1"] == row["words_p_at_1_noise"] == 1 for row in rows)
    assert all(row["words_p_at_1_within"] == 0 for row in rows)
    found = sentence_samples(rows)
    blank = found.estimate("words_p_at_1", TOKENS)
    assert (blank.value, blank.n) == (1.0, N_CHAINS)
    assert blank.control < 0.5
    told = sentence_verdict(found)
    assert told.startswith(" Words are read at the ends of its sentences")
    assert "Latent inputs make them say more" in told
    few = sentence_verdict(sentence_samples(rows[:4]))
    assert few.startswith(" Too few chains for a verdict")
    assert sentence_verdict(sentence_samples([])) == ""


def test_states_of_another_model_are_not_read_and_said_so(model):
    lens, note = ChainLens.find(model, Context())
    assert lens is None
    assert "SmolLM2-135M-Instruct" in note.text
