"""A topic model against the exact predictor of planted topics, and coherence by hand."""

import numpy as np
import pytest
import torch

from probes.docnade import Docnade
from probes.topic_model import fit, losses, npmi, pad_documents
from workbench.methods.contracts import Context, Example
from workbench.model.tiny import tiny_model

V = 8


def planted():
    """Return documents of one of two topics, and −ln p of the exact mixture at every word."""
    draw = np.random.default_rng(0)
    p = np.array([[4.0] * 4 + [1.0] * 4, [1.0] * 4 + [4.0] * 4]) / 20
    words = np.array([draw.choice(V, 12, p=p[draw.integers(2)]) for _ in range(500)])
    after = np.log(p[:, words]).cumsum(axis=2)
    before = np.concatenate([np.zeros((2, len(words), 1)), after[:, :, :-1]], axis=2)
    total = np.logaddexp(*(after - np.log(2))) - np.logaddexp(*(before - np.log(2)))
    return pad_documents(words.tolist()), -total


def test_planted_topics_are_predicted_as_by_the_exact_mixture():
    documents, exact = planted()
    weights = fit(
        documents.take(range(400)), documents.take(range(400, 430)), n_words=V, topics=4,
        weight=0.0, epochs=12, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    found = losses(weights, documents.take(range(430, 500)), 0.0).mean()
    frequent = np.log(V)
    assert float(found) == pytest.approx(exact[430:].mean(), abs=0.02)
    assert frequent - exact[430:].mean() > 0.1


def test_without_weight_it_is_the_plain_topic_model_to_the_bit():
    model = tiny_model("llama")
    nouns, verbs = ("king", "queen", "dog"), ("saw", "ran")
    rows = [
        Example(text=f"the {a} {verb} the {b}", number=i)
        for i, (a, b, verb) in enumerate((a, b, v) for a in nouns for b in nouns for v in verbs)
    ]
    context = Context.of(model, resamples=10)
    probe = Docnade(words=12, topics=2, dims=4, epochs=2, layers="-1:")
    off, on = (
        type(probe)(**{**vars(probe), "weight": weight}).study(model, rows, context)
        for weight in (0.0, 2.0)
    )
    assert off.table("layers").frame["state"].tolist() == [0.0]
    assert off.table("layers").frame["state_random"].tolist() == [0.0]
    assert on.table("layers").frame["state"].iloc[0] != 0.0


def test_words_of_the_same_texts_cohere_and_those_that_never_meet_do_not():
    a = np.array([True, False, True, False])
    b = np.array([True, True, False, False])
    assert npmi(np.stack([a, a], axis=1)) == pytest.approx(1)
    assert npmi(np.stack([a, ~a], axis=1)) == -1
    assert npmi(np.stack([a, b], axis=1)) == pytest.approx(0)
    assert npmi(np.stack([a | True, a | True], axis=1)) is None
