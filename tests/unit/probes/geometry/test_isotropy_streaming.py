"""One pass in any cut, merge and order equals two passes over everything."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from probes.geometry import statistics
from probes.isotropy import Isotropy, IsotropyAccumulator
from workbench.errors import BadOption
from workbench.methods.contracts import Context, Example
from workbench.model.sites import Kind, Site
from workbench.model.spec import ARRAY, ModelSpec
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace
from workbench.result.result import Result

D = 5
OPTIONS = {"reservoir": 40, "memory_mb": 64.0}


def spec(architecture: str = "llama", layers: int = 2) -> ModelSpec:
    sizes = dict.fromkeys(("n_heads", "n_key_value_heads", "d_head", "d_mlp", "n_parameters"), 1)
    words = dict.fromkeys(("backend", "device", "dtype", "attention", "weights_hash"), "")
    return ModelSpec(
        name="synthetic",
        architecture=architecture,
        n_layers=layers,
        d_model=D,
        d_vocab=9,
        max_positions=99,
        **sizes,
        **words,
    )


def texts_of(seed: int, n_texts: int) -> list[NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    scale = np.geomspace(100, 0.1, D)
    return [
        generator.standard_normal((2, generator.integers(1, 12), D)) * scale + 1000
        for _ in range(n_texts)
    ]


def trace_of(texts: list[NDArray[np.float64]], side: str = "right") -> Trace:
    width = max(t.shape[1] for t in texts)
    mask = torch.zeros(len(texts), width, dtype=torch.bool)
    layers = torch.full((2, len(texts), width, D), torch.nan, dtype=torch.float64)
    for i, text in enumerate(texts):
        n = text.shape[1]
        where = slice(0, n) if side == "right" else slice(width - n, width)
        mask[i, where] = True
        layers[:, i, where] = torch.from_numpy(text)
    sites = (Site(Kind.RESID_POST, 0), Site(Kind.RESID_POST, 1))
    return Trace(
        spec=spec(),
        tokens=Tokens(ids=mask.long(), mask=mask),
        activations=dict(zip(sites, layers, strict=True)),
    )


def start(**options: Any) -> IsotropyAccumulator:
    return Isotropy(final_norm=False, **{**OPTIONS, **options}).start(Context(resamples=50))


def examples(low: int, high: int) -> list[Example]:
    return [Example(text=f"text {i}", source=f"file:{i}") for i in range(low, high)]


def count(
    texts: list[NDArray[np.float64]], cuts: list[int], side: str = "right", **options: Any
) -> IsotropyAccumulator:
    accumulator = start(**options)
    bounds = sorted({0, len(texts), *(c % len(texts) for c in cuts)})
    for low, high in pairwise(bounds):
        accumulator.add(trace_of(texts[low:high], side), examples(low, high))
    return accumulator


def assert_same(a: Result, b: Result, tolerance: float = 1e-9) -> None:
    assert a.tables.keys() == b.tables.keys()
    for name in a.tables:
        assert len(a.tables[name]) == len(b.tables[name])
        for x, y in zip(a.tables[name].rows(), b.tables[name].rows(), strict=True):
            for key, value in x.items():
                loose = 1e-3 if key.endswith(("_low", "_high")) else tolerance
                if isinstance(value, float):
                    assert y[key] == pytest.approx(value, rel=loose, abs=loose), key
                else:
                    assert y[key] == value, key


@given(
    seed=st.integers(0, 10**6),
    n_texts=st.integers(2, 14),
    cuts=st.lists(st.integers(0, 100), max_size=4),
    side=st.sampled_from(["left", "right"]),
    exclude=st.booleans(),
)
@settings(deadline=None, max_examples=30)
def test_any_cut_equals_two_passes(
    seed: int, n_texts: int, cuts: list[int], side: str, exclude: bool
) -> None:
    texts = texts_of(seed, n_texts)
    first = int(exclude)
    rows = np.concatenate([t[:, first:] for t in texts], axis=1)
    accumulator = count(texts, cuts, side, exclude_first=exclude)
    found = accumulator.statistics
    assert found is not None
    n = rows.shape[1]
    assert found.moments.n == n
    if n < 2:
        return
    for site in range(2):
        x = rows[site]
        np.testing.assert_allclose(found.moments.mean[site].numpy(), x.mean(axis=0), rtol=1e-10)
        two_pass = np.cov(x.T)
        scale = np.abs(two_pass).max()
        streamed = found.moments.covariance(slice(site, site + 1))[0].numpy()
        np.testing.assert_allclose(streamed, two_pass, rtol=1e-10, atol=1e-10 * scale)
        u = x / np.linalg.norm(x, axis=1, keepdims=True)
        total = found.texts.direction[site].sum(dim=0).numpy()
        np.testing.assert_allclose(total, u.sum(axis=0), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(
            found.texts.coordinate[site].numpy(), (u**2).sum(axis=0), rtol=1e-10, atol=1e-10
        )


@given(
    seed=st.integers(0, 10**6),
    n_texts=st.integers(3, 14),
    cuts=st.lists(st.integers(1, 100), min_size=1, max_size=3),
)
@settings(deadline=None, max_examples=10)
def test_merging_and_restoring_equals_counting_through(
    seed: int, n_texts: int, cuts: list[int]
) -> None:
    texts = texts_of(seed, n_texts)
    whole = count(texts, [])
    bounds = sorted({0, n_texts, *(c % n_texts for c in cuts)})
    merged = start()
    for low, high in pairwise(bounds):
        part = start()
        part.add(trace_of(texts[low:high]), examples(low, high))
        again = start()
        again.merge(part.state())
        merged.merge(again.state())
    assert whole.statistics is not None
    if whole.statistics.moments.n == 0:
        return
    assert_same(whole.result(Context(resamples=50)), merged.result(Context(resamples=50)))


def test_order_of_texts_does_not_matter() -> None:
    texts = texts_of(3, 30)
    order = np.random.default_rng(0).permutation(30)
    shuffled = start()
    for i in order:
        shuffled.add(trace_of([texts[i]]), examples(i, i + 1))
    context = Context(resamples=50)
    assert_same(count(texts, [7, 15]).result(context), shuffled.result(context))


@pytest.mark.parametrize("with_text", [True, False])
def test_any_chunk_of_a_file_gives_the_same(
    measure: Callable[..., Result], with_text: bool, generator: torch.Generator
) -> None:
    x = torch.randn(500, 6, generator=generator, dtype=torch.float64) + 2
    text = torch.repeat_interleave(
        torch.arange(9), torch.tensor([1, 99, 3, 200, 1, 1, 45, 100, 50])
    )
    results = [
        measure(x, text if with_text else None, chunk_rows=rows) for rows in (10_000, 100, 7)
    ]
    for other in results[1:]:
        assert_same(results[0], other)


def test_state_survives_a_file(tmp_path: Path) -> None:
    accumulator = count(texts_of(1, 12), [5])
    save_file(accumulator.state(), tmp_path / "state.safetensors")
    again = start()
    again.merge(load_file(tmp_path / "state.safetensors"))
    context = Context(resamples=50)
    assert accumulator.result(context).equals(again.result(context))


def test_memory_does_not_grow_with_the_data() -> None:
    def size(n_texts: int) -> int:
        return sum(a.nbytes for a in count(texts_of(0, n_texts), []).state().values())

    assert size(300) == size(1_500)


def test_results_depend_on_the_seed_only_through_sample_and_controls() -> None:
    texts = texts_of(2, 40)
    first = count(texts, []).result(Context(resamples=50, seed=0))
    again = count(texts, []).result(Context(resamples=50, seed=0))
    assert first.equals(again)
    other = count(texts, []).result(Context(resamples=50, seed=1))
    a, b = (r.tables["layers"].rows()[0] for r in (first, other))
    assert a["mean_cosine"] == b["mean_cosine"]
    assert a["mean_cosine_low"] == b["mean_cosine_low"]
    assert a["two_nn_dimension"] == b["two_nn_dimension"]
    assert a["two_nn_dimension_control"] != b["two_nn_dimension_control"]


def test_texts_of_one_group_are_resampled_together() -> None:
    texts = texts_of(4, 24)
    grouped = start()
    alone = [Example(text=f"t{i}", source=f"f:{i}", group=str(i % 2)) for i in range(24)]
    grouped.add(trace_of(texts), alone)
    found = grouped.statistics
    assert found is not None
    assert (found.texts.closed().tokens > 0).sum() == 2
    assert int(found.texts.closed().texts.sum()) == sum(t.shape[1] > 1 for t in texts)


def test_an_array_never_leaves_out_first_rows() -> None:
    assert Isotropy().exclude_first
    x = torch.ones(1, 4, D, dtype=torch.float64) + torch.arange(4)[None, :, None]
    trace = Trace(
        spec=spec(ARRAY, 1),
        tokens=Tokens(ids=torch.zeros(1, 4).long(), mask=torch.ones(1, 4).bool()),
        activations={Site(Kind.RESID_POST, 0): x},
    )
    accumulator = Isotropy().start(Context())
    accumulator.add(trace, [Example(text="", source="x")])
    assert accumulator.statistics is not None
    assert accumulator.statistics.moments.n == 4


def test_what_waits_is_bounded_padding_included(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 4000
    monkeypatch.setattr(statistics, "_WAITING_BYTES", most)
    accumulator = Isotropy(**OPTIONS, final_norm=False).start(Context(spec=spec()))
    one = trace_of([np.ones((2, n, D)) for n in (11, 1, 1, 1)])
    of_one = sum(x.nbytes for x in one.activations.values())
    for _ in range(12):
        accumulator.add(one, [Example(text="", source=str(i)) for i in range(4)])
        assert accumulator.statistics is not None
        waiting = accumulator.statistics._waiting
        held = sum(x.nbytes for _, _, layers in waiting for x in layers)
        assert held < most + of_one
    assert accumulator.statistics is not None
    assert accumulator.statistics.moments.n == 12 * 10


def test_a_merged_state_stays_as_it_is_and_another_kind_is_refused() -> None:
    texts = texts_of(3, 12)
    state = count(texts[5:], []).state()
    before = {name: array.copy() for name, array in state.items()}
    merged = count(texts[:5], [])
    merged.merge(state)
    merged.add(trace_of(texts[:1]), examples(0, 1))
    for name, array in before.items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)
    with pytest.raises(BadOption):
        merged.merge(state | {"sites": state["sites"][:-1]})
