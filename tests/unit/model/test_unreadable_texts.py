"""Texts that a tokenizer or an embedding has no place for are refused by name, at every door."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from workbench.batch.forward import Limits, Passes
from workbench.errors import BadOption
from workbench.methods.contracts import Example
from workbench.model.model import Model
from workbench.model.tiny import tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.wrap import wrap_model
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, RunSpec
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


@pytest.mark.parametrize("build", [_no_unknown_token, _beyond_the_embedding])
def test_the_good_rows_of_a_run_are_kept(build: Callable[[], Any]) -> None:
    model = wrap_model(tiny_module("llama"), build(), name="tiny")
    rows = DataRef(texts=(KNOWN, UNKNOWN, "the sat cat"))
    run = execute(RunSpec(name="logit-lens", data=rows, resamples=10), model=model)
    assert run.status == "partial"
    assert run.result is not None
    assert run.result.table("layers")["n_texts"].iloc[0] == 2
    (bad,) = run.result.table("bad_rows").rows()
    assert "zebra" in bad["reason"]
    nothing = replace(rows, texts=(UNKNOWN,))
    failed = execute(RunSpec(name="logit-lens", data=nothing), model=model)
    assert failed.failure is not None
    assert "zebra" in failed.failure.message
    passes = Passes(model, (), Limits(max_tokens=9, batch_tokens=18))
    kept = [e.text for _, some in passes.traces(_examples(rows.texts)) for e in some]
    assert sorted(kept) == sorted((KNOWN, "the sat cat"))
    assert [row.source for row in passes.bad] == ["row 1"]
    assert not list(passes.traces(_examples((UNKNOWN,))))


def _examples(texts: Sequence[str]) -> list[Example]:
    return [Example(text=text, source=f"row {i}", number=i) for i, text in enumerate(texts)]


def test_the_tokenizer_says_why() -> None:
    tokenizer = _no_unknown_token()
    assert text_ids(tokenizer, KNOWN) == [0, 1, 2]
    for read in (lambda text: text_ids(tokenizer, text), Lines(tokenizer).sentence):
        with pytest.raises(BadOption, match=r"cannot read 'the zebra sat': .*\[UNK\]"):
            read(UNKNOWN)
