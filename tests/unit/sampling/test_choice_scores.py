"""Choices scored by log-probability against one forward pass each; metrics against sklearn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import metrics

from workbench.errors import DataError
from workbench.methods.contracts import Context
from workbench.model.tokens import pad
from workbench.sampling.choice_baselines import BASELINES, baseline_scores
from workbench.sampling.choice_metrics import Predictions
from workbench.sampling.choice_scores import Request, log_probabilities, requests
from workbench.sampling.choice_words import WordGrader
from workbench.sampling.items import Item, items_of, manifest
from workbench.sampling.task import open_task


def test_scores_are_those_of_one_pass_over_each_text(tiny):
    model = tiny
    asked = [Request(ids=(5, 6, 7, 8), start=2), Request(ids=(5, 6, 7, 9), start=2),
             Request(ids=(9, 8, 7, 6, 5, 4, 11), start=6)]  # fmt: skip
    found = log_probabilities(model, asked, Context.of(model))
    for one, value in zip(asked, found, strict=True):
        logits = model.run(pad([one.ids]), logits="all").logits[0].double()
        logp = torch.log_softmax(logits, dim=-1)
        expected = sum(float(logp[i - 1, one.ids[i]]) for i in range(one.start, len(one.ids)))
        assert value == pytest.approx(expected, abs=1e-5)


def test_a_choice_is_scored_from_where_it_leaves_the_prompt(tiny_llama):
    one, other = requests(tiny_llama, "the cat saw", ("king", "queen man"), chat=False)
    assert one.start == other.start
    assert one.ids[: one.start] == other.ids[: one.start]
    assert 0 < one.start < len(one.ids) < len(other.ids)


def _predictions(seed=0, n=60):
    draw = np.random.default_rng(seed)
    gold = draw.integers(0, 2, n)
    scores = draw.normal(size=(n, 2)) + np.eye(2)[gold]
    return Predictions(scores=scores, gold=gold, groups=[str(i // 3) for i in range(n)])


def test_metrics_are_those_of_sklearn_weighted_or_not():
    one = _predictions()
    w = np.stack([np.ones(60), np.random.default_rng(1).integers(0, 4, 60)]).astype(float)
    margin = one.scores[:, 0] - one.scores[:, 1]
    for row in range(2):
        kw, yes, said = {"sample_weight": w[row]}, one.gold == 0, one.chosen == 0
        expected = {
            "accuracy": metrics.accuracy_score(yes, said, **kw),
            "balanced_accuracy": metrics.balanced_accuracy_score(yes, said, **kw),
            "f1": metrics.f1_score(yes, said, **kw),
            "mcc": metrics.matthews_corrcoef(yes, said, **kw),
            "auroc": metrics.roc_auc_score(yes, margin, **kw),
            "brier": 2 * metrics.brier_score_loss(yes, one.p[:, 0], **kw),
        }
        for name, value in expected.items():
            assert one.measure(name, w)[row] == pytest.approx(value), name


def test_calibration_is_zero_where_confidence_is_the_share_of_right_answers():
    p = np.log(np.tile([0.75, 0.25], (8, 1)))
    sure = Predictions(scores=p, gold=np.array([0, 0, 0, 1] * 2), groups=list("abcdefgh"))
    assert sure.measure("ece", np.ones((1, 8)))[0] == pytest.approx(0.0, abs=1e-12)
    wrong = Predictions(scores=p, gold=np.ones(8, dtype=int), groups=list("abcdefgh"))
    assert wrong.measure("ece", np.ones((1, 8)))[0] == pytest.approx(0.75)


def test_copies_within_groups_do_not_narrow_an_interval():
    one = _predictions(n=30)
    copies = Predictions(
        scores=np.repeat(one.scores, 5, axis=0),
        gold=np.repeat(one.gold, 5),
        groups=np.repeat(one.groups, 5).tolist(),
    )
    widths = []
    for found in (one, copies):
        e = found.estimates(resamples=300, generator=np.random.default_rng(0))["accuracy"]
        widths.append(e.high - e.low)
    assert widths[0] == pytest.approx(widths[1], rel=1e-6)


def test_a_metric_that_does_not_apply_is_undefined_or_absent():
    same = Predictions(
        scores=np.tile([1.0, 0.0], (6, 1)), gold=np.array([0, 1] * 3), groups=list("abcdef")
    )
    found = same.estimates(resamples=50, generator=np.random.default_rng(0))
    assert found["mcc"].value is None
    assert found["mcc"].note
    three = Predictions(scores=np.eye(3), gold=np.arange(3), groups=list("abc"))
    assert "f1" not in three.names


def _items(text, n=60):
    return [
        Item(id=str(i), task="t", family="f", prompt=text(i), gold=i % 2, group=str(i // 2),
             template="one") for i in range(n)
    ]  # fmt: skip


def _right(name, items):
    scores = baseline_scores(name, items, generator=np.random.default_rng(0))
    return float((scores.argmax(axis=1) == [i.gold for i in items]).mean())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("words", lambda i: f"the {'red' if i % 2 else 'blue'} thing number {i}"),
        ("length", lambda i: "word " * (20 if i % 2 else 5)),
    ],
)
def test_each_shortcut_is_found_by_its_baseline_alone(name, text):
    items = _items(text)
    assert _right(name, items) == 1.0
    assert _right("constant", items) == _right("template", items) == 0.5


def test_a_baseline_never_sees_the_group_it_is_asked_about():
    """Every group has words of its own that tell the answer, which are of no use elsewhere."""
    items = [
        replace(item, group=str(i // 4))
        for i, item in enumerate(_items(lambda i: f"own{i // 4}{'ab'[i % 2]} asks"))
    ]
    assert _right("words", items) <= 0.6
    assert all(_right(name, items[:2]) == 0.5 for name in BASELINES)


def test_tasks_with_choices_become_items_and_others_are_refused():
    prosqa = items_of(open_task("prosqa?hops=2&classes=6"), 2, np.random.default_rng(0))
    assert [i.answer in i.choices for i in prosqa] == [True, True]
    with pytest.raises(DataError, match="offers"):
        items_of(open_task("sums"), 2, np.random.default_rng(0))
    with pytest.raises(DataError, match="two different choices"):
        Item(id="x", task="t", family="f", prompt="p", gold=2)
    assert manifest(prosqa) != manifest(prosqa[:1])


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes, it does.", "Yes"),
        ("The answer is no.", "No"),
        ("It might be yes.\nThe answer is: No", "No"),
        ("So we say\n**no**", "No"),
        ("### Yes", "Yes"),
        ("The answer is yes or no", "Yes"),
        ("Nothing follows", None),
        ("yes or no?", "Yes"),
        ("", None),
    ],
)
def test_a_choice_in_words_is_read(text, answer):
    assert WordGrader(words=("Yes", "No")).extract(text) == answer
