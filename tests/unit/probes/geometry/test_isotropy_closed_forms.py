"""Values that are known without running anything."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from probes.geometry.neighbours import two_nn
from probes.geometry.spectrum import wishart_spectra

Row = Callable[..., dict[str, Any]]
Cloud = Callable[[int, int], Tensor]


def expected_participation(d_model: int, n: int) -> float:
    """The ratio of the means of (tr S)² and ‖S‖² for isotropic Gaussian data, ν = n − 1."""
    nu = n - 1
    return d_model * nu / (nu + d_model + 1)


def test_isotropic_gaussian_reaches_every_ideal(measure_row: Row, cloud: Cloud) -> None:
    n, d = 20_000, 48
    row = measure_row(cloud(n, d), torch.arange(n) // 100)
    spread = (2 / (n * (n - 1) * d)) ** 0.5
    assert abs(row["mean_cosine"]) < 4 * spread
    assert row["su_collier_pooled"] == pytest.approx(1, abs=1e-3)
    assert row["su_collier_per_text"] == pytest.approx(1, abs=1e-3)
    assert row["participation_ratio"] == pytest.approx(expected_participation(d, n), rel=1e-3)
    assert row["participation_ratio_corrected"] == pytest.approx(d, rel=1e-3)
    assert row["isoscore_corrected"] == pytest.approx(1, abs=1e-3)
    for name in ("effective_rank", "effective_rank_eigenvalues", "stable_rank"):
        assert row[name] == pytest.approx(row[f"{name}_control"], rel=0.03)
    assert row["partition_isotropy_scaled"] == pytest.approx(1, abs=0.05)
    assert row["intra_sentence_similarity"] == pytest.approx(0.1, rel=0.02)
    assert row["rogue_share"] is None
    assert row["reliable"]


def test_finite_sample_bias_is_predicted_and_corrected(measure_row: Row, cloud: Cloud) -> None:
    row = measure_row(cloud(1_000, 576), reservoir=50)
    assert row["participation_ratio"] == pytest.approx(365, abs=1)
    assert row["isoscore"] == pytest.approx(0.633, abs=2e-3)
    assert row["isoscore_control"] == pytest.approx(0.633, abs=2e-3)
    assert row["participation_ratio_corrected"] == pytest.approx(576, rel=0.01)
    assert row["effective_rank"] == pytest.approx(row["effective_rank_control"], rel=2e-3)
    assert row["stable_rank"] == pytest.approx(row["stable_rank_control"], rel=0.03)
    assert not row["reliable"]


def test_rank_one_cloud_uses_one_dimension(measure_row: Row, generator: torch.Generator) -> None:
    direction = torch.randn(24, generator=generator, dtype=torch.float64)
    length = torch.rand(3_000, generator=generator, dtype=torch.float64) + 0.5
    row = measure_row(length[:, None] * direction)
    assert row["mean_cosine"] == pytest.approx(1, abs=1e-12)
    assert row["participation_ratio"] == pytest.approx(1, abs=1e-12)
    assert row["isoscore"] == pytest.approx(0, abs=1e-12)
    assert row["effective_rank"] == pytest.approx(1, abs=1e-9)
    assert row["stable_rank"] == pytest.approx(1, abs=1e-12)
    assert row["two_nn_dimension"] == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("m", [0.5, 1.0, 3.0])
def test_shifted_cloud_has_the_cosine_of_its_shift(
    measure_row: Row, cloud: Cloud, m: float
) -> None:
    d = 256
    shift = torch.zeros(d)
    shift[7] = m * d**0.5
    x = cloud(1_500, d) + shift
    row = measure_row(x, reservoir=1_500, memory_mb=0.0)
    assert row["mean_cosine"] == pytest.approx(m**2 / (m**2 + 1), abs=3 / d)
    assert row["rogue_share"] == pytest.approx(1, abs=0.01)
    centred = measure_row(x, reservoir=1_500, memory_mb=0.0, center=True)
    assert abs(centred["mean_cosine"]) < 1e-3
    assert centred["participation_ratio"] == pytest.approx(row["participation_ratio"], rel=1e-12)


def test_simplex_has_the_lowest_mean_cosine(measure_row: Row) -> None:
    n = 33
    vertices = torch.eye(n, dtype=torch.float64) - 1 / n
    basis = torch.linalg.svd(vertices)[2][: n - 1]
    row = measure_row(vertices @ basis.T)
    assert row["mean_cosine"] == pytest.approx(-1 / (n - 1), abs=1e-12)
    assert row["participation_ratio"] == pytest.approx(n - 1, abs=1e-9)
    assert row["isoscore"] == pytest.approx(1, abs=1e-9)
    assert row["effective_rank"] == pytest.approx(n - 1, abs=1e-9)
    assert row["stable_rank"] == pytest.approx(n - 1, abs=1e-9)
    assert row["two_nn_dimension"] is None


@pytest.mark.parametrize("length", [0.5, 1.0, 2.0])
def test_partition_of_shifted_gaussian_is_exp_of_minus_twice_the_shift(
    measure_row: Row, cloud: Cloud, length: float
) -> None:
    x = 0.2 * cloud(4_000, 8)
    x[:, 2] += length
    row = measure_row(x, reservoir=4_000)
    assert row["log_partition_isotropy"] == pytest.approx(-2 * length, abs=0.02)
    assert row["partition_isotropy"] == pytest.approx(np.exp(-2 * length), rel=0.02)
    scaled = row["partition_isotropy_scaled"]
    mean_norm = float(x.norm(dim=1).mean())
    assert np.log(scaled) == pytest.approx(-2 * length / mean_norm, abs=0.05)


def test_partition_of_enormous_vectors_does_not_overflow(measure_row: Row, cloud: Cloud) -> None:
    row = measure_row(1e4 * cloud(500, 6))
    assert row["log_partition_isotropy"] < -100
    assert row["partition_isotropy"] == 0
    assert 0.5 < row["partition_isotropy_scaled"] <= 1


@pytest.mark.parametrize(
    ("d", "uniform", "gaussian"),
    [(2, 2.0, 2.0), (5, 4.6, 5.0), (10, 8.7, 9.7), (20, 16.0, 17.3)],
)
def test_two_nn_reads_the_tabulated_dimension(d: int, uniform: float, gaussian: float) -> None:
    generator, together = np.random.default_rng(d), np.zeros(4_000, dtype=np.int64)
    cube = two_nn(torch.from_numpy(generator.random((1, 4_000, d))), together)
    assert cube.likelihood[0] == pytest.approx(uniform, rel=0.06)
    ball = two_nn(torch.from_numpy(generator.standard_normal((1, 4_000, d))), together)
    assert ball.likelihood[0] == pytest.approx(gaussian, rel=0.06)


def test_two_nn_ignores_the_space_a_cloud_lies_in(measure_row: Row, cloud: Cloud) -> None:
    flat = cloud(2_000, 2) @ cloud(2, 40)
    assert measure_row(flat)["two_nn_dimension"] == pytest.approx(2, rel=0.1)


def test_spectra_drawn_without_data_match_spectra_of_data() -> None:
    generator = np.random.default_rng(0)
    for n, d in ((40, 12), (12, 40), (200, 20)):
        drawn = wishart_spectra(d, n, draws=400, generator=generator)
        data = np.array(
            [
                np.linalg.eigvalsh(np.cov(generator.standard_normal((n, d)).T))[::-1]
                for _ in range(400)
            ]
        )
        error = data.std(axis=0) / 400**0.5
        assert np.all(np.abs(drawn.mean(axis=0) - data.mean(axis=0)) < 7 * error + 1e-9)
        ratio = drawn.sum(axis=1) ** 2 / (drawn**2).sum(axis=1)
        assert ratio.mean() == pytest.approx(expected_participation(d, n), rel=0.02)


def test_two_nn_tells_neighbours_apart_that_single_precision_does_not() -> None:
    generator = np.random.default_rng(3)
    centres = np.repeat(generator.standard_normal((20, 6)), 20, axis=0)
    x = centres + 1e-3 * generator.standard_normal(centres.shape)
    apart = np.linalg.norm(x[:, None] - x[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    first, second = np.sort(apart, axis=1)[:, :2].T
    found = two_nn(torch.from_numpy(x)[None], np.zeros(len(x), dtype=np.int64))
    exact = (len(x) - 1) / np.log(second / first).sum()
    assert found.likelihood[0] == pytest.approx(exact, rel=1e-9)
