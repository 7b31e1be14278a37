"""Norms, entropy and surprisal against a plain forward pass and closed forms."""

import numpy as np
import pytest
import torch

from probes.token_trace import TokenTrace
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import shuffled_tokens
from workbench.methods.sentence_ends import ends_sentence
from workbench.model.model import Model
from workbench.model.sites import Kind, every_layer
from workbench.result.result import Result
from workbench.runs.counting import count_texts
from workbench.runs.spec import RunSpec

TEXT = "the cat sat . the red dog ran to paris and saw the king"


def run(model: Model, *texts: str, **options: object) -> Result:
    recipe = TokenTrace(**options)  # type: ignore[arg-type]
    rows = [Example(text=text, number=i) for i, text in enumerate(texts)]
    return count_texts(recipe, RunSpec(name="token-trace"), rows, model, Context.of(model)).result


def test_every_number_equals_a_plain_forward_pass(tiny_llama: Model) -> None:
    result = run(tiny_llama, TEXT)
    trace = tiny_llama.run(TEXT, read=every_layer(Kind.RESID_POST, tiny_llama.spec), logits="all")
    p = trace.logits[0].double().softmax(-1)
    table = result.tables["tokens"]
    entropy = torch.distributions.Categorical(probs=p).entropy()
    assert table["entropy"].tolist() == pytest.approx(entropy.tolist(), rel=1e-5)
    ids = trace.tokens.row(0)
    expected = [-float(p[i, ids[i + 1]].log()) for i in range(len(ids) - 1)]
    assert table["surprisal"].tolist()[1:] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(table["surprisal"][0])
    norms = result.tables["grid"].frame.pivot(index="layer", columns="position", values="norm")
    stacked = trace.stack(Kind.RESID_POST)[:, 0].double().norm(dim=-1)
    assert norms.to_numpy() == pytest.approx(stacked.numpy(), rel=1e-5)


def test_the_mean_is_over_texts_not_over_tokens(tiny_llama: Model) -> None:
    texts = ("the cat sat", "a king saw the blue bird", TEXT)
    both = run(tiny_llama, *texts).estimate("entropy")
    each = [run(tiny_llama, t).estimate("entropy").value for t in texts]
    assert both.value == pytest.approx(np.mean(each))
    assert both.n == 3
    assert both.low is not None
    assert both.low <= both.value <= both.high


def test_the_null_keeps_the_tokens_and_the_first_one_in_place(tiny_llama: Model) -> None:
    tokens = tiny_llama.tokenize(TEXT)
    mixed = shuffled_tokens(tokens, Context(), "order")
    assert mixed.row(0)[0] == tokens.row(0)[0]
    assert sorted(mixed.row(0)) == sorted(tokens.row(0))
    assert mixed.row(0) != tokens.row(0)


def test_the_same_seed_gives_the_same_numbers(tiny_llama: Model) -> None:
    assert run(tiny_llama, TEXT).equals(run(tiny_llama, TEXT))


def test_one_token_and_long_texts(tiny_llama: Model) -> None:
    lone = run(tiny_llama, "cat")
    assert lone.estimate("surprisal").value is None
    assert lone.estimate("entropy").value is not None
    cut = run(tiny_llama, TEXT, longest=5)
    assert len(cut.tables["tokens"]) == 5
    assert any(note.code == "cut" for note in cut.notes)


def test_sentences_end_where_blank_space_follows() -> None:
    words = ["It", " is", " 3", ".", "14", ".", " Yes", '!"', "\n", "So", "?"]
    assert [i for i, end in enumerate(ends_sentence(words)) if end] == [5, 7, 8, 10]


@pytest.mark.slow
def test_order_matters_to_a_trained_model(default_model: Model) -> None:
    text = "The Eiffel Tower is a famous landmark in the city of Paris, the capital of France."
    found = run(default_model, text).estimate("surprisal")
    assert found.value < 0.6 * found.control
