"""What isotropy asks of an accelerator: nothing in a pass, little for a shard, at any depth."""

import numpy as np
import pytest

from probes.isotropy import Isotropy
from workbench.batch.host_bench import bench_texts, count_pass
from workbench.methods.context import Context
from workbench.model.model import Model
from workbench.runs.bench.cheap_model import cheap_model
from workbench.runs.bench.counting_device import counting, on_counting_device
from workbench.runs.bench.device_tensor import Counts

TEXTS = bench_texts(8)
LAYERS = (2, 6)


@pytest.fixture(scope="module")
def models() -> list[Model]:
    texts = [example.text for example in TEXTS]
    return [cheap_model(texts, layers=n, width=16) for n in LAYERS]


@pytest.fixture(scope="module")
def counted(models: list[Model]) -> list[tuple[Counts, Counts]]:
    there = [on_counting_device(model) for model in models]
    return [count_pass(model, "isotropy", {}, TEXTS) for model in there]


def test_a_pass_waits_for_nothing(counted: list[tuple[Counts, Counts]]) -> None:
    for in_pass, _ in counted:
        assert not [line for line in in_pass.lines()["syncs"] if "probes.geometry" in line]
        ours = [n for line, n in in_pass.lines()["kernels"].items() if "probes.geometry" in line]
        assert sum(ours) <= 20  # the sums of a new shard, made once


def test_a_shard_is_settled_within_its_budget(counted: list[tuple[Counts, Counts]]) -> None:
    totals = [in_state.totals() for _, in_state in counted]
    assert totals[0] == totals[1], "layers are stacked, so their number costs no kernel"
    assert totals[0]["kernels"] <= 300
    assert totals[0]["syncs"] <= 6
    assert totals[0]["copies"] <= 15


def test_what_is_counted_there_is_what_is_counted_here(models: list[Model]) -> None:
    states = []
    with counting():
        for model in (models[0], on_counting_device(models[0])):
            probe = Isotropy(reservoir=40)
            accumulator = probe.start(Context.of(model))
            for some in (TEXTS[:3], TEXTS[3:]):
                trace = model.run([e.text for e in some], read=probe.sites(model.spec))
                accumulator.add(trace, some)
            states.append(accumulator.state())
    here, there = states
    assert here.keys() == there.keys()
    for name, array in here.items():
        size = np.abs(array).max(initial=0) if array.dtype.kind == "f" else 0
        np.testing.assert_allclose(there[name], array, rtol=1e-5, atol=1e-6 * size, err_msg=name)
