"""Tiny models: deterministic, grouped, alive."""

import pytest
import torch

from workbench.errors import BadOption, ModelError, UnknownName
from workbench.model.model import Model
from workbench.model.tiny import FAMILIES, parse_tiny, tiny_model, tiny_module
from workbench.model.tiny_tokenizer import VOCABULARY, tiny_tokenizer
from workbench.model.wrap import wrap_model


def test_the_sizes_are_as_documented(tiny: Model) -> None:
    spec = tiny.spec
    assert (spec.n_layers, spec.d_model, spec.d_vocab, spec.d_head) == (3, 32, 64, 8)
    grouped = not any(name in spec.name for name in ("gpt", "opt"))
    assert spec.n_key_value_heads == (2 if grouped else 4)
    assert 25_000 < spec.n_parameters < 50_000


def test_the_seed_decides_the_weights() -> None:
    hashes = [tiny_model("llama", seed=seed).spec.weights_hash for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    tiny_model("gpt2", seed=5)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("family", FAMILIES)
def test_no_parameter_is_left_at_its_start(family: str) -> None:
    for name, parameter in tiny_module(family).named_parameters():
        assert parameter.std() > 0.01, name


def test_the_context_matters(tiny: Model) -> None:
    logits = tiny.run(["the cat sat", "the dog sat"], logits="last").logits
    assert logits is not None
    assert (logits[0] - logits[1]).abs().max() > 0.01


def test_the_vocabulary_holds_64_words_with_offsets() -> None:
    assert len(set(VOCABULARY)) == 64
    text = "The cat saw 12 birds!"
    encoded = tiny_tokenizer()(text, return_offsets_mapping=True)
    words = [text[a:b] for a, b in encoded["offset_mapping"]]
    assert words == ["The", "cat", "saw", "1", "2", "birds", "!"]
    assert tiny_tokenizer().decode(encoded["input_ids"]) == "the cat saw 1 2 <unk> !"


def test_the_chat_template_uses_known_words() -> None:
    ids = tiny_tokenizer().apply_chat_template(
        [{"role": "user", "content": "is it red ?"}],
        add_generation_prompt=True,
        return_dict=False,
    )
    assert tiny_tokenizer().decode(ids) == "user : is it red ? </s> assistant :"


def test_names_split_into_family_and_seed() -> None:
    assert parse_tiny("tiny:opt") == ("opt", 0)
    assert parse_tiny("tiny:opt:12") == ("opt", 12)
    with pytest.raises(UnknownName, match="expected a seed"):
        parse_tiny("tiny:opt:x")


def test_a_wrong_backend_is_refused() -> None:
    with pytest.raises(BadOption, match="hooks, transformer-lens, nnsight"):
        tiny_model("llama", backend="hookz")


def test_a_loaded_model_needs_its_tokenizer() -> None:
    with pytest.raises(ModelError, match="no tokenizer"):
        wrap_model(tiny_module("llama"), None, name="mine")
