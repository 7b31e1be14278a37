"""What the order of parts moves, by hand, and what no order can move."""

import pytest
import torch

from probes.order_sensitivity import TIE, OrderSensitivity, first_choices
from workbench.errors import BadOption, BadRows
from workbench.methods.choices import answers
from workbench.methods.contracts import Context, Example
from workbench.model.tiny import tiny_model
from workbench.model.tokens import pad

TEXT = "the {{ king|| queen|| man}} and"


def study(text=TEXT, family="llama", label=None, choices=(), **options):
    model = tiny_model(family)
    examples = [Example(text=text, label=label, fields={"choices": list(choices)})]
    return OrderSensitivity(**options).study(model, examples, Context.of(model, resamples=10))


def test_orders_move_plain_and_half_way_layouts_but_never_a_set():
    table = study(orders=6).tables["layouts"].frame.set_index("layout")
    assert list(table.index) == ["plain", "mask", "position"]
    assert (table["gap"] > 1e-2).all()
    assert (table["spread"] > 1e-3).all()
    assert (table["gap_free"] < 1e-5).all()
    assert (table["spread_free"] < 1e-5).all()


def test_the_spread_is_that_of_the_plain_texts():
    model = tiny_model("llama")
    found = study("the {{ king|| queen}} and", layouts="plain").tables["layouts"].frame
    texts = ["the king queen and", "the queen king and"]
    tokens = model.tokenize(texts)
    p = model.run(tokens, logits="last").logits[:, -1].double().softmax(dim=-1)
    assert tokens.lengths == [4, 4]
    assert found["spread"].iloc[0] == pytest.approx(float((p[0] - p[1]).abs().sum() / 4), rel=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_choices_beside_each_other_score_as_each_does_alone(family):
    model = tiny_model(family)
    prompts = [(5, 9, 13), (5, 9, 14, 3), (40, 2)]
    choices = [[(21, 7, 8), (30,), (21, 7, 9)], [], [(4, 4)]]
    for prompt, own, found in zip(prompts, choices, answers(model, prompts, choices), strict=True):
        alone = model.run(pad([prompt]), logits="last").logits[0, -1]
        assert torch.allclose(found.logits, alone, atol=1e-4)
        assert len(found.each) == len(own)
        for ids, each in zip(own, found.each, strict=True):
            logits = model.run(pad([[*prompt, *ids]]), logits="all").logits[0].double()
            rows = logits[len(prompt) - 1 :].log_softmax(dim=-1)
            wanted = [float(rows[i, token]) for i, token in enumerate(ids)]
            assert each.tolist() == pytest.approx(wanted, rel=1e-4)


def test_labels_give_accuracy_and_wrong_input_is_named():
    found = study(label="ran", choices=[" ran", " sat"], layouts="plain").tables["layouts"].frame
    assert 0 <= found["correct"].iloc[0] <= 1
    with pytest.raises(BadOption, match="sideways"):
        study(layouts="sideways")
    with pytest.raises(BadRows, match="two parts"):
        study("the king")
    with pytest.raises(BadRows, match="list of texts"):
        study(choices=[1])


def test_a_lead_within_rounding_is_no_other_first_choice():
    scores = torch.tensor([[0.0, -1.0], [0.0, -1.0], [0.0, TIE / 2], [0.0, 2 * TIE]]).double()
    assert first_choices(scores).tolist() == [0, 0, 0, 1]
