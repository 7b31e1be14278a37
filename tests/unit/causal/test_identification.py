"""When the data fix the order, and when they do not: the verdict and its evidence."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from causal.hca.fit import HierarchicalFit, fit_domains
from causal.hca.ica import IcaOptions, fit_ica
from causal.identification import bootstrap
from causal.identification.bootstrap import (
    Bootstrap,
    BootstrapOptions,
    bootstrap_fit,
    match_components,
    spread,
)
from causal.identification.choice import choose_domains
from causal.identification.evaluation import Identification, IdentificationOptions, identify
from causal.identification.nulls import (
    all_subsets,
    gaussianity,
    order_test,
    placebo_scores,
    rotation_null,
)
from causal.identification.verdict import judge
from causal.planted.simulate import Design, plant
from workbench.errors import BadOption, CorruptRun, FitError

QUICK = IdentificationOptions(
    resamples=25,
    null_draws=40,
    order_draws=25,
    placebo_draws=2,
    gaussian_draws=30,
    restarts=1,
    ica=IcaOptions(restarts=3, tolerance=1e-6, max_iterations=300),
)
CLEAR = Design(k=2, n=200, domains=3, noise="uniform", residual=0.01)


def judge_design(design: Design, seed: int = 0) -> Identification:
    rows = plant(design, np.random.default_rng(seed)).rows
    fit = fit_domains(rows, design.k, generator=np.random.default_rng([0, 99]), options=QUICK.ica)
    return identify(fit, options=QUICK)


@pytest.fixture(scope="module")
def clear() -> Identification:
    return judge_design(CLEAR)


def failed(found: Identification) -> set[str]:
    return {check.name for check in found.verdict.checks if not check.passed}


def test_clear_data_identify_the_planted_order(clear: Identification) -> None:
    assert clear.verdict.identified
    assert clear.verdict.words.startswith("order identified: ")
    assert failed(clear) == set()
    assert clear.bootstrap.frequencies.max() >= 0.9
    assert list(clear.orders.possible).count(True) == 1


@pytest.mark.parametrize("heterogeneity", ["none", "scale"])
def test_alike_domains_do_not(heterogeneity: str) -> None:
    found = judge_design(replace(CLEAR, heterogeneity=heterogeneity))
    assert not found.verdict.identified
    assert found.verdict.words.startswith("order not identified")
    assert failed(found) & {"no rival order", "stable under resampling"}


def test_gaussian_noises_do_not() -> None:
    found = judge_design(replace(CLEAR, noise="gaussian"))
    assert not found.verdict.identified
    assert "non-Gaussian noises" in failed(found)
    assert "cannot be told from Gaussian" in found.verdict.words
    assert found.verdict.settled == ()


def test_one_domain_does_not() -> None:
    found = judge_design(replace(CLEAR, domains=1))
    assert not found.verdict.identified
    assert "several domains" in failed(found)
    assert "one domain fits every order" in found.verdict.words


def test_resamples_do_not_depend_on_how_they_are_cut(
    clear: Identification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bootstrap_fit(clear.fit, options=BootstrapOptions(resamples=12, restarts=1))
    keep = BootstrapOptions(resamples=5, restarts=1, keep=tmp_path)
    bootstrap_fit(clear.fit, options=keep)
    calls = []
    original = bootstrap._draw
    monkeypatch.setattr(bootstrap, "_draw", lambda *a: (calls.append(a[2]), original(*a))[1])
    resumed = bootstrap_fit(clear.fit, options=replace(keep, resamples=12))
    assert calls == list(range(5, 12))
    np.testing.assert_array_equal(resumed.scores, whole.scores)
    np.testing.assert_array_equal(resumed.b, whole.b)
    other_seed = bootstrap_fit(clear.fit, options=replace(keep, resamples=5, seed=1))
    assert not np.array_equal(other_seed.scores, whole.scores[:5])


def test_damaged_resamples_are_refused(clear: Identification, tmp_path: Path) -> None:
    keep = BootstrapOptions(resamples=3, restarts=1, keep=tmp_path)
    bootstrap_fit(clear.fit, options=keep)
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(b"broken")
    with pytest.raises(CorruptRun, match="unreadable resamples"):
        bootstrap_fit(clear.fit, options=keep)


def test_progress_reaches_the_end(clear: Identification) -> None:
    seen: list[tuple[int, int]] = []
    bootstrap_fit(
        clear.fit,
        options=BootstrapOptions(resamples=3, restarts=1),
        progress=lambda done, total, label: seen.append((done, total)),
    )
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_failed_resamples_are_counted_or_refused(
    clear: Identification, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = bootstrap.refit_components

    def sometimes(*args: object) -> object:
        if next(counter) % 4 == 0:
            raise FitError("no")
        return original(*args)  # type: ignore[arg-type]

    counter = iter(range(100))
    monkeypatch.setattr(bootstrap, "refit_components", sometimes)
    found = bootstrap_fit(clear.fit, options=BootstrapOptions(resamples=8, restarts=1))
    assert (len(found), found.failed) == (6, 2)

    def never(*args: object) -> object:
        raise FitError("no")

    monkeypatch.setattr(bootstrap, "refit_components", never)
    with pytest.raises(FitError, match="only 0 of 4 resamples"):
        bootstrap_fit(clear.fit, options=BootstrapOptions(resamples=4, restarts=1))


def test_bootstrap_summaries(clear: Identification) -> None:
    boot = clear.bootstrap
    assert boot.frequencies.sum() == pytest.approx(1.0)
    precedence = boot.precedence
    assert precedence[0, 1] + precedence[1, 0] == pytest.approx(1.0)
    low, high = spread(boot, lambda gauge: gauge.effects)
    inside = (low <= clear.fit.gauge.effects + 1e-9) & (clear.fit.gauge.effects <= high + 1e-9)
    assert inside[:, 0, 1].mean() >= 0.6
    assert boot.quality.min() > 0.5
    first, second = clear.fit.order
    assert np.isnan(boot.effects[:, :, second, first]).mean() > 0.85


def with_winners(found: Identification, winners: list[int]) -> Bootstrap:
    """Return resamples in which these orders win."""
    scores = np.ones((len(winners), len(found.fit.search.orders)))
    scores[np.arange(len(winners)), winners] = 0.0
    kept = {
        name: getattr(found.bootstrap, name)[: len(winners)]
        for name in ("quality", "h", "b", "offset", "effects")
    }
    return replace(
        found.bootstrap, fit=found.fit, scores=scores, fixed_scores=scores.copy(), **kept
    )


def test_precedence_reads_from_row_to_column(
    clear: Identification, planted_fit: HierarchicalFit
) -> None:
    three = replace(clear, fit=planted_fit)
    for winner, order in enumerate(planted_fit.search.orders):
        share = with_winners(three, [winner] * 3).precedence
        for i, first in enumerate(order):
            for second in order[i + 1 :]:
                assert share[first, second] == 1.0
                assert share[second, first] == 0.0


@pytest.mark.parametrize(("wins", "stable"), [(18, True), (17, False), (11, False)])
def test_nine_in_ten_resamples_must_agree(clear: Identification, wins: int, stable: bool) -> None:
    best = clear.fit.search.best
    verdict = judge(
        clear.fit,
        bootstrap=with_winners(clear, [best] * wins + [1 - best] * (20 - wins)),
        rotation=clear.rotation,
        orders=clear.orders,
        gaussian=clear.gaussian,
    )
    assert verdict.identified is stable
    passed = {check.name: check.passed for check in verdict.checks}
    assert passed["stable under resampling"] is stable
    first, second = (clear.fit.names[c] for c in clear.fit.order)
    assert verdict.settled == (((first, second),) if stable else ())


@pytest.mark.parametrize(("normal", "expected"), [(1, False), (2, True)])
def test_one_normal_component_is_fixed_by_the_others(normal: int, expected: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.laplace(size=(500, 3)) ** 3
    x[:, :normal] = rng.standard_normal((500, normal))
    fit = fit_ica(x, 3, generator=rng)
    found = gaussianity(fit, 500, generator=rng, draws=60)
    assert found.is_gaussian is expected
    assert found.contrast == pytest.approx(np.sort(fit.contrasts)[1])


def test_components_are_matched_with_sign(rng: np.random.Generator) -> None:
    reference = rng.standard_normal((3, 5))
    changed = -reference[[2, 0, 1]]
    matched, quality = match_components(changed, reference, np.eye(5))
    np.testing.assert_allclose(matched, reference)
    np.testing.assert_allclose(quality, 1.0)


def test_rotation_null_repeats_the_choice(planted_fit: HierarchicalFit) -> None:
    rng = np.random.default_rng(0)
    subsets = all_subsets(4, 3)
    assert len(subsets) == 5
    whitening = {
        subset: np.array([planted_fit.components[i].whitening for i in subset])
        for subset in subsets
    }
    null = rotation_null(whitening, ((0, 1, 2, 3), planted_fit.score), generator=rng, draws=40)
    assert (null.chosen <= null.single).all()
    assert (null.chosen < null.single).any()
    assert null.p_chosen >= null.p_single
    assert np.median(null.single) == pytest.approx(0.11, abs=0.04)
    assert null.p_single < 0.05


def test_gaussianity_tells_laplace_from_normal(rng: np.random.Generator) -> None:
    normal, laplace = rng.standard_normal((300, 2)), rng.laplace(size=(300, 2))
    for x, expected in ((normal, True), (laplace, False)):
        fit = fit_ica(x, 2, generator=rng)
        assert gaussianity(fit, 300, generator=rng, draws=40).is_gaussian is expected
    alone = fit_ica(normal, 1, generator=rng)
    assert not gaussianity(alone, 300, generator=rng).is_gaussian


def test_order_test_keeps_the_truth_and_rejects_reversal(clear: Identification) -> None:
    best = clear.fit.search.best
    test = order_test(clear.fit, draws=30, restarts=1)
    assert test.p_order[best] == 1.0
    assert test.p_order[1 - best] <= 0.05
    assert test.p_fit[best] > 0.02


def test_placebo_domains_are_alike(planted_fit: HierarchicalFit) -> None:
    scores = placebo_scores(planted_fit.rows, 3, generator=np.random.default_rng(0), draws=4)
    assert scores.shape == (4, 6)
    medians = np.median(scores, axis=0)
    assert medians.max() - medians.min() < 0.12


def test_choice_of_domains(planted_fit: HierarchicalFit) -> None:
    rng = np.random.default_rng(0)
    found = choose_domains(planted_fit.rows, 3, least=3, generator=rng)
    assert len(found.subsets) == 5
    assert found.best.score == min(s.score for s in found.subsets)
    everything = next(s for s in found.subsets if len(s.subset) == 4)
    assert everything.score == pytest.approx(planted_fit.score, abs=1e-9)
    assert max(everything.inexactness) == pytest.approx(everything.score)
    few = choose_domains(planted_fit.rows.select(["domain-1"]), 3, generator=rng)
    assert len(few.subsets) == 1


def test_too_many_choices_are_refused() -> None:
    rows = plant(Design(n=20, domains=12), np.random.default_rng(0)).rows
    with pytest.raises(BadOption, match="choices of at least 4"):
        choose_domains(rows, 2, generator=np.random.default_rng(0))


def test_imposed_order_is_kept(planted_fit: HierarchicalFit) -> None:
    for index, order in enumerate(planted_fit.search.orders):
        other = planted_fit.with_order(index)
        assert other.order == order
        assert other.names == planted_fit.names
        assert other.score == pytest.approx(planted_fit.search.scores[index], abs=1e-12)


def test_same_generator_same_fit(planted_fit: HierarchicalFit) -> None:
    again = fit_domains(planted_fit.rows, 3, generator=np.random.default_rng(0))
    np.testing.assert_array_equal(again.gauge.b, planted_fit.gauge.b)
