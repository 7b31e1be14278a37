"""What states behind questions are read for: planted facts, and swaps that must or must not act."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from probes import asked_states, choice_correctness, choice_structure
from probes.choice_correctness import ChoiceCorrectness, losses
from probes.choice_structure import ChoiceStructure
from probes.choice_swap import ChoiceSwap, partners, swapped
from workbench.errors import BadOption, TooLittleData
from workbench.methods.contracts import Context
from workbench.model.loading import load_model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import pad
from workbench.model.wrap import wrap_model
from workbench.result.result import Result
from workbench.sampling.choice_states import ASKED, AskedItems, ask_task
from workbench.sampling.items import Item

N, D = 120, 8
SITES = (Site(Kind.RESID_POST, 0), Site(Kind.RESID_POST, 1))


def _asked(model, *, n=N, seed=0):
    """Pairs whose answer the second layer holds in its first direction; the model says Yes."""
    draw = np.random.default_rng(seed)
    items = tuple(
        Item(id=f"q{i}", task="t", family="ab"[i // 2 % 2], prompt="", gold=i % 2,
             group=f"pair-{i // 2}", meta={"facts": {"big": bool(i // 2 % 3)}})
        for i in range(n)
    )  # fmt: skip
    gold = np.arange(n) % 2
    noise = draw.standard_normal((n, model.spec.d_model)).astype(np.float32)
    held = noise.copy()
    held[:, 0] += np.where(gold == 0, 3.0, -3.0)
    held[:, 1] += np.where(np.arange(n) // 2 % 3 > 0, 3.0, -3.0)
    rows = tuple(tuple(map(int, draw.integers(4, 60, 5 + i // 2 % 3))) for i in range(n))
    answers = np.tile([10, 11], (n, 1))
    return AskedItems(
        items=items, ids=rows, answers=answers, logp=np.tile([-0.5, -1.0], (n, 1)),
        states={(ASKED, SITES[0]): noise, (ASKED, SITES[1]): held}, embedded=noise,
    )  # fmt: skip


@pytest.fixture
def planted(tiny_llama, monkeypatch):
    asked = _asked(tiny_llama)
    monkeypatch.setattr(asked_states, "ask_task", lambda *_, **__: asked)
    return replace(Context.of(tiny_llama, resamples=50), limit=N)


def test_planted_facts_are_read_where_they_stand_and_shuffled_ones_are_not(planted, tiny_llama):
    found = ChoiceStructure(layers=":2").study(tiny_llama, (), planted)
    table = found.tables["facts"].frame.set_index(["fact", "layer"])
    for fact in ("answer", "big"):
        assert table.loc[(fact, 1), "auroc"] > 0.97
        assert table.loc[(fact, 1), "auroc_low"] <= table.loc[(fact, 1), "auroc"]
        assert 0.3 < table.loc[(fact, 0), "auroc"] < 0.7
        assert 0.3 < table.loc[(fact, 1), "auroc_shuffled"] < 0.7
    knows = found.tables["knows"].frame.set_index(["state", "answer"])["n"]
    # The model says Yes to all: half is wrong, and there the state knows nearly always.
    assert knows.sum() == N
    assert knows[("right", "wrong")] > 0.9 * N / 2
    assert not found.notes


def test_a_state_that_knows_predicts_a_right_answer_and_another_one_does_not(planted, tiny_llama):
    found = ChoiceCorrectness(layers=":2").study(tiny_llama, (), planted)
    table = found.tables["layers"].frame.set_index("layer")
    # Without the state half of the answers are right whatever the question: log 2.
    assert 0.5 < table.loc[1, "gain"] < np.log(2) + 0.05
    assert table.loc[1, "gain_low"] > 0.4
    assert table.loc[0, "gain"] < 0.05
    assert abs(table.loc[1, "gain_shuffled"]) < 0.15
    assert found.summary.startswith("The state tells more")


def test_a_state_that_knows_nothing_costs_hardly_anything(tiny_llama):
    """What it says of a training question is fitted to others, or its fit would be believed."""
    asked = _asked(tiny_llama)
    noise = np.random.default_rng(0).normal(size=(len(asked.items), 60))
    fold = np.unique(asked.groups, return_inverse=True)[1] % 5
    gain = losses(asked, None, fold) - losses(asked, noise, fold)
    assert abs(gain.mean()) < 0.05


def test_an_answer_that_is_always_right_leaves_nothing_to_predict(planted, tiny_llama, monkeypatch):
    asked = _asked(tiny_llama)
    sure = replace(asked, logp=np.where(asked.gold[:, None] == [0, 1], -0.1, -2.0))
    monkeypatch.setattr(asked_states, "ask_task", lambda *_, **__: sure)
    with pytest.raises(TooLittleData, match="120 answers are right and 0 wrong"):
        ChoiceCorrectness().study(tiny_llama, (), planted)


def test_whole_states_swapped_behind_the_last_layer_swap_the_margins(tiny_llama):
    model, last = tiny_llama, Site(Kind.RESID_POST, tiny_llama.spec.n_layers - 1)
    asked = _asked(model, n=8)
    ids = [asked.ids[i] for i in range(8)]
    x = np.stack([model.run(pad([r]), read=[last]).row(0, last)[-1].numpy() for r in ids])
    other = partners(asked)
    zero = np.zeros_like(x)
    changes = {last: {"whole": [x[other] - x], "none": [zero]}, SITES[0]: {"none": [zero]}}
    found = swapped(model, asked, changes, Context.of(model))
    own = found[last, "none", 0]
    for row, margin in zip(ids, own, strict=True):
        logits = torch.as_tensor(model.run(pad([row]), logits="last").logits)[0, -1].double()
        assert margin == pytest.approx(float(logits[10] - logits[11]), abs=1e-5)
    assert np.allclose(found[last, "whole", 0], own[other], atol=1e-5)
    assert np.allclose(found[SITES[0], "none", 0], own, atol=1e-6)


def test_answers_of_a_trained_network_follow_the_swap_and_no_random_direction():
    model = load_model("corr2cause-three", device="cpu")
    task = "corr2cause?nodes=3&wording=brief&letters=4"
    context = Context.of(model, resamples=20, task=task, limit=48)
    found = ChoiceSwap(layers="1", draws=2).study(model, (), context)
    (row,) = found.tables["layers"].rows()
    assert row["follows_low"] > 0.75
    assert row["follows_random_high"] < 0.5
    assert row["follows_none_high"] < 0.5
    assert 0.9 < row["moved"] < 1.1
    assert found.summary.startswith("Answers follow the swap")


def test_questions_that_are_no_pairs_are_named(tiny_llama):
    asked = _asked(tiny_llama, n=6)
    alone = replace(asked, items=(*asked.items[:5], replace(asked.items[5], group="alone")))
    with pytest.raises(BadOption, match="is no pair of questions"):
        partners(alone)


def test_questions_too_long_for_the_model_are_left_out_with_their_group_and_told(tiny_llama):
    task, context = "corr2cause?nodes=4", Context(limit=20)
    lengths = [len(ids) for ids in ask_task(tiny_llama, task, (), context, limit=20).ids]
    short = wrap_model(tiny_llama.backend.module, tiny_llama.tokenizer, name="short")
    short.spec = replace(short.spec, max_positions=int(np.median(lengths)) + 2)
    asked = ask_task(short, task, (), context, limit=20)
    assert 0 < asked.n_long == 20 - len(asked.items)
    assert set(np.unique(asked.groups, return_counts=True)[1]) == {2}
    (note,) = asked.told(Result(summary="")).notes
    assert note.text == f"{asked.n_long} questions are too long for the model"


def test_a_training_part_without_both_values_still_gives_numbers(tiny_llama):
    asked = _asked(tiny_llama, n=12)
    fold = np.arange(12) // 2 % 3
    only = {"big": fold == 0}  # true in one part alone, so that the others lack it
    read = choice_structure._read(asked.states[ASKED, SITES[1]], only, asked, fold)
    assert np.isfinite(read["big"]).all()


def test_a_question_alone_in_its_part_has_no_other_to_be_compared_with(tiny_llama):
    with pytest.raises(TooLittleData, match="holds only one"):
        choice_correctness._other_questions(np.arange(4), Context.of(tiny_llama))
