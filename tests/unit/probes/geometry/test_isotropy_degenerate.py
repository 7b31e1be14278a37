"""Copies, vectors that cancel, sizes beyond a number's range, and names: none moves a value."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from probes.geometry.neighbours import two_nn
from probes.geometry.null import GaussianNull
from probes.geometry.scale import UNKNOWN, exponent_of, rescaled, scaled
from probes.geometry.texts import chance_to_mean
from probes.isotropy import Isotropy
from workbench.errors import NotFinite
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.result.readings import Null
from workbench.result.result import Result
from workbench.runs.activation_file import open_activations

Measure = Callable[..., Result]
Row = Callable[..., dict[str, Any]]
Cloud = Callable[[int, int], Tensor]

SIZED = ("mean_norm", "max_norm", "log_partition_isotropy", "partition_isotropy", "isoscore_star")


def cube_in_twenty_dimensions(n: int) -> np.ndarray:
    draw = np.random.default_rng(0)
    cube = np.zeros((n, 20))
    cube[:, :3] = draw.random((n, 3))
    return cube @ np.linalg.qr(draw.standard_normal((20, 20)))[0]


@pytest.mark.parametrize("noise", [0.0, 1e-7])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
def test_copies_do_not_move_two_nn(share: float, noise: float) -> None:
    cube = cube_in_twenty_dimensions(1500)
    copies = cube[: int(1500 * share)]
    copies = copies + noise * np.random.default_rng(1).standard_normal(copies.shape)
    groups = np.random.default_rng(2).integers(0, 16, 1500 + len(copies))
    single = two_nn(torch.from_numpy(cube)[None], groups[:1500])
    found = two_nn(torch.from_numpy(np.concatenate([cube, copies]))[None], groups)
    assert single.likelihood[0] == pytest.approx(2.96, rel=0.03)
    assert found.likelihood == pytest.approx(single.likelihood, rel=1e-3)
    assert found.slope == pytest.approx(single.slope, rel=1e-3)
    assert (found.twins[0], found.n[0], single.twins[0]) == (len(copies), 1500, 0)
    assert found.sizes.sum() == 1500


def test_copies_are_counted_in_a_note(measure: Measure, cloud: Cloud) -> None:
    x = cloud(200, 5)
    result = measure(torch.cat([x, x[:50], x[:50]]))
    told = [note.text for note in result.notes if note.code == "twins"]
    assert told == [
        "two-NN keeps one of each set of equal vectors: up to 100 of 300 sampled tokens of a "
        "layer are dropped as copies"
    ]
    assert "twins" not in {note.code for note in measure(x).notes}


def test_all_rows_equal_leave_one(measure: Measure) -> None:
    result = measure(torch.ones(40, 3))
    assert result.estimate("two_nn_dimension.x").value is None


def test_texts_that_cancel_have_no_mean_direction(measure: Measure) -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [2.0, 0.0], [3.0, 3.0]])
    text = torch.tensor([0, 0, 1, 1, 2])
    result = measure(x, text)
    row = result.tables["layers"].rows()[0]
    assert row["intra_sentence_similarity"] == pytest.approx((np.sqrt(0.5) + 1) / 2)
    told = [note.text for note in result.notes if note.code == "zero-mean"]
    assert len(told) == 1
    assert told[0].startswith("up to 1 texts")
    only = measure(x[:2], text[:2]).estimate("intra_sentence_similarity.x")
    assert only.value is None
    assert only.note == "the mean vector of every text is zero"


def test_sums_that_cancel_up_to_rounding_have_none_either(measure: Measure) -> None:
    third = torch.tensor([[0.1, 0.7], [0.2, -0.4], [-0.3, -0.3]], dtype=torch.float64)
    assert float(third.sum(dim=0).abs().max()) > 0
    assert measure(third, torch.zeros(3).long()).estimate(
        "intra_sentence_similarity.x"
    ).value is None  # fmt: skip


def test_zero_vectors_are_in_no_cosine(measure: Measure, cloud: Cloud) -> None:
    x, text = cloud(60, 4) + 1, torch.arange(60) // 6
    more, where = torch.cat([x, torch.zeros(12, 4)]), torch.cat([text, torch.arange(12) % 10])
    order = torch.argsort(where, stable=True)
    plain = measure(x, text).tables["layers"].rows()[0]
    padded = measure(more[order], where[order]).tables["layers"].rows()[0]
    for name in ("mean_cosine", "su_collier_pooled", "su_collier_per_text",
                 "intra_sentence_similarity", "rogue_share"):  # fmt: skip
        assert padded[name] == pytest.approx(plain[name], rel=1e-6), name


@pytest.mark.parametrize("factor", [2.0**100, 1e30, 1e-30, 2.0**-7, 1e18])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_metrics_do_not_depend_on_the_size_of_the_vectors(
    measure_row: Row, cloud: Cloud, factor: float, dtype: torch.dtype
) -> None:
    x, text = (cloud(120, 6) + 0.5).to(dtype), torch.arange(120) // 6
    plain, other = measure_row(x, text), measure_row(x * factor, text)
    loose = 1e-4 if dtype == torch.float32 else 1e-6
    for name, value in plain.items():
        if isinstance(value, float) and not name.startswith(SIZED):
            assert other[name] == pytest.approx(value, rel=loose, abs=loose), name
    for name in ("mean_norm", "max_norm"):
        assert other[name] / factor == pytest.approx(plain[name], rel=1e-6)
    big = factor > 1
    log = other["log_partition_isotropy"]
    assert log < plain["log_partition_isotropy"] if big else -1e-1 < log <= 0
    star = other["isoscore"] if big else 1.0
    assert other["isoscore_star"] == pytest.approx(star, abs=1e-3)


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_models_in_float32_of_any_size_count_the_same(tiny_llama: Model, factor: float) -> None:
    texts = [f"{a} {b} the {c}" for a in ("one", "two") for b in ("cat", "sun") for c in "abcd"]
    probe = Isotropy(words=False)
    trace = tiny_llama.run(texts, read=probe.sites(tiny_llama.spec))
    rows = []
    for times in (1.0, factor):
        accumulator = probe.start(Context())
        for x in trace.activations.values():
            x.mul_(times)
        accumulator.add(trace, [Example(text=t) for t in texts])
        rows.append(accumulator.result(Context()).tables["layers"].rows()[0])
    for name in ("mean_cosine", "participation_ratio", "two_nn_dimension", "effective_rank"):
        for end in ("", "_low", "_high"):
            one, other = (row[name + end] for row in rows)
            assert one is not None
            assert other == pytest.approx(one, rel=1e-2), name + end


def test_parts_kept_at_other_sizes_join(cloud: Cloud, tmp_path) -> None:
    from safetensors.torch import save_file

    x, text = cloud(80, 5).double(), torch.arange(80) // 8
    x[40:] *= 2.0**40
    accumulators = []
    for name, rows in (("all", slice(0, 80)), ("one", slice(0, 40)), ("two", slice(40, 80))):
        save_file({"x": x[rows].contiguous(), "text": text[rows].contiguous()}, tmp_path / name)
        source = open_activations((tmp_path / name).rename(tmp_path / f"{name}.safetensors"))
        accumulator = Isotropy().start(Context(spec=source.spec))
        for trace, examples in source.batches():
            accumulator.add(trace, examples)
        accumulator.statistics.settle()
        accumulators.append(accumulator)
    whole, one, two = accumulators
    assert one.statistics.exponents[0] != two.statistics.exponents[0]
    one.merge(two.state())
    for name in ("covariance", "second_moment"):
        e = [2 * t.statistics.powers[0] for t in (whole, one)]
        found = [getattr(t.statistics.moments, name)(slice(1))[0].numpy() for t in (whole, one)]
        np.testing.assert_allclose(np.ldexp(found[1], e[1]), np.ldexp(found[0], e[0]), rtol=1e-9)


def test_powers_of_two_change_no_digit() -> None:
    x = torch.tensor([[[3.0, -1e-30]]]) * 1e30
    e = np.array([exponent_of(float(x.max()))])
    assert e == 102
    assert torch.equal(scaled(scaled(x, e), -e), x)
    assert exponent_of(1.0) == 0
    assert exponent_of(0.0) == UNKNOWN
    state = {"exponents": np.array([UNKNOWN]), "longest": np.zeros(1)}
    with pytest.raises(KeyError):
        rescaled(state, np.array([3]))


def test_a_vector_too_long_for_the_others_is_refused(tiny_llama: Model) -> None:
    probe = Isotropy(words=False)
    trace = tiny_llama.run(["one two three four"], read=probe.sites(tiny_llama.spec))
    accumulator = probe.start(Context())
    accumulator.add(trace, [Example(text="a")])
    accumulator.statistics.settle()
    for x in trace.activations.values():
        x.mul_(1e25)
    accumulator.add(trace, [Example(text="b")])
    with pytest.raises(NotFinite, match=r"beyond torch\.float32"):
        accumulator.statistics.settle()


def test_neither_names_nor_order_of_files_move_a_number(tiny_llama: Model) -> None:
    texts = [f"{a} {b} {c}" for a in ("one", "two") for b in ("cat", "sun") for c in "abcd"]
    probe = Isotropy(reservoir=20)
    trace = [tiny_llama.run(text, read=probe.sites(tiny_llama.spec)) for text in texts]
    results = []
    for name, order in (("x.txt", range(16)), ("other/y.jsonl", reversed(range(16)))):
        accumulator = probe.start(Context())
        for i in order:
            accumulator.add(trace[i], [Example(text=texts[i], source=f"{name}:{i}")])
        results.append(accumulator.result(Context()).tables["layers"].rows())
    for one, other in zip(*results, strict=True):
        for key, value in one.items():
            assert other[key] == (
                pytest.approx(value, rel=1e-2, abs=1e-4) if isinstance(value, float) else value
            ), key
    labels = [Example(text="a", label=label, source="f:1") for label in ("x", "y")]
    from probes.geometry.batch import _content

    assert _content(labels[0]) != _content(labels[1])


@pytest.mark.parametrize(("n", "d", "truth"), [(5, 4, 0.402), (1, 3, 1.0), (2, 1, 0.5)])
def test_the_chance_of_a_text_is_exact(n: int, d: int, truth: float) -> None:
    x = np.random.default_rng(0).standard_normal((20_000, n, d))
    total = x.sum(axis=1, keepdims=True)
    cosine = (x * total).sum(axis=2) / np.linalg.norm(x, axis=2) / np.linalg.norm(total, axis=2)
    found = float(chance_to_mean(np.array([float(n)]), d)[0])
    assert found == pytest.approx(
        float(cosine.mean()), abs=4 * stats.sem(cosine.mean(axis=1)) + 1e-9
    )
    assert found == pytest.approx(truth, abs=2e-3)


def test_the_control_of_the_participation_ratio_is_that_of_few_tokens() -> None:
    null = GaussianNull.draw(20, 4, 20, generator=np.random.default_rng(0))
    ratio = null.spectral(np.ones(1), zeta=0.5, one=np.ones(1))["participation_ratio"]
    assert ratio.draws == 400
    assert ratio.spread is not None
    assert ratio.value == pytest.approx(3.270, abs=4 * ratio.spread[0] / 20)
    assert 0.1 < ratio.spread[0] < 0.5


def test_drawn_controls_tell_draws_and_spread(measure: Measure, cloud: Cloud) -> None:
    result = measure(cloud(60, 20))
    found = result.estimate("two_nn_dimension.x")
    assert "mean of 40 draws, sd " in found.control_name
    row = result.tables["layers"].rows()[0]
    assert row["two_nn_dimension_control_sd"] > 0
    assert row["mean_cosine_control_sd"] == pytest.approx((2 / (60 * 59 * 20)) ** 0.5)
    for estimate in result.estimates:
        if estimate.control is not None:
            assert "draws" in estimate.control_name or "exact" in estimate.control_name
    one = Null(value=np.ones(1), spread=np.full(1, 0.25), draws=1, name="noise")
    assert one.told(0) == "noise, mean of 1 draw, sd 0.25"
