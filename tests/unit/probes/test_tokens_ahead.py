"""Probabilities of tokens to come, read off by hand."""

import pytest

from probes.tokens_ahead import TokensAhead
from workbench.methods.contracts import Context, Example
from workbench.model.sites import Kind, Site
from workbench.model.tiny import tiny_model


@pytest.mark.parametrize("text", ["the king saw the cat and the king"])
def test_later_tokens_are_those_after_the_next_one_and_count_once(text):
    model = tiny_model("llama")
    tokens = model.tokenize([text])
    ids, probe, context = tokens.row(0), TokensAhead(ahead=4), Context.of(model, resamples=10)
    trace = model.run(tokens, read=probe.sites(model.spec))
    found = probe.measure(trace, [Example(text=text)], context)
    p = model.unembed(trace[Site(Kind.RESID_POST, 1)])[0].softmax(dim=-1)
    for t in range(len(ids) - 2):
        later = set(ids[t + 2 : t + 5]) - set(ids[t : t + 2])
        assert float(found.values["next"][0, 1, t]) == pytest.approx(float(p[t, ids[t + 1]]))
        expected = sum(float(p[t, token]) for token in later)
        assert float(found.values["later"][0, 1, t]) == pytest.approx(expected, rel=1e-5)
    assert found.values["next"][0, 1, -1].isnan()
    assert found.values["later"][0, 1, -2:].isnan().all()


def test_a_planted_later_token_is_found(generator):
    planted = TokensAhead.example(generator)
    assert planted.answer(TokensAhead()) > planted.at_least
    assert planted.answer(TokensAhead(), shuffled=True) < planted.at_most
