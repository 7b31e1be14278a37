"""Texts that a tokenizer or an embedding has no place for are refused by name, at every door."""

from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from workbench.errors import BadOption
from workbench.model.model import Model
from workbench.model.tiny import tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.wrap import wrap_model
from workbench.sampling.rendering import text_ids
from workbench.training.lines import Lines

KNOWN, UNKNOWN = "the cat sat", "the zebra sat"


def _no_unknown_token() -> Any:
    words = {word: i for i, word in enumerate((*KNOWN.split(), "\n"))}
    plain = Tokenizer(models.WordLevel(words))
    plain.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    return PreTrainedTokenizerFast(tokenizer_object=plain)


def _beyond_the_embedding() -> Any:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["zebra"])
    return tokenizer


@pytest.mark.parametrize("build", [_no_unknown_token, _beyond_the_embedding])
@pytest.mark.parametrize("door", [Model.tokenize, Model.run, Model.generate])
def test_a_text_without_a_place_is_refused(
    build: Callable[[], Any], door: Callable[[Model, str], Any]
) -> None:
    model = wrap_model(tiny_module("llama"), build(), name="tiny")
    door(model, KNOWN)
    with pytest.raises(BadOption, match="zebra"):
        door(model, UNKNOWN)


def test_the_tokenizer_says_why() -> None:
    tokenizer = _no_unknown_token()
    assert text_ids(tokenizer, KNOWN) == [0, 1, 2]
    for read in (lambda text: text_ids(tokenizer, text), Lines(tokenizer).sentence):
        with pytest.raises(BadOption, match=r"cannot read 'the zebra sat': .*\[UNK\]"):
            read(UNKNOWN)
