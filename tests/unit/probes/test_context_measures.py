"""Redundancy of neighbours, windows of context and bags of words: closed forms."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from probes.context_ablation import ContextAblation
from probes.neighbour_redundancy import merged_variance, redundancy
from probes.topicality import Topicality
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.model.tiny import tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace
from workbench.model.wrap import wrap_model
from workbench.result.result import Result
from workbench.runs.counting import count_texts
from workbench.runs.spec import RunSpec

TEXTS = ("the cat sat . the red dog ran to paris and saw the king", "a king saw the blue bird sat")


def run(model: Model, probe: object) -> Result:
    rows = [Example(text=text, number=i) for i, text in enumerate(TEXTS)]
    return count_texts(probe, RunSpec(name="any"), rows, model, Context.of(model)).result


def deaf_model() -> Model:
    """Return a model whose attention writes nothing, so that a token reads itself alone."""
    module = tiny_module("llama")
    with torch.no_grad():
        for layer in module.model.layers:
            layer.self_attn.o_proj.weight.zero_()
    return wrap_model(module, tiny_tokenizer(), name="deaf")


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_merging_keeps_what_neighbours_share(keep: float) -> None:
    generator = torch.Generator().manual_seed(0)
    h = [torch.randn(2048, generator=generator)]
    for _ in range(399):
        h.append(keep * h[-1] + (1 - keep**2) ** 0.5 * torch.randn(2048, generator=generator))
    found = redundancy(torch.stack(h)[None, None], torch.ones(1, 400, dtype=torch.bool))
    for k, s in enumerate((2, 4, 8)):
        expected = (1 + 2 * sum((1 - j / s) * keep**j for j in range(1, s))) / s
        assert float(found["kept"][0, 0, k]) == pytest.approx(expected, abs=0.02)
    assert float(found["rebuilt"][0, 0]) == pytest.approx(keep**2, abs=0.02)


def test_pairs_of_equal_states_lose_nothing() -> None:
    x = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(0)).double()
    assert float(merged_variance(x.repeat_interleave(2, dim=1), 2)) == pytest.approx(1)
    assert torch.isnan(merged_variance(x, 4)).all()


def test_a_model_without_attention_needs_no_context() -> None:
    deaf = deaf_model()
    found = run(deaf, ContextAblation(largest=2)).table("windows").frame
    assert found["lost"].tolist()[:2] == pytest.approx([0, 0], abs=1e-5)
    assert found["lost_shuffled"].tolist()[:2] == pytest.approx([0, 0], abs=1e-5)
    layers = run(deaf, Topicality()).table("layers").frame
    for name in ("bag", "order", "bag_null", "order_null"):
        assert layers[name].tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_every_window_stands_behind_the_token_that_begins_a_text(tiny_llama: Model) -> None:
    context, start = Context.of(tiny_llama), tiny_llama.tokenizer.bos_token_id
    trace = tiny_llama.run(["<s> the cat sat . the red dog ran"], read=["final_norm"])
    assert trace.tokens.row(0)[0] == start
    seen: list[list[int]] = []

    def recorded(tokens: Tokens, **asked: Any) -> Trace:
        seen.extend(tokens.row(i) for i in range(len(tokens.ids)))
        return tiny_llama.run(tokens, **asked)

    rows = [Example(text="", number=0)]
    ContextAblation(largest=2).measure(trace, rows, replace(context, run=recorded))
    assert seen
    assert all(row[0] == start and start not in row[1:] for row in seen)


def test_context_moves_a_model_with_attention(tiny_llama: Model) -> None:
    assert abs(run(tiny_llama, ContextAblation(largest=4)).estimate("lost").value) > 1e-4
    layers = run(tiny_llama, Topicality()).table("layers").frame
    assert layers["order"].abs().max() > 1e-4
