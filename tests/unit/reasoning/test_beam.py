"""Beam search against all texts of a length, and against greedy decoding."""

from itertools import product

import pytest
import torch

from reasoning.asked_attribute import AskedAttribute
from reasoning.policy_beam import BeamSearch
from workbench.errors import BadOption
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.tokens import pad

PROMPTS = ([5, 9, 11], [7])
STOP = 3


def options(*stop_ids: int) -> GenerationOptions:
    return GenerationOptions(stop_ids=stop_ids, keep_logprobs=True)


def likeliest(model: Model, prompt: list[int]) -> tuple[tuple[int, ...], float]:
    """Return the likeliest two tokens that an end follows, by brute force."""
    pairs = [p for p in product(range(model.spec.d_vocab), repeat=2) if STOP not in p]
    logits = model.run(pad([[*prompt, *p] for p in pairs]), logits="all").logits
    assert logits is not None
    logp, n, rows = logits.log_softmax(dim=-1), len(prompt), torch.arange(len(pairs))
    first, second = torch.tensor(pairs).unbind(dim=1)
    total = logp[rows, n - 1, first] + logp[rows, n, second] + logp[rows, n + 1, STOP]
    best = int(total.argmax())
    return pairs[best], float(total[best])


def test_the_mode_among_the_texts_of_a_length_is_found(tiny_llama: Model) -> None:
    # A beam per pair, so that no beginning is cut before its end is counted.
    policy = BeamSearch(width=tiny_llama.spec.d_vocab**2, length=2)
    found = tiny_llama.generate(pad(PROMPTS[1:]), limit=3, policy=policy, options=options(STOP))
    text, score = likeliest(tiny_llama, PROMPTS[1])
    assert found.generated[0] == (*text, STOP)
    assert sum(found.logprobs[0]) == pytest.approx(score, abs=1e-4)
    assert found.records[0].rows(0)[0]["score"] == pytest.approx(score, abs=1e-4)


def told(model, texts):
    """Return a classifier's log-probability, which no token of the text has by itself."""
    return torch.tensor([-float((sum(text) * 7) % 11) for text in texts])


def test_the_mode_given_an_attribute_is_found(tiny_llama: Model) -> None:
    v, (prompt,) = tiny_llama.spec.d_vocab, PROMPTS[1:]
    pairs = list(product(range(v), repeat=2))
    logits = tiny_llama.run(pad([[*prompt, *p] for p in pairs]), logits="all").logits
    logp, n, rows = logits.double().log_softmax(dim=-1), len(prompt), torch.arange(len(pairs))
    first, second = torch.tensor(pairs).unbind(dim=1)
    total = logp[rows, n - 1, first] + logp[rows, n, second]
    by = told(None, [[*prompt, *p] for p in pairs]).double()
    policy = BeamSearch(width=v**2, guide=told, considered=1)
    found = tiny_llama.generate(pad([prompt]), limit=2, policy=policy, options=options())
    assert found.generated[0] == pairs[int((total + by).argmax())]
    assert found.generated[0] != pairs[int(total.argmax())]
    row = found.records[0].rows(0)[0]
    assert row["score"] == pytest.approx(float(total[int((total + by).argmax())]), abs=1e-4)
    assert row["penalty"] == float(by[int((total + by).argmax())])


def test_a_guide_keeps_a_beginning_that_is_not_among_the_likeliest(tiny_llama: Model) -> None:
    (prompt,) = PROMPTS[1:]
    sixth = int(tiny_llama.run(pad([prompt]), logits="last").logits[0, -1].argsort()[-6])

    def guide(model, texts):
        return torch.tensor([0.0 if text[len(prompt)] == sixth else -100.0 for text in texts])

    policy = BeamSearch(width=2, guide=guide, considered=4)
    found = tiny_llama.generate(pad([prompt]), limit=3, policy=policy, options=options())
    assert found.generated[0][0] == sixth


def test_a_guide_that_knows_nothing_changes_no_bit(tiny_llama: Model) -> None:
    plain, even = (
        tiny_llama.generate(pad(PROMPTS), limit=4, options=options(), policy=policy)
        for policy in (
            BeamSearch(width=3),
            BeamSearch(width=3, guide=lambda model, texts: torch.zeros(len(texts))),
        )
    )
    assert (plain.generated, plain.logprobs) == (even.generated, even.logprobs)


@pytest.mark.parametrize("n", [1, 3])
def test_an_asked_attribute_is_the_share_of_its_answer(tiny_llama: Model, n: int) -> None:
    texts = [[5, 9, 11], [7], [4, 4]][:n]
    found = AskedAttribute(question=(8, 2), toward=6, against=3)(tiny_llama, texts)
    for text, value in zip(texts, found.tolist(), strict=True):
        logits = tiny_llama.run(pad([[*text, 8, 2]]), logits="last").logits[0, -1]
        assert value == pytest.approx(float(logits[[6, 3]].log_softmax(dim=0)[0]), abs=1e-5)


def test_one_beam_is_greedy_to_the_bit_and_more_find_no_less(tiny_llama: Model) -> None:
    plain, one, many = (
        tiny_llama.generate(pad(PROMPTS), limit=6, options=options(), **policy)
        for policy in ({}, {"policy": BeamSearch(width=1)}, {"policy": BeamSearch(width=8)})
    )
    assert (plain.generated, plain.logprobs) == (one.generated, one.logprobs)
    assert all(sum(a) >= sum(b) - 1e-5 for a, b in zip(many.logprobs, plain.logprobs, strict=True))


def test_a_beam_that_ends_stays_as_it_is(tiny_llama: Model) -> None:
    v = tiny_llama.spec.d_vocab
    found = tiny_llama.generate(
        pad([[7]]), limit=2, policy=BeamSearch(width=v), options=options(*range(1, v))
    )
    assert len(found.generated[0]) == 1
    with pytest.raises(BadOption):
        BeamSearch(width=0)
