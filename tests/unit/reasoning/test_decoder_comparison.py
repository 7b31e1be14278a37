"""The decoder comparison agrees with counting by hand, and survives an interruption."""

import json
from collections import Counter

import numpy as np
import pytest

from reasoning._decoder_tables import token_rows
from reasoning.decoder_comparison import DecoderComparison
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example, Stopped, Study
from workbench.model.model import Model
from workbench.options import describe
from workbench.result.estimate import Estimate
from workbench.result.result import Result

TEXTS = ("the cat sat", "the king saw the queen in paris", "2 + 2 =", "a dog ran", "blue bird")
PROMPTS = tuple(Example(text=text, source=f"test:{i}") for i, text in enumerate(TEXTS))


@pytest.fixture(scope="module")
def found(tiny_llama: Model) -> Result:
    recipe = DecoderComparison(new_tokens=24, batch=2, stop=False, contrastive_k=3, shown=3)
    context = Context(seed=7, resamples=200)
    return recipe.study(tiny_llama, PROMPTS, context)


def rep(ids: list[list[int]], n: int) -> float:
    grams = [Counter(tuple(row[i : i + n]) for i in range(len(row) - n + 1)) for row in ids]
    return 1 - sum(map(len, grams)) / sum(g.total() for g in grams)


def test_it_is_a_study_with_options() -> None:
    assert isinstance(DecoderComparison(), Study)
    names = {option.name for option in describe(DecoderComparison)}
    assert names >= {"decoders", "new_tokens", "resistance"}


def test_rep_and_diversity_are_those_counted_by_hand(found: Result, tiny_llama: Model) -> None:
    greedy = tiny_llama.generate(list(TEXTS), limit=24).generated
    texts = found.tables["texts"].frame
    words = texts[texts.decoder == "greedy"].continuation.tolist()
    ids = [tiny_llama.tokenize(text).row(0) for text in words]
    assert [len(row) for row in ids] == [24] * 5
    for got, free in zip(ids, greedy, strict=True):
        assert tuple(got[: len(free)]) == free
    row = found.tables["decoders"].rows()[0]
    expected = [rep(ids, n) for n in (2, 3, 4)]
    assert [row["rep_2"], row["rep_3"], row["rep_4"]] == pytest.approx(expected)
    diversity = np.prod([1 - r for r in expected])
    estimate = found.estimate("diversity.greedy")
    assert estimate.value == pytest.approx(diversity) == pytest.approx(row["diversity"])
    assert estimate.n == 5
    assert estimate.low <= estimate.value <= estimate.high  # type: ignore[operator]
    assert estimate.control is not None
    ratio = found.estimate("diversity_ratio.momentum").value
    momentum = found.estimate("diversity.momentum").value
    assert ratio == pytest.approx(momentum / diversity)  # type: ignore[operator]


def test_every_decoder_is_timed_on_every_batch(found: Result) -> None:
    for name in ("greedy", "sampling", "contrastive", "momentum"):
        estimate = found.estimate(f"seconds_per_token.{name}")
        assert estimate.value is not None
        assert 0 < estimate.value < 10
        assert (estimate.n, estimate.n_unit) == (3, "batches")


def test_the_shown_prompt_has_tokens_and_candidates(found: Result) -> None:
    tokens = found.tables["tokens"].frame
    assert set(tokens.groupby("decoder").size()) == {24}
    for name, k in (("contrastive", 3), ("momentum", 5)):
        table = found.tables[f"candidates_{name}"].frame
        assert len(table) == 24 * k
        chosen = table[table.chosen]
        written = tokens[tokens.decoder == name]
        assert chosen.token_id.tolist() == written.token_id.tolist()
    assert "candidates_greedy" not in found.tables
    momentum = found.tables["candidates_momentum"].frame
    chosen = momentum[momentum.chosen].repeated.tolist()
    assert chosen == tokens[tokens.decoder == "momentum"].repeated.tolist()
    json.dumps(found.as_dict())


def test_same_seed_same_texts_in_any_batch(found: Result, tiny_llama: Model) -> None:
    recipe = DecoderComparison(new_tokens=24, batch=5, stop=False, contrastive_k=3, shown=3)
    again = recipe.study(tiny_llama, PROMPTS, Context(seed=7, resamples=200))
    other = recipe.study(tiny_llama, PROMPTS, Context(seed=8, resamples=200))
    texts = [list(result.tables["texts"]["continuation"]) for result in (found, again, other)]
    assert texts[0] == texts[1] != texts[2]


def test_loops_point_back_to_their_last_occurrence() -> None:
    from reasoning._decoder_runs import Continuation, Written

    text = Continuation(ids=(1, 2, 3, 1, 2, 9), logprob=0.0, ended="limit")
    rows = token_rows([9], {"greedy": Written(texts=[text])}, 0, lambda ids: str(ids[0]))
    assert [row["repeated"] for row in rows] == [0, 0, 0, 1, 2, 1]
    assert [row["back"] for row in rows] == [None, None, None, 3, 3, 6]


def test_an_interruption_keeps_what_every_decoder_has_finished(tiny_llama: Model) -> None:
    def stop(done: int, total: int, label: str) -> None:
        if done > 10:
            raise KeyboardInterrupt

    recipe = DecoderComparison(new_tokens=4, batch=2)
    with pytest.raises(Stopped) as stopped:
        recipe.study(tiny_llama, PROMPTS, Context(progress=stop, resamples=50))
    assert stopped.value.result.estimate("diversity.greedy").n == 2


def test_one_prompt_and_short_texts_give_no_interval_and_no_nan(tiny_llama: Model) -> None:
    recipe = DecoderComparison(new_tokens=2, decoders=("greedy", "momentum"))
    result = recipe.study(tiny_llama, PROMPTS[:1], Context(resamples=50))
    estimate = result.estimate("diversity.greedy")
    assert (estimate.value, estimate.low) == (None, None)
    assert "too short" in estimate.note
    assert "too short" in result.summary


def test_prompts_that_do_not_fit_are_named(tiny_llama: Model) -> None:
    long = Example(text="cat " * tiny_llama.spec.max_positions, source="file:9")
    recipe = DecoderComparison(new_tokens=5, decoders=("greedy",))
    result = recipe.study(tiny_llama, [PROMPTS[0], long], Context(resamples=50))
    assert any("file:9" in note.text for note in result.notes)
    with pytest.raises(TooLittleData):
        recipe.study(tiny_llama, [long], Context())
    with pytest.raises(TooLittleData):
        recipe.study(tiny_llama, [], Context())


def test_policies_that_run_rows_in_their_own_way_are_told_step_by_step(tiny_llama: Model) -> None:
    recipe = DecoderComparison(
        decoders=("greedy", "beam", "hidden-states"), new_tokens=18, stop=False, rate=0.02
    )
    result = recipe.study(tiny_llama, PROMPTS[:2], Context(seed=7, resamples=20))
    assert result.tables["decoders"].frame["decoder"].tolist() == [
        "greedy",
        "beam",
        "hidden-states",
    ]
    assert {"candidates_beam", "candidates_hidden-states"} <= set(result.tables)


@pytest.mark.parametrize(
    ("low", "told"),
    [
        (1.1, "momentum repeats itself less than greedy: diversity_ratio.momentum 2 [1.1, 3]"),
        (0.9, "No decoder is shown to repeat itself less than greedy: diversity_ratio.momentum 2"),
    ],
)
def test_a_decoder_is_named_only_where_it_is_shown_to_differ(low: float, told: str) -> None:
    from reasoning.decoder_comparison import _summary

    diversity = [
        Estimate(name=f"diversity.{name}", value=value, unit="", n=9)
        for name, value in (("greedy", 0.4), ("momentum", 0.8))
    ]
    ratio = Estimate(name="diversity_ratio.momentum", value=2.0, unit="", n=9, low=low, high=3.0)
    assert _summary(diversity, [ratio]).startswith(told)
