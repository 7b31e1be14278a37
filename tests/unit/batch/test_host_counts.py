"""What the host asks of an accelerator, counted on one that is not there, stays within budgets."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from workbench.batch.host_bench import (
    bench_texts,
    count_bare_pass,
    count_generation,
    count_pass,
    count_rollouts,
)
from workbench.model.model import Model
from workbench.runs.bench.cheap_model import cheap_model
from workbench.runs.bench.counting_device import counting, on_counting_device
from workbench.runs.bench.device_tensor import Counts

TEXTS = bench_texts(5)


@pytest.fixture(scope="module")
def plain() -> Model:
    return cheap_model([example.text for example in TEXTS], layers=4, width=16)


@pytest.fixture(scope="module")
def model(plain: Model) -> Model:
    return on_counting_device(plain)


def test_kernels_syncs_and_copies_are_told_apart() -> None:
    with counting() as counts:
        x = torch.arange(6.0, device="cuda").reshape(2, 3)  # a kernel and a view
        y = (x + torch.ones(3, device="cuda")).sum()  # three kernels
        assert float(y) == 21.0  # a sync
        assert x[x > 2].tolist() == [3.0, 4.0, 5.0]  # two kernels, a sync for the size, another
        torch.tensor([1, 2], device="cuda")  # a copy
        assert torch.zeros(2).to("cuda").add_(1).cpu().tolist() == [1.0, 1.0]
    assert counts.totals() == {"kernels": 7, "syncs": 4, "copies": 2}


def test_a_model_computes_the_same_there(plain: Model, model: Model) -> None:
    texts = [example.text for example in TEXTS[:3]]
    here = plain.run(texts, read=["resid_post.-1"], logits="all")
    with counting():
        there = model.run(texts, read=["resid_post.-1"], logits="all")
        assert there.logits is not None
        assert here.logits is not None
        assert torch.equal(here.logits, there.logits.cpu())
        assert torch.equal(here["resid_post.3"], there["resid_post.3"].cpu())


def test_counts_name_the_line_that_asked(model: Model) -> None:
    with counting() as counts:
        model.run(TEXTS[0].text, read=["resid_post.0"]).tokens.ids.tolist()
    assert any("workbench.model.backends.one_pass" in line for line in counts.kernels)


@pytest.mark.parametrize(
    ("probe", "options", "syncs", "kernels"),
    [
        ("linear", {"at": ("resid_post.-1[-1]",)}, 3, 1.3),
        ("linear", {}, 3, 1.3),
        ("logit-lens", {}, 10, 4.0),
        ("logit-lens", {"memory": 1}, 10, 20.0),  # in many parts
    ],
)
def test_a_pass_under_a_probe_stays_within_its_budget(
    model: Model, probe: str, options: dict[str, Any], syncs: int, kernels: float
) -> None:
    bare = count_bare_pass(model, TEXTS).totals()
    in_pass, _ = count_pass(model, probe, options, TEXTS)
    found = in_pass.totals()
    assert found["syncs"] <= syncs, in_pass.syncs
    assert found["kernels"] <= kernels * bare["kernels"], in_pass.kernels


@pytest.mark.parametrize("count", [count_rollouts, count_generation])
@pytest.mark.parametrize("rows", [2, 6])
def test_a_token_step_waits_once_whatever_the_rows(
    model: Model, count: Callable[[Model, int, int], Counts], rows: int
) -> None:
    step = count(model, rows, 5).less(count(model, rows, 2), 3)
    assert step.totals()["syncs"] <= 1, step.syncs
