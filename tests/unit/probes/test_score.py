"""Answers scored in both directions: the rules by hand, and a masked model that factorises."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, T5Config, T5ForConditionalGeneration

from probes.score import Score
from workbench.errors import BadRows, ModelNotFound, Unsupported
from workbench.methods.contracts import Context, Example
from workbench.model.masked import MaskedModel
from workbench.model.span import SpanModel, load_scorer
from workbench.model.tiny import fill_randomly, tiny_model
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.tokens import pad


def masked(tokenizer, *, factorises):
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    return filled(BertForMaskedLM(config), silent="attention.output.dense" if factorises else None)


def filled(module, *, silent):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            fill_randomly(parameter, generator)
            if silent is not None and silent in name:
                parameter.zero_()
    return module


@pytest.fixture
def tokenizer():
    found = tiny_tokenizer()
    found.add_special_tokens({"mask_token": "<unk>"})
    return found


@pytest.fixture
def gaps():
    found = tiny_tokenizer()
    found.add_special_tokens({"additional_special_tokens": ["<extra_id_0>"]})
    return found


def span(tokenizer, *, factorises):
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2,
        decoder_start_token_id=0, pad_token_id=0,
    )  # fmt: skip
    module = T5ForConditionalGeneration(config)
    return filled(module, silent="EncDecAttention.o" if factorises else None)


@pytest.mark.parametrize("factorises", [True, False])
def test_both_directions_agree_where_conditionals_factorise(tokenizer, factorises):
    model = MaskedModel(masked(tokenizer, factorises=factorises), tokenizer)
    pseudo, left = (f("the king", " saw a cat") for f in (model.pseudo, model.left_to_right))
    assert len(pseudo) == 3
    assert torch.allclose(pseudo, left) == factorises
    assert torch.allclose(pseudo[-1], left[-1])


@pytest.mark.parametrize("factorises", [True, False])
def test_a_span_model_fills_the_gap_of_each_word(gaps, factorises, tmp_path):
    module = span(gaps, factorises=factorises)
    for part in (module, gaps):
        part.save_pretrained(tmp_path)
    model = load_scorer(str(tmp_path))
    pseudo, left = (f("the king", " saw a cat") for f in (model.pseudo, model.left_to_right))
    assert torch.allclose(pseudo, left) == factorises
    assert torch.allclose(pseudo[-1], left[-1])
    gap, ids = gaps.convert_tokens_to_ids("<extra_id_0>"), gaps("the king saw a cat")["input_ids"]
    for found, text in ((pseudo[1], [*ids[:3], gap, ids[4]]), (left[1], [*ids[:3], gap])):
        logits = module.eval()(
            input_ids=torch.tensor([text]), decoder_input_ids=torch.tensor([[0, gap]])
        ).logits
        assert float(found) == pytest.approx(
            float(logits[0, 1].detach().double().log_softmax(dim=-1)[ids[3]]), abs=1e-6
        )


def test_a_word_is_hidden_whole_from_its_piece_on(tokenizer, monkeypatch):
    model = MaskedModel(masked(tokenizer, factorises=False), tokenizer)
    seen = []
    monkeypatch.setattr(model, "_at", lambda ids, own, hidden: seen.append((own, hidden)) or [])
    monkeypatch.setattr(type(tokenizer("a")), "word_ids", lambda self: [0, 1, 2, 2, 3])
    model.pseudo("the king", " saw a cat")
    assert seen == [([2, 3, 4], [[2, 3], [3], [4]])]


def test_scores_are_those_of_the_chain_rule_and_bytes_and_prior_divide_and_subtract():
    model = tiny_model("llama")
    row = Example(text="the king", label="ran", fields={"choices": [" saw a", " ran"]})
    table = Score(prior="so").study(model, [row], Context.of(model)).tables["choices"].frame
    logp = lambda ids: model.run(pad([ids]), logits="all").logits[0].double().log_softmax(-1)  # noqa: E731
    for i, text in enumerate((" saw a", " ran")):
        sums = []
        for prompt in ("the king", "so"):
            before, own = (tiny_tokenizer()(t)["input_ids"] for t in (prompt, text))
            found = logp([*before, *own])
            sums.append(sum(float(found[len(before) - 1 + j, t]) for j, t in enumerate(own)))
        assert table["sum"][i] == pytest.approx(sums[0], rel=1e-4)
        assert table["per-byte"][i] == pytest.approx(sums[0] / len(text.encode()), rel=1e-4)
        assert table["prior-corrected"][i] == pytest.approx(sums[0] - sums[1], rel=1e-3)


def test_the_prior_of_a_set_of_choices_is_computed_once(monkeypatch):
    model, n_rows = tiny_model("llama"), []
    run = type(model).run
    model.run(pad([[1]]))
    monkeypatch.setattr(
        type(model), "run", lambda self, t, **k: n_rows.append(len(t.ids)) or run(self, t, **k)
    )
    fields = {"choices": [" saw a", " ran"]}
    rows = [Example(text=text, fields=fields) for text in ("the king", "the cat")]
    Score().study(model, rows, Context.of(model))
    assert sum(n_rows) == 3


def test_wrong_input_is_named(tokenizer):
    model = tiny_model("llama")
    with pytest.raises(BadRows, match="two choices"):
        Score().study(model, [Example(text="the king")], Context.of(model))
    with pytest.raises(ModelNotFound, match="gone"):
        load_scorer("/gone/away")
    with pytest.raises(Unsupported, match="extra_id_0"):
        SpanModel(torch.nn.Linear(1, 1), tiny_tokenizer())
    with pytest.raises(Unsupported, match="mask"):
        MaskedModel(torch.nn.Linear(1, 1), tiny_tokenizer())
