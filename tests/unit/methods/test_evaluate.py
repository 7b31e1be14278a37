"""The evaluator: planted truth found, chance where there is none, problems named."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from probes.linear import Linear
from probes.mean_difference import MeanDifference
from probes.planted import made_up_spec
from probes.readouts import ConstantReadout
from workbench.errors import BadOption, BadRows, FitError, NotFinite, TooLittleData
from workbench.methods.contracts import Accumulator, Context, Example, Measure
from workbench.methods.evaluate import (
    Evaluation,
    ReadoutAccumulator,
    ReadoutMeasure,
    evaluate,
    one_vector_per_text,
)
from workbench.methods.labels import Labelled, check_labels
from workbench.model.sites import Site
from workbench.model.tokens import pad
from workbench.model.trace import Trace

SITE = Site.parse("resid_post.1[-1]")
QUICK = Evaluation(n_shuffles=19)

SPEC = made_up_spec(3, 8)


def _rows(labels, groups=None):
    groups = groups if groups is not None else [""] * len(labels)
    return [
        Labelled(label=y, group=str(g), source=f"data.jsonl:{i}", text=f"text {i}")
        for i, (y, g) in enumerate(zip(labels, groups, strict=True), 1)
    ]


def _cloud(n=120, gap=3.0, d=8, seed=0):
    rng = np.random.default_rng(seed)
    side = np.arange(n) % 2
    x = rng.standard_normal((n, d)).astype(np.float32)
    x[:, 0] += gap * (side - 0.5)
    return x, [("low", "high")[s] for s in side]


def _run(probe, x, labels, groups=None, evaluation=QUICK, context=None):
    context = context or Context(resamples=200)
    return evaluate(probe, {SITE: x}, _rows(labels, groups), context, evaluation)


def test_planted_direction_scores_like_the_best_possible_rule():
    x, labels = _cloud(n=2000, gap=3.0)
    row = _run(MeanDifference(), x, labels).tables["sites"].rows()[0]
    best = np.mean((x[:, 0] > 0) == (np.array(labels) == "high"))
    assert best == pytest.approx(0.933, abs=0.02)  # Φ(1.5)
    assert row["low"] <= best <= row["high"]
    assert row["high"] - row["low"] == pytest.approx(4 * (0.07 * 0.93 / 2000) ** 0.5, rel=0.3)
    assert row["p"] == pytest.approx(1 / 20)
    assert row["majority"] == pytest.approx(0.5)
    assert abs(row["shuffled"] - 0.5) < 0.03
    assert abs(row["random"] - 0.5) < 0.03
    assert row["n"] == row["n_groups"] == 2000


def test_nothing_planted_nothing_found():
    x, labels = _cloud(gap=0.0)
    result = _run(Linear(), x, labels)
    row = result.tables["sites"].rows()[0]
    assert row["p"] > 0.05
    assert any("no site scores above" in note.text for note in result.notes)


def test_p_values_are_calibrated_under_the_null():
    rejected = 0
    for seed in range(25):
        x, labels = _cloud(n=40, gap=0.0, seed=seed)
        found = _run(MeanDifference(), x, labels, evaluation=Evaluation(n_shuffles=9))
        rejected += found.tables["sites"]["p"].iloc[0] <= 0.1
    assert rejected <= 6  # 99 % point of Binomial(25, 0.1)


def test_groups_are_the_unit_of_null_and_interval():
    # Every group has its own offset and one label: rows look informative, groups are not.
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(15):
        offset = rng.standard_normal((20, 6))
        group = np.repeat(np.arange(20), 10)
        x = (offset[group] + 0.1 * rng.standard_normal((200, 6))).astype(np.float32)
        labels = [("a", "b")[g % 2] for g in group]
        found = _run(MeanDifference(), x, labels, group, Evaluation(n_shuffles=9))
        rejected += found.tables["sites"]["p"].iloc[0] <= 0.1
        assert found.tables["sites"]["n_groups"].iloc[0] == 20
    assert rejected <= 5  # 99 % point of Binomial(15, 0.1)


@dataclass(frozen=True, kw_only=True)
class _Always:
    """Answers one class."""

    value: tuple[float, ...]

    def sites(self, spec):
        return (SITE,)

    def fit(self, data):
        return ConstantReadout(torch.tensor(self.value), data.classes)


def test_a_constant_readout_equals_the_majority_control():
    x, _ = _cloud(n=100)
    labels = ["a"] * 70 + ["b"] * 30
    row = _run(_Always(value=(1.0, 0.0)), x, labels).tables["sites"].rows()[0]
    assert row["score"] == row["majority"] == 0.7
    assert row["balanced_accuracy"] == 0.5
    assert row["auroc"] == 0.5
    assert row["p"] == 1.0


def test_numbers_are_regressed():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, 6)).astype(np.float32)
    y = [float(v) for v in x[:, 2] * 3 + rng.standard_normal(300)]
    result = _run(Linear(regularisation=1e-3), x, y)
    row = result.tables["sites"].rows()[0]
    assert row["low"] < 0.9 < row["high"]  # 9/(9 + 1)
    assert row["correlation"] == pytest.approx(0.9**0.5, abs=0.03)
    assert row["majority"] < 0.01
    assert result.views[-1].diagonal
    assert "confusion" not in result.tables


def test_correction_over_sites_and_the_best_is_marked():
    x, labels = _cloud(n=200)
    noise = np.random.default_rng(9).standard_normal((3, 200, 8)).astype(np.float32)
    vectors = {Site.parse(f"resid_post.{i}[-1]"): v for i, v in enumerate([*noise, x])}
    rows = _rows(labels)
    # Of four sites one can be found at 5 % with 79 shuffles, by the largest of all with 19.
    for method, shuffles in (("bh", 79), ("max", 19)):
        evaluation = Evaluation(n_shuffles=shuffles, correction=method)
        result = evaluate(MeanDifference(), vectors, rows, Context(resamples=50), evaluation)
        table = result.tables["sites"]
        assert table["p_corrected"].iloc[3] <= 0.05
        assert (table["p_corrected"] >= table["p"] - 1e-12).all()
        assert (table["p_corrected"].iloc[:3] > 0.05).all()
    assert "highest of 4 sites" in result.estimate("best accuracy").note
    assert result.views[0].x == "layer"


def test_same_seed_same_numbers_and_another_seed_other_folds():
    x, labels = _cloud(gap=1.0)
    quick = Evaluation(n_shuffles=4)
    first = _run(Linear(), x, labels, evaluation=quick)
    assert first.equals(_run(Linear(), x, labels, evaluation=quick))
    other = _run(Linear(), x, labels, evaluation=quick, context=Context(seed=1, resamples=200))
    assert not first.equals(other)


def test_the_order_of_the_batches_does_not_matter():
    x, labels = _cloud(n=60, gap=1.0)
    rows = _rows(labels)
    order = np.random.default_rng(0).permutation(60)
    found = [
        evaluate(
            MeanDifference(),
            {SITE: x[at]},
            [rows[i] for i in at],
            Context(resamples=50),
            Evaluation(n_shuffles=4),
        )
        for at in (np.arange(60), order)
    ]
    assert found[0].equals(found[1])
    assert found[0].tables["examples"]["source"].tolist()[:2] == ["data.jsonl:1", "data.jsonl:2"]


def test_every_label_problem_is_named_at_once():
    x, labels = _cloud(n=40)
    labels[3] = None
    labels[7] = 2.0
    with pytest.raises(BadRows) as error:
        _run(Linear(), x, labels)
    assert "data.jsonl:4" in str(error.value)
    assert "data.jsonl:8" in str(error.value)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["a"] * 40, "expected at least two kinds"),
        (["a"] * 38 + ["b"] * 2, "class 'b' has 2 examples"),
        ([1.0] * 39 + [float("nan")], "not finite"),
        ([None] * 40, "40 of 40 rows have no label"),
    ],
)
def test_labels_that_cannot_be_used(labels, words):
    x, _ = _cloud(n=40)
    with pytest.raises(BadRows, match=words):
        _run(Linear(), x, labels)


def test_labels_can_be_checked_before_the_model_runs():
    examples = [Example(text="x", label="a", source=f"f:{i}") for i in range(9)]
    with pytest.raises(BadRows, match="expected at least two kinds"):
        check_labels(examples)
    check_labels([Example(text="x", label=float(i)) for i in range(9)])


def test_two_numbers_are_classes_and_the_result_says_so():
    x, labels = _cloud()
    numbers = [1.0 if y == "high" else 0.0 for y in labels]
    result = _run(MeanDifference(), x, numbers)
    assert {row["label"] for row in result.tables["confusion"].rows()} == {"0", "1"}
    assert any("were read as classes" in note.text for note in result.notes)


def test_a_metric_for_the_other_kind_is_refused():
    x, labels = _cloud()
    with pytest.raises(BadOption, match="r2 is not for classes"):
        _run(Linear(), x, labels, evaluation=Evaluation(metric="r2", n_shuffles=4))


def test_no_texts_is_an_error():
    with pytest.raises(TooLittleData):
        evaluate(Linear(), {}, [], Context(), QUICK)


@dataclass(frozen=True, kw_only=True)
class _Diverges:
    """Never converges."""

    def sites(self, spec):
        return (SITE,)

    def fit(self, data):
        raise FitError("no convergence")


def test_a_failed_fit_names_the_site():
    x, labels = _cloud()
    with pytest.raises(FitError, match=r"resid_post\.1\[-1\]: no convergence"):
        _run(_Diverges(), x, labels)


def _trace(lengths=(3, 5), seed=0, site=SITE):
    generator = torch.Generator().manual_seed(seed)
    tokens = pad([list(range(1, n + 1)) for n in lengths])
    width = 1 if site.positions else max(lengths)
    x = torch.randn(len(lengths), width, 8, generator=generator)
    return Trace(spec=SPEC, tokens=tokens, activations={site: x})


def _examples(first, n=2):
    return [Example(text=f"t{i}", label=f"{i % 2}", group=f"g{i}") for i in range(first, first + n)]


def test_states_merge():
    probe = MeanDifference(site=SITE)
    whole, left, right = (ReadoutAccumulator(probe, Context()) for _ in range(3))
    for i in range(4):
        for accumulator in (whole, left if i < 2 else right):
            accumulator.add(_trace(seed=i), _examples(2 * i))
    left.merge(right.state())
    again = ReadoutAccumulator(probe, Context())
    again.merge(left.state())
    for other in (left, again):
        assert other.state().keys() == whole.state().keys()
        for name, array in whole.state().items():
            assert np.array_equal(array, other.state()[name]), name
    assert isinstance(whole, Accumulator)
    assert isinstance(ReadoutMeasure(probe=probe), Measure)


def test_a_site_without_positions_is_a_mean_over_real_tokens():
    site = Site.parse("resid_post.1")
    trace = _trace(site=site)
    x = one_vector_per_text(trace, site)
    raw = trace.activations[site]
    assert torch.allclose(x[0], raw[0, :3].mean(0), atol=1e-6)
    assert torch.allclose(x[1], raw[1].mean(0), atol=1e-6)


def test_nan_activations_name_their_row():
    trace = _trace()
    trace.activations[SITE][1, 0, 2] = float("nan")
    with pytest.raises(NotFinite, match="row 2"):
        ReadoutAccumulator(MeanDifference(site=SITE), Context()).add(trace, _examples(0))
