"""Sums of turned codes: what they hold, what is taken out of them, and what is written."""

import math

import pytest
import torch

from workbench.errors import DataError, NotFinite
from workbench.model.tiny import tiny_model
from workbench.training.place_codes import CODE, SCALARS, PlaceCodes, fresh_weights
from workbench.training.pooled_codec import PooledCodec

_WORDS, _WIDTH = 64, 256


@pytest.fixture(scope="module")
def codes():
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(_WORDS, _WIDTH, generator=generator) + 3.0
    return PlaceCodes(embedding, fresh_weights(embedding, generator))


@pytest.fixture(scope="module")
def codec():
    model = tiny_model("llama")
    module = model.backend.module
    weights = fresh_weights(module.get_input_embeddings().weight, torch.Generator().manual_seed(0))
    return PooledCodec(module, model.tokenizer, weights)


def test_codes_are_of_length_one_and_turning_keeps_it(codes):
    ids, places = torch.arange(8), torch.arange(8)
    turned = codes.turned(codes.of(ids), places)
    assert torch.allclose(turned.norm(dim=-1), torch.ones(8), atol=1e-5)
    assert torch.allclose(codes.turned(turned, -places), codes.of(ids), atol=1e-5)
    # What stands at another place looks like noise: a cosine of 1/sqrt(width) or so.
    apart = codes.of(ids[:1]) @ codes.turned(codes.of(ids[:1]), torch.tensor([5])).T
    assert abs(float(apart)) < 5 / math.sqrt(_WIDTH)


def test_a_sum_tells_which_token_stood_where(codes):
    """Planted truth: the same tokens in two orders, one of them twice."""
    for ids in ([3, 9, 3, 40, 12, 7], [7, 12, 40, 3, 9, 3]):
        row, places = torch.tensor(ids), torch.arange(len(ids))
        total = codes.turned(codes.of(row), places).sum(dim=0)
        found = [
            int(codes.scores(codes.turned(total, -place)[None], codes.every).argmax())
            for place in places
        ]
        assert found == ids


def test_scores_are_log_likelihoods_of_a_code_in_noise(codes):
    """Closed form: a code beside noise of variance v a direction gives q·c / (v + floor)."""
    rest = codes.of(torch.tensor([5])) * 3.0
    gain, floor = codes.weights[SCALARS][0].exp(), codes.weights[SCALARS][1].exp()
    expected = gain * 3.0 / ((9.0 - 1.0) / _WIDTH + floor)
    assert float(codes.scores(rest, codes.every)[0, 5]) == pytest.approx(float(expected), rel=1e-5)


def test_what_is_written_is_taken_out_of_the_sum(codec):
    """The losses of given tokens are those of the writer that wrote them itself."""
    sentences = ["the dog and the cat", "is it so ?"]
    vectors, rows = codec.encode(sentences), codec.ids.of(sentences)
    told = codec.decode(vectors, limit=9)
    for one, row, vector in zip(told, rows, vectors, strict=True):
        mine = codec.token_losses(vector[None], [list(one.ids)])
        assert -float(mine.mean()) == pytest.approx(one.logprob, abs=1e-4)
        known = codec.likelihood(vector[None], [codec.ids.text(row)])
        assert known == [pytest.approx(-float(codec.token_losses(vector[None], [row]).mean()))]


def test_a_sum_without_a_prior_is_read_without_the_model(codec):
    # Vectors of 32 entries hold three tokens, no more.
    sentences = ["the dog", "cat", "he saw"]
    weights = {**codec.codes.weights, SCALARS: torch.tensor([0.0, math.log(0.02), 0.0, 0.0])}
    module = codec.decoder.module
    plain = PooledCodec(module, codec.ids.tokenizer, weights)
    told = [one.text for one in plain.decode(plain.encode(sentences), limit=6)]
    assert told == sentences
    assert all(one.is_complete for one in plain.decode(plain.encode(sentences), limit=6))


def test_losses_over_some_tokens_are_those_over_all_renormed(codec):
    row = codec.ids.of(["the dog"])
    some = torch.tensor(sorted({*row[0], 5, 9, 11}))
    vectors = codec.encode(["the dog"])
    mine = codec.token_losses(vectors, row, some)
    assert (mine <= codec.token_losses(vectors, row) + 1e-5).all()
    everything = torch.arange(len(codec.codes.every))
    assert torch.allclose(
        codec.token_losses(vectors, row, everything), codec.token_losses(vectors, row), atol=1e-4
    )


def test_gradients_reach_the_map_and_the_numbers(codec):
    weights = {n: x.clone().requires_grad_(n in (CODE, SCALARS)) for n, x in
               codec.codes.weights.items()}  # fmt: skip
    trained = PooledCodec(codec.decoder.module, codec.ids.tokenizer, weights)
    rows = codec.ids.of(["the red king", "cat"])
    trained.token_losses(trained.vectors(rows), rows).sum().backward()
    assert all(float(weights[n].grad.abs().sum()) > 0 for n in (CODE, SCALARS))


def test_vectors_that_stand_for_nothing_are_refused(codec):
    with pytest.raises(DataError, match="length zero"):
        codec.decode(torch.zeros(1, codec.d_model))
    with pytest.raises(NotFinite):
        codec.likelihood(torch.full((1, codec.d_model), math.nan), ["cat"])
    with pytest.raises(DataError, match="no word"):
        codec.encode(["cat", " "])
    assert codec.decode(torch.zeros(0, codec.d_model)) == []
    assert codec.encode([]).shape == (0, codec.d_model)
