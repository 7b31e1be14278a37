"""Data that cannot carry a metric: a reason in words, never NaN."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from probes.isotropy import Isotropy
from workbench.errors import BadOption, NotFinite, TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.model.trace import Trace
from workbench.options import build
from workbench.result.result import Result

Measure = Callable[..., Result]
Cloud = Callable[[int, int], Tensor]


def words(result: Result) -> str:
    json.dumps(result.as_dict(), allow_nan=False)
    return "\n".join(note.text for note in result.notes)


def test_one_row_has_no_pairs_and_no_covariance(measure: Measure) -> None:
    result = measure(torch.ones(1, 4))
    row = result.tables["layers"].rows()[0]
    assert row["mean_cosine"] is None
    assert row["participation_ratio"] is None
    assert row["two_nn_dimension"] is None
    assert row["n_tokens"] == 1
    assert "one token has no pairs" in words(result)
    assert "one token has no covariance" in words(result)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_very_few_rows_never_break(measure: Measure, cloud: Cloud, n: int) -> None:
    result = measure(cloud(n, 8), torch.arange(n))
    assert "rank-deficient" in words(result)
    row = result.tables["layers"].rows()[0]
    assert row["su_collier_pooled"] is None
    assert row["participation_ratio"] <= n - 1 + 1e-9


def test_fewer_rows_than_dimensions_is_said(measure: Measure, cloud: Cloud) -> None:
    result = measure(cloud(50, 64), torch.arange(50) // 5)
    row = result.tables["layers"].rows()[0]
    assert not row["reliable"]
    assert row["participation_ratio"] < 49
    assert "rank-deficient and no rank can exceed 49" in words(result)
    assert "fewer than ten per dimension (640)" in words(result)


def test_identical_rows_have_no_spectrum(measure: Measure) -> None:
    result = measure(torch.full((40, 3), 0.1))
    row = result.tables["layers"].rows()[0]
    assert row["mean_cosine"] == pytest.approx(1)
    assert row["participation_ratio"] is None
    assert row["two_nn_dimension"] is None
    assert "all tokens have the same vector" in words(result)


def test_zero_rows_are_counted_and_named(measure: Measure, cloud: Cloud) -> None:
    x = cloud(100, 4)
    x[3] = 0
    assert "up to 1 vectors of a layer are zero" in words(measure(x))
    only = measure(torch.zeros(20, 4))
    assert only.tables["layers"].rows()[0]["mean_cosine"] is None
    assert "all vectors are zero" in words(only)
    assert "all sampled vectors are zero" in words(only)


def test_one_text_says_that_blocks_of_rows_stand_in(measure: Measure, cloud: Cloud) -> None:
    result = measure(cloud(1_000, 4))
    assert "the rows are one text" in words(result)
    assert result.estimate("mean_cosine.x").n_unit == "blocks of rows"
    assert result.estimate("mean_cosine.x").n == 63
    assert "63 groups" in result.estimate("mean_cosine.x").method


def test_memory_too_small_for_groups_is_said(measure: Measure, cloud: Cloud) -> None:
    result = measure(cloud(300, 16), torch.arange(300) // 10, memory_mb=0.0)
    row = result.tables["layers"].rows()[0]
    assert row["participation_ratio_low"] is None
    assert row["mean_cosine_low"] is not None
    assert row["two_nn_dimension_low"] is not None
    assert "raise it or choose fewer layers" in words(result)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_activations_name_layer_text_and_token(tiny_llama: Model, bad: float) -> None:
    probe = Isotropy()
    trace = tiny_llama.run(
        ["one two three four", "five six seven"], read=probe.sites(tiny_llama.spec)
    )
    x = dict(trace.activations)
    site = probe.sites(tiny_llama.spec)[1]
    x[site] = x[site].clone()
    x[site][1, 2, 5] = bad
    broken = Trace(spec=trace.spec, tokens=trace.tokens, activations=x)
    accumulator = probe.start(Context())
    examples = [Example(text="a", source="f:1"), Example(text="b", source="f:2")]
    accumulator.add(broken, examples)
    with pytest.raises(NotFinite, match=r"resid_post\.1 .* first at f:2, token 2"):
        accumulator.result(Context())


def test_padding_may_hold_anything(tiny_llama: Model) -> None:
    probe = Isotropy(words=False)
    trace = tiny_llama.run(["one two three four", "five six"], read=probe.sites(tiny_llama.spec))
    assert trace.tokens.is_padded
    x = {
        site: v.masked_fill(~trace.tokens.mask[:, :, None], float("nan"))
        for site, v in trace.activations.items()
    }
    accumulator = probe.start(Context())
    accumulator.add(
        Trace(spec=trace.spec, tokens=trace.tokens, activations=x),
        [Example(text="a", source="1"), Example(text="b", source="2")],
    )
    json.dumps(accumulator.result(Context()).as_dict(), allow_nan=False)


def test_texts_of_one_token_leave_nothing(tiny_llama: Model, measure_texts: Measure) -> None:
    one = tiny_llama.decode([5])
    with pytest.raises(TooLittleData, match="hold a first token only"):
        measure_texts(tiny_llama, [one, one])
    kept = measure_texts(tiny_llama, [one, one], exclude_first=False)
    assert "first tokens are included" in words(kept)


def test_no_text_at_all(tiny_llama: Model) -> None:
    with pytest.raises(TooLittleData, match="no text was given"):
        Isotropy().start(Context(spec=tiny_llama.spec)).result(Context())


def test_one_text_has_no_interval(tiny_llama: Model, measure_texts: Measure) -> None:
    result = measure_texts(tiny_llama, ["one two three four five six seven eight"])
    row = result.tables["layers"].rows()[0]
    assert row["mean_cosine"] is not None
    assert row["mean_cosine_low"] is None
    assert "nothing to resample" in words(result)


def test_every_undefined_estimate_says_why(measure: Measure) -> None:
    undefined = [e for e in measure(torch.ones(1, 4)).estimates if e.value is None]
    assert undefined
    assert all(e.note for e in undefined)


def test_result_options_are_bounded() -> None:
    values: dict[str, Any] = {"zeta": 1.5, "reservoir": 5000}
    with pytest.raises(BadOption, match=r"zeta.*reservoir"):
        build(Isotropy, values)
