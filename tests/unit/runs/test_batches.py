"""Texts are grouped under a token budget, none lost and none padded beyond it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import TooLittleData
from workbench.methods.contracts import Example
from workbench.model.model import Model
from workbench.runs.batching import group_by_length, plan, runnable


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 120))
def test_groups_hold_every_index_once_under_the_budget(lengths: list[int], budget: int) -> None:
    groups = group_by_length(lengths, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        padded = len(group) * max(lengths[i] for i in group)
        assert padded <= budget or len(group) == 1


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60))
def test_longest_first(lengths: list[int]) -> None:
    order = [lengths[i] for group in group_by_length(lengths, 100) for i in group]
    assert order == sorted(lengths, reverse=True)


def _examples(*texts: str) -> list[Example]:
    return [Example(text=text, source=f"text {i}") for i, text in enumerate(texts, start=1)]


def test_a_plan_holds_each_text_with_its_tokens(tiny_llama: Model) -> None:
    texts = ["the dog", "the cat of the dog and the cat", "a"]
    work = plan(tiny_llama, _examples(*texts), max_tokens=64, batch_tokens=12)
    seen = {}
    for batch in work.batches():
        assert batch.tokens.ids.numel() <= 12 or len(batch.examples) == 1
        for i, example in enumerate(batch.examples):
            seen[example.text] = batch.tokens.row(i)
            assert batch.tokens.texts[i] == example.text
    assert seen == {text: tiny_llama.tokenize(text).row(0) for text in texts}
    assert work.n_tokens == sum(map(len, seen.values()))
    assert (work.n_cut, work.skipped) == (0, ())


@pytest.mark.parametrize("asked", [5, 10**6])
def test_long_texts_are_cut_to_what_is_asked_and_to_what_the_model_holds(
    tiny_llama: Model, asked: int
) -> None:
    limit = min(asked, tiny_llama.spec.max_positions)
    exact, long = "the " * (limit - 1), "the " * 50_000
    work = plan(tiny_llama, _examples(exact, long), max_tokens=asked, batch_tokens=64)
    assert max(map(len, work.rows)) == work.limit == limit
    assert work.n_cut == 1 + (len(tiny_llama.tokenize(exact, limit=limit + 1).row(0)) > limit)
    assert all(
        len(offsets) == len(row) for offsets, row in zip(work.offsets, work.rows, strict=True)
    )


def test_texts_without_a_token_are_skipped_and_named(tiny_llama: Model) -> None:
    work = plan(tiny_llama, _examples("the dog", " "), max_tokens=8, batch_tokens=8)
    assert [e.text for e in work.examples] == ["the dog"]
    assert [e.source for e, _ in work.skipped] == ["text 2"]
    with pytest.raises(TooLittleData, match="no text holds a token"):
        plan(tiny_llama, _examples(" "), max_tokens=8, batch_tokens=8)


def test_a_study_keeps_the_texts_that_the_model_can_run_whole(tiny_llama: Model) -> None:
    longest = tiny_llama.spec.max_positions
    good, skipped = runnable(tiny_llama, _examples("the dog", "the " * (longest + 1), " "))
    assert [e.text for e in good] == ["the dog"]
    told = [(e.source, reason) for e, reason in skipped]
    assert [source for source, _ in told] == ["text 2", "text 3"]
    assert f"longer than the {longest} tokens" in told[0][1]
    with pytest.raises(TooLittleData, match=f"longer than the {longest} tokens"):
        runnable(tiny_llama, _examples("the " * (longest + 1)))
