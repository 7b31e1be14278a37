"""Draws follow the distribution they claim to follow."""

import pytest
import torch
from scipy import stats

from workbench.errors import BadOption
from workbench.model.policy import Sampling, draw


def test_draws_follow_the_distribution() -> None:
    # From half of the mass in one token down to one in 40,000.
    p = torch.tensor([0.5, 0.25, 0.2, 0.04, 0.009, 0.000975, 0.000025])
    n = 200_000
    generators = [torch.Generator().manual_seed(4)] * n
    drawn = draw(p.expand(n, -1).contiguous(), generators)
    counts = torch.bincount(drawn, minlength=len(p)).double()
    assert (
        stats.chisquare(counts.numpy(), (p.double() / p.double().sum() * n).numpy()).pvalue > 0.01
    )


def test_a_dead_row_takes_nothing_from_its_generator() -> None:
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    before = generators[1].get_state()
    draw(torch.full((2, 5), 0.2), generators, live=(True, False))
    assert torch.equal(generators[1].get_state(), before)


@pytest.mark.parametrize("scale", [0.3, 2.0, 8.0])
@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9, 0.999])
def test_the_nucleus_is_the_smallest_set_that_reaches_its_mass(
    scale: float, top_p: float, generator: torch.Generator
) -> None:
    # Scale 0.3 over 6,000 tokens needs the whole vocabulary, scale 8 a handful.
    logits = torch.randn(3, 6000, generator=generator, dtype=torch.float64).float() * scale
    kept = Sampling(top_p=top_p).distribution(logits)
    p = logits.softmax(dim=-1)
    for row, found in zip(p, kept, strict=True):
        size = int((found > 0).sum())
        ordered = row.sort(descending=True).values
        assert ordered[:size].sum() >= top_p - 1e-5
        assert ordered[: size - 1].sum() < top_p + 1e-5
        assert row[found > 0].min() >= row[found == 0].max()
        torch.testing.assert_close(found.sum(), torch.tensor(1.0))


def test_top_k_and_temperature() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0]])
    assert (Sampling(top_k=2).distribution(logits) > 0).tolist() == [[True, False, True, False]]
    assert Sampling(temperature=0.0).distribution(logits).tolist() == [[1, 0, 0, 0]]
    torch.testing.assert_close(
        Sampling(temperature=0.5).distribution(logits), (logits * 2).softmax(dim=-1)
    )


@pytest.mark.parametrize(
    "bad", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"top_k": 0}]
)
def test_settings_out_of_bounds_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(BadOption):
        Sampling(**bad)  # type: ignore[arg-type]
