"""Explainers against a lexical model whose effects are known in closed form."""

from dataclasses import replace

import numpy as np
import pytest

from causal.concepts.explain import Asked, Known, conexp, errors, matched, nearest, textual, zero
from causal.concepts.rows import cebab_rows, concepts_of, lexical_rows
from workbench.errors import BadRows, DataError
from workbench.methods.contracts import Example

W = {"food": {"positive": 1.2, "negative": -1.0}, "service": {"positive": 1.5, "negative": -1.5}}


def examples(n=4000, seed=0):
    rows = lexical_rows(n, np.random.default_rng(seed))
    return [
        Example(text=r["text"], group=r["group"], fields=r, number=i) for i, r in enumerate(rows)
    ]


def answers(rows):
    """p = softmax of (0, W_T + W_C + u/4): a model of the slots."""
    score = np.array(
        [
            W["food"][r.fields["food"]] + W["service"][r.fields["service"]] + r.fields["wait"] / 4
            for r in rows
        ]
    )
    p = 1 / (1 + np.exp(-score))
    return np.column_stack([1 - p, p])


@pytest.fixture(scope="module")
def lexical():
    rows = examples()
    found = concepts_of(
        rows, "food", ["service"], n_fit=1500, n_pairs=400, generator=np.random.default_rng(1)
    )
    p, wait = answers(rows), np.array([r.fields["wait"] for r in rows])
    known = Known(t=found.t, c=found.c, p=p)
    fit, source = (
        Known(t=known.t[i], c=known.c[i], p=p[i]) for i in (found.fit, found.pairs[:, 0])
    )
    true = p[found.pairs[:, 1]] - p[found.pairs[:, 0]]
    asked = Asked(source=source, to=found.t[found.pairs[:, 1]])
    observed = [r.number for r in rows if not r.fields["edited"]]
    return found, fit, asked, true, wait, observed


def l2(true, guess):
    return float(errors(true, guess)["l2"].mean())


def test_1_matching_on_everything_is_exact_and_back_door_beats_association(lexical) -> None:
    found, fit, asked, true, wait, observed = lexical
    draw = np.random.default_rng(2)
    everything = np.abs(wait[found.pairs[:, 0]][:, None] - wait[found.fit][None]) + 100.0 * (
        asked.source.c[:, None, 0] != fit.c[None, :, 0]
    )
    exact = matched(fit, asked, nearest(fit, asked, draw, k=1, distance=everything))
    assert l2(true, exact) < 1e-12
    guess = {name: explain(fit, asked, draw) for name, explain in textual(20).items()}
    association = l2(true, guess["conexp"])
    assert l2(true, guess["s-learner"]) < 0.6 * association
    assert l2(true, guess["approx"]) < association
    # Texts as they were found: matching that is blind to the control is no better than association.
    found_ones = np.isin(found.pairs[:, 0], observed)
    blind = replace(asked, source=replace(asked.source, c=np.full_like(asked.source.c, "x")))
    guess["blind"] = matched(fit, asked, nearest(fit, blind, draw, k=200))
    errs = {name: l2(true[found_ones], guess[name][found_ones]) for name in ("blind", "conexp")}
    assert errs["blind"] > 0.98 * errs["conexp"]


def test_2_the_zero_explainer_errs_by_the_size_of_the_effect(lexical) -> None:
    _, fit, asked, true, *_ = lexical
    found = errors(true, zero(fit, asked, np.random.default_rng(0)))
    size = np.linalg.norm(true, axis=1)
    assert np.array_equal(found["l2"], size)
    assert np.array_equal(found["normdiff"], size)
    assert (found["cosine"] == 1).all()


def test_3_the_oracle_errs_in_the_cosine_of_effects_that_are_zero() -> None:
    true = np.array([[0.1, -0.1], [0.0, 0.0], [0.3, -0.3], [0.0, 0.0]])
    found = errors(true, true)
    assert found["l2"].max() == found["normdiff"].max() == 0
    assert found["cosine"].mean() == pytest.approx(0.5, abs=1e-12)


def test_the_three_errors_are_one_identity() -> None:
    a, b = np.random.default_rng(3).standard_normal((2, 50, 5))
    found = errors(a, b)
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both = found["normdiff"] ** 2 + 2 * sizes * found["cosine"]
    np.testing.assert_allclose(found["l2"] ** 2, both, atol=1e-12)


def test_8_reversed_pairs_have_opposite_effects(lexical) -> None:
    found, _, _, true, *_ = lexical
    known = {tuple(pair): effect for pair, effect in zip(found.pairs, true, strict=True)}
    both = [(i, j) for i, j in known if (j, i) in known]
    assert len(both) > 20
    for i, j in both:
        np.testing.assert_array_equal(known[i, j], -known[j, i])
    assert np.abs(sum(known[pair] for pair in both)).max() < 1e-12


def test_association_takes_what_goes_with_the_concept_for_its_effect(lexical) -> None:
    _, fit, asked, true, *_ = lexical
    size = np.linalg.norm(conexp(fit, asked, np.random.default_rng(0)), axis=1).mean()
    assert size > 1.5 * np.linalg.norm(true, axis=1).mean()


def test_pairs_come_from_the_edit_and_values_from_the_labels_and_groups_stay_apart() -> None:
    def row(group, edited, food, service, split):
        fields = {"edited": edited, "food": food, "service": service, "split": split}
        return Example(text="x", group=group, fields=fields)

    rows = [
        row("a", "", "Positive", "Positive", "pairs"),
        row("a", "food", "Negative", "Positive", "pairs"),
        row("a", "food", "no majority", "Positive", "pairs"),
        row("a", "service", "Negative", "Negative", "pairs"),
        row("b", "", "Positive", "", "fit"),
        row("b", "", "Negative", "", "pairs"),
        row("c", "", "Positive", "Positive", "fit"),
        row("d", "", "Negative", "Negative", "fit"),
    ]
    found = concepts_of(
        rows, "food", ["service"], n_fit=9, n_pairs=9, generator=np.random.default_rng(0)
    )
    assert sorted(map(tuple, found.pairs)) == [(0, 1), (1, 0)]
    assert found.fit.tolist() == [6, 7]


def test_rows_without_pairs_or_values_are_named() -> None:
    rows = [Example(text="x", group=str(i), fields={"food": "ab"[i % 2]}) for i in range(8)]
    with pytest.raises(BadRows, match="no row has a value of 'noise'; no two texts"):
        concepts_of(rows, "food", ["noise"], n_fit=9, n_pairs=9, generator=np.random.default_rng(0))


def test_an_archive_that_is_none_is_named(tmp_path) -> None:
    with pytest.raises(DataError, match="not the CEBaB archive"):
        list(cebab_rows(tmp_path / "gone.zip"))


@pytest.mark.parametrize(
    ("values", "told"),
    [(["a"] * 8, "all 4 texts to fit to have the value 'a' of 'food'"), ([""] * 8, "no row has")],
)
def test_values_that_nothing_can_be_fitted_to_are_told(values: list[str], told: str) -> None:
    rows = [Example(text="x", group=str(i), fields={"food": v}) for i, v in enumerate(values)]
    with pytest.raises(BadRows, match=told) as caught:
        concepts_of(rows, "food", [], n_fit=9, n_pairs=9, generator=np.random.default_rng(0))
    assert "[]" not in caught.value.message
