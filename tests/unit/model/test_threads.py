"""One model shared by many threads: every capture belongs to its own run."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.model.backends import BACKENDS
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.sites import Site
from workbench.model.tiny import tiny_model
from workbench.model.tokens import pad

N = 24
READ = ("embed", "resid_mid.0", "q.1", "z.1", "resid_post.1", "final_norm")


@pytest.fixture(autouse=True)
def _switch_often() -> Any:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def _capture(model: Model, i: int) -> dict[str, Tensor]:
    tokens = pad([[3 + i, 4 + i, 5 + i, 6 + i % 7], [30 + i, 9]], side=("left", "right")[i % 2])
    amount = float(i % 3)
    edit = Edit(site=Site.parse("mlp_out.0"), op=Op.ADD, value=amount, enabled=amount > 0)
    trace = model.run(tokens, read=READ, edits=[edit], logits="last")
    assert trace.logits is not None
    lens = model.unembed(trace["resid_post.1"])
    return {site: trace[site] for site in READ} | {"logits": trace.logits, "lens": lens}


@pytest.mark.parametrize("backend", BACKENDS)
def test_concurrent_captures_never_mix(backend: str) -> None:
    model = tiny_model("llama", backend=backend)
    alone = [_capture(model, i) for i in range(N)]
    start = threading.Barrier(N)

    def together(i: int) -> dict[str, Tensor]:
        start.wait()
        _capture(model, N - i)
        return _capture(model, i)

    with ThreadPoolExecutor(N) as pool:
        found = list(pool.map(together, range(N)))
    wrong = [
        (i, name)
        for i in range(N)
        for name in alone[i]
        if not torch.equal(alone[i][name], found[i][name])
    ]
    assert wrong == []
    assert not torch.equal(alone[0]["logits"], alone[1]["logits"])


def test_generations_in_two_threads_stay_apart() -> None:
    model = tiny_model("qwen2")
    prompts = [pad([[5 + i, 6, 7], [8, 9 + i]], side="left") for i in range(8)]
    alone = [model.generate(p, limit=6).generated for p in prompts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda p: model.generate(p, limit=6).generated, prompts))
    assert together == alone


def test_two_models_of_the_same_weights_do_not_see_each_other() -> None:
    models = [tiny_model("llama", backend=backend) for backend in BACKENDS]
    alone = [_capture(model, 5) for model in models]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda model: _capture(model, 5), models))
    for a, b in zip(alone, together, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
