"""What the host asks of an accelerator, counted on one that is not there, stays within budgets."""

import pytest
import torch

from workbench.batch.host_bench import bench_texts
from workbench.model.model import Model
from workbench.runs.bench.cheap_model import cheap_model
from workbench.runs.bench.counting_device import counting, on_counting_device

TEXTS = bench_texts(6)


@pytest.fixture(scope="module")
def plain() -> Model:
    return cheap_model([example.text for example in TEXTS], layers=6, width=16)


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
        assert torch.equal(here["resid_post.5"], there["resid_post.5"].cpu())


def test_counts_name_the_line_that_asked(model: Model) -> None:
    with counting() as counts:
        model.run(TEXTS[0].text, read=["resid_post.0"]).tokens.ids.tolist()
    assert any("workbench.model.backends.one_pass" in line for line in counts.kernels)
