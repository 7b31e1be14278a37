"""Independent components: planted mixtures come back, bad data are explained."""

import numpy as np
import pytest

from causal.hca.ica import (
    GAUSSIAN_LOG_COSH,
    IcaOptions,
    fit_ica,
    gaussian_contrasts,
    negentropy,
    whiten,
)
from causal.planted.recovery import amari_error
from causal.planted.simulate import draw_noise
from tests.unit.causal.conftest import grid_rows
from workbench.errors import FitError, NotFinite, TooLittleData


def test_mixture_is_unmixed(rng: np.random.Generator) -> None:
    mixing = rng.standard_normal((6, 3))
    x = draw_noise("mixed", (4000, 3), rng) @ mixing.T
    fit = fit_ica(x, 3, generator=rng)
    assert amari_error(fit.unmixing, mixing) < 0.05
    y = (x - fit.mean) @ fit.unmixing.T
    np.testing.assert_allclose(np.cov(y, rowvar=False), np.eye(3), atol=1e-10)
    np.testing.assert_allclose(fit.unmixing @ fit.mixing, np.eye(3), atol=1e-10)


def test_exactly_independent_noises_come_back_exactly(rng: np.random.Generator) -> None:
    mixing = rng.standard_normal((5, 3))
    fit = fit_ica(grid_rows(mixing), 3, generator=rng, options=IcaOptions(tolerance=1e-13))
    assert amari_error(fit.unmixing, mixing) < 1e-9


def test_gaussian_constant_is_the_expectation() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    expected = (weights * np.log(np.cosh(nodes))).sum() / weights.sum()
    assert pytest.approx(expected, abs=1e-12) == GAUSSIAN_LOG_COSH
    x = np.random.default_rng(0).standard_normal((2, 200_000))
    assert negentropy(x).max() < 2e-3


def test_best_mode_is_kept_and_all_are_listed(rng: np.random.Generator) -> None:
    x = draw_noise("laplace", (150, 4), rng) @ rng.standard_normal((4, 4))
    fit = fit_ica(x, 4, generator=rng, options=IcaOptions(restarts=40))
    contrasts = [mode.contrast for mode in fit.modes]
    assert contrasts == sorted(contrasts, reverse=True)
    assert sum(mode.hits for mode in fit.modes) + fit.unconverged == fit.restarts
    assert fit.contrasts.sum() == pytest.approx(contrasts[0])


def test_start_joins_the_restarts(rng: np.random.Generator) -> None:
    x = draw_noise("mixed", (400, 3), rng) @ rng.standard_normal((3, 5))
    fit = fit_ica(x, 3, generator=rng)
    again = fit_ica(x, 3, generator=rng, options=IcaOptions(restarts=1), start=fit.unmixing)
    assert again.restarts == 2
    assert again.modes[0].contrast == pytest.approx(fit.modes[0].contrast, abs=1e-9)


def test_same_generator_same_components() -> None:
    x = draw_noise("mixed", (200, 3), np.random.default_rng(1))
    one, other = (fit_ica(x, 3, generator=np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one.unmixing, other.unmixing)


def test_fewer_rows_than_columns_is_explained(rng: np.random.Generator) -> None:
    with pytest.raises(TooLittleData, match="5 rows of 6 scores"):
        whiten(rng.standard_normal((5, 6)), 3)


def test_too_few_directions_is_explained(rng: np.random.Generator) -> None:
    x = rng.standard_normal((50, 2)) @ rng.standard_normal((2, 6))
    with pytest.raises(TooLittleData, match="2 independent directions"):
        whiten(x, 3)


def test_constant_rows_are_explained() -> None:
    with pytest.raises(TooLittleData, match="0 independent directions"):
        whiten(np.ones((50, 4)), 2)


def test_missing_scores_are_explained(rng: np.random.Generator) -> None:
    x = rng.standard_normal((50, 4))
    x[3, 2] = np.nan
    with pytest.raises(NotFinite, match="1 of 200 scores"):
        whiten(x, 2)


def test_no_settling_is_an_error(rng: np.random.Generator) -> None:
    options = IcaOptions(max_iterations=20, tolerance=0.0)
    with pytest.raises(FitError, match="did not settle in 20 steps"):
        fit_ica(rng.standard_normal((50, 3)), 3, generator=rng, options=options)


def test_contrasts_of_gaussian_rows_are_those_of_fits_one_by_one() -> None:
    options = IcaOptions(restarts=4, tolerance=1e-4, max_iterations=300)
    alone = np.random.default_rng(1)
    one_by_one = [
        fit_ica(alone.standard_normal((80, 3)), 3, generator=alone, options=options).contrasts
        for _ in range(90)
    ]
    found = gaussian_contrasts(80, 3, draws=90, generator=np.random.default_rng(1), options=options)
    assert found == pytest.approx(np.array(one_by_one), rel=1e-6)


def test_gaussian_draws_that_do_not_settle_are_left_out(rng: np.random.Generator) -> None:
    options = IcaOptions(restarts=2, max_iterations=2, tolerance=0.0)
    assert gaussian_contrasts(50, 3, draws=2, generator=rng, options=options).shape == (0, 3)
