"""Erasers against closed forms: least squares, LEACE's own package, and the four traps."""

import warnings

import numpy as np
import pytest
import torch

from workbench.errors import TooLittleData
from workbench.methods.eraser import Whitening, inlp, leace, one_hot, residual, shifts
from workbench.model.edits import Edit, Op, apply
from workbench.model.sites import Kind, Site

A, B = np.array([1.0, 0.5, 0, 0, 0, 0]), np.array([0.3, 1.0, 0.4, 0, 0, 0])


def plant(n: int = 4000, seed: int = 0):
    """h = aT + bC + noise with T copied from C at 70 %; the noise is correlated."""
    rng = np.random.default_rng(seed)
    c = rng.integers(0, 2, n)
    t = np.where(rng.random(n) < 0.7, c, rng.integers(0, 2, n))
    mix = np.linalg.qr(rng.standard_normal((6, 6)))[0] * np.linspace(0.5, 2, 6)
    h = np.outer(t, A) + np.outer(c, B) + rng.standard_normal((n, 6)) @ mix + 3.0
    return h, t.astype(float), c.astype(float)


def cov(x, z):
    return (x - x.mean(axis=0)).T @ (z - z.mean(axis=0)) / len(x)


def test_nothing_linear_is_left_and_the_mean_stays() -> None:
    h, t, _ = plant()
    eraser = leace(h, t[:, None])
    assert eraser.rank == 1
    assert np.linalg.norm(cov(eraser.erase(h), t[:, None])) < 1e-12
    assert eraser.left_over < 1e-12
    np.testing.assert_allclose(eraser.erase(h).mean(axis=0), h.mean(axis=0), atol=1e-12)


def test_it_is_the_eraser_of_the_authors_package() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it scripts functions with torch.jit
        from concept_erasure import LeaceEraser
    h, t, _ = plant(n=500)
    given = torch.from_numpy(h), torch.from_numpy(t)
    theirs = LeaceEraser.fit(*given, shrinkage=False, svd_tol=1e-9)
    np.testing.assert_allclose(
        leace(h, t[:, None]).erase(h), theirs(torch.from_numpy(h)).numpy(), atol=1e-9
    )


def test_erasing_twice_is_erasing_once() -> None:
    h, t, _ = plant(n=300)
    for fit in (leace, inlp):
        once = fit(h, t[:, None]).erase(h)
        np.testing.assert_allclose(fit(h, t[:, None]).erase(once), once, atol=1e-10)


def test_it_is_equivariant_under_any_invertible_map() -> None:
    h, t, _ = plant(n=300)
    m = np.random.default_rng(5).standard_normal((6, 6))
    moved = leace(h @ m.T, t[:, None]).erase(h @ m.T)
    np.testing.assert_allclose(moved, leace(h, t[:, None]).erase(h) @ m.T, atol=1e-9)


def test_trap_1_the_contrast_of_what_is_erased_is_association_and_controls_make_it_the_effect():
    h, t, c = plant()
    w = np.array([0.7, -0.2, 0.5, 0.1, 0.0, 0.3])
    removed = leace(h, t[:, None]).component(h) @ w
    contrast = removed[t == 1].mean() - removed[t == 0].mean()
    conexp = (h @ w)[t == 1].mean() - (h @ w)[t == 0].mean()
    assert contrast == pytest.approx(conexp, abs=1e-10)
    design = np.column_stack([t, c, np.ones(len(t))])
    ols = np.linalg.lstsq(design, h @ w, rcond=None)[0][0]
    assert abs(conexp - ols) > 0.1
    # With controls, by the erased component and by the shift of the value: least squares exactly.
    free = residual(leace(h, t[:, None], c[:, None]).component(h) @ w[:, None], c[:, None])
    slope = float(np.linalg.lstsq(residual(t[:, None], c[:, None]), free, rcond=None)[0][0, 0])
    assert slope == pytest.approx(ols, abs=1e-10)
    assert float(shifts(h, t[:, None], c[:, None])[0] @ w) == pytest.approx(ols, abs=1e-10)
    # The control itself survives: erasing without controls takes some of it away.
    kept = [
        cov(e.erase(h), c[:, None])[:, 0]
        for e in (leace(h, t[:, None], c[:, None]), leace(h, t[:, None]))
    ]
    assert np.linalg.norm(kept[0]) > np.linalg.norm(kept[1])


def test_trap_2_signed_means_of_what_is_erased_vanish() -> None:
    h, t, _ = plant()
    removed = leace(h, t[:, None]).component(h)
    assert np.abs(removed.mean(axis=0)).max() < 1e-12
    assert np.abs(removed).mean() > 0.1


def test_trap_3_an_outlier_dimension_does_not_hide_the_others() -> None:
    h, t, _ = plant()
    h = h.copy()
    h[:, 5] *= 1e6
    low = h.astype(np.float32)
    sigma = np.cov(low.T.astype(np.float32)).astype(np.float32)
    values = np.linalg.eigvalsh(sigma)
    kept = values > values[-1] * len(values) * np.finfo(np.float32).eps
    assert kept.sum() == 1, "float32 keeps the outlier alone"
    assert leace(h, t[:, None]).left_over < 1e-9
    assert leace(low, t[:, None]).left_over < 1e-9


def test_trap_4_three_classes_need_one_hot_labels() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 3000)
    h = np.eye(3)[y][:, [0, 2, 1]] @ rng.standard_normal((3, 6)) + rng.standard_normal((3000, 6))
    coded, hot = y[:, None].astype(float), one_hot([str(i) for i in y])
    for z, rank in ((coded, 1), (hot, 2)):
        eraser = leace(h, z)
        assert eraser.rank == rank
        left = np.linalg.norm(cov(eraser.erase(h), hot)) / np.linalg.norm(cov(h, hot))
        assert (left < 1e-9) == (rank == 2)


def test_labels_that_are_noise_take_away_no_more_than_a_random_subspace() -> None:
    h, _, _ = plant(n=2000)
    rng = np.random.default_rng(9)
    noise = one_hot([str(i) for i in rng.integers(0, 3, len(h))])
    eraser, white = leace(h, noise), Whitening.of(h)
    assert eraser.rank <= 2
    band = [np.linalg.norm(white.random(2, rng).component(h)) for _ in range(40)]
    assert min(band) <= np.linalg.norm(eraser.component(h)) <= max(band)


def test_inlp_projects_onto_the_intersection_and_ends_where_nothing_is_left() -> None:
    h, t, _ = plant()
    eraser = inlp(h, t[:, None], rounds=20)
    assert 1 <= eraser.rank <= 6
    assert eraser.left_over < 1e-6
    p = eraser.left @ eraser.right
    np.testing.assert_allclose(p @ p, p, atol=1e-12)
    np.testing.assert_allclose(p, p.T, atol=1e-12)
    rounds = [inlp(h, t[:, None], rounds=n) for n in (1, 2, 3)]
    assert [found.rank for found in rounds] == [1, 2, 3]
    # Each probe is fitted to what the ones before have left.
    left = [found.left_over for found in rounds]
    assert left[1] < 0.3 * left[0]
    assert left[2] < 0.5 * left[1]
    # What is projected out is the span of weights that least squares gives round by round.
    rest, goal = h - h.mean(axis=0), t - t.mean()
    for found in rounds:
        weights = np.linalg.lstsq(rest, goal, rcond=None)[0]
        projected = found.left @ (found.right @ weights)
        np.testing.assert_allclose(projected, weights, atol=1e-9)
        unit = weights / np.linalg.norm(weights)
        rest = rest - np.outer(rest @ unit, unit)


def test_fewer_states_than_dimensions_and_shrinkage_still_erase() -> None:
    rng = np.random.default_rng(3)
    h, z = rng.standard_normal((20, 40)), rng.integers(0, 2, 20).astype(float)[:, None]
    for shrinkage in (False, True):
        assert leace(h, z, shrinkage=shrinkage).left_over < 1e-9


def test_a_constant_label_erases_nothing_and_one_state_is_refused() -> None:
    h, _, _ = plant(n=50)
    assert leace(h, np.ones((50, 1))).rank == 0
    with pytest.raises(TooLittleData, match="1 states"):
        leace(h[:1], np.ones((1, 1)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_edit_is_the_eraser(dtype: torch.dtype) -> None:
    h, t, _ = plant(n=400)
    eraser = leace(h, t[:, None])
    edit = eraser.edit(Site(Kind.RESID_POST, 0, (-1,)))
    x = torch.from_numpy(h[:8]).to(dtype).reshape(4, 2, 6)
    found = apply(edit, x, torch.ones(4, 2, dtype=torch.bool))
    expected = torch.from_numpy(eraser.erase(x[:, 1].double().numpy())).to(dtype)
    assert torch.equal(found[:, 0], x[:, 0])
    atol = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(found[:, 1], expected, atol=atol, rtol=0)
    off = Edit(site=edit.site, op=Op.AFFINE, value=edit.value, enabled=False)
    assert not off.acts_at(0)
