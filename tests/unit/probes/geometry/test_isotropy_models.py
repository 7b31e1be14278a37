"""The probe on models: which tokens, which layers, which tables."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from probes.geometry.statistics import IsotropyStatistics, Settings
from probes.isotropy import Isotropy
from workbench.errors import BadSite
from workbench.methods.contracts import Example
from workbench.methods.registry import find
from workbench.model.model import Model
from workbench.result.result import Result
from workbench.result.views import Curve, Heatmap

Measure = Callable[..., Result]

TEXTS = [
    "the cat sat on the mat and the dog ran to the door of the house",
    "one two three four five six seven eight nine ten",
    "the sun is in the sky and the moon is in the sea",
    "a b c d e f g h i j k l m n o p",
    "the end of the day is the start of the night",
]

PROMISED = (
    "layer",
    "mean_cosine",
    "su_collier_pooled",
    "su_collier_per_text",
    "participation_ratio",
    "isoscore",
    "isoscore_corrected",
    "effective_rank",
    "stable_rank",
    "partition_isotropy",
    "two_nn_dimension",
    "n_tokens",
    "n_texts",
)


def cosines(x: torch.Tensor) -> torch.Tensor:
    u = torch.nn.functional.normalize(x.double(), dim=1)
    return (u @ u.T)[~torch.eye(len(u), dtype=torch.bool)]


def test_rows_are_every_layer_and_the_final_norm(tiny: Model, measure_texts: Measure) -> None:
    rows = measure_texts(tiny, TEXTS).tables["layers"].rows()
    n = tiny.spec.n_layers
    assert [r["layer"] for r in rows] == [*range(n), n]
    assert [r["site"] for r in rows] == [*(f"resid_post.{i}" for i in range(n)), "final_norm"]
    assert {r["n_texts"] for r in rows} == {len(TEXTS)}


def test_values_are_those_of_each_text_alone(tiny_llama: Model, measure_texts: Measure) -> None:
    rows = measure_texts(tiny_llama, TEXTS, batch=3).tables["layers"].rows()
    for i, site in enumerate(("resid_post.0", "resid_post.1", "resid_post.2", "final_norm")):
        alone = [tiny_llama.run(text, read=[site])[site][0, 1:] for text in TEXTS]
        pooled = torch.cat([cosines(x) for x in alone]).mean()
        assert rows[i]["su_collier_pooled"] == pytest.approx(1 - float(pooled), abs=1e-5)
        everything = torch.cat(alone)
        assert rows[i]["mean_cosine"] == pytest.approx(float(cosines(everything).mean()), abs=1e-5)
        assert rows[i]["n_tokens"] == len(everything)
        assert rows[i]["max_norm"] == pytest.approx(float(everything.norm(dim=1).max()), rel=1e-5)


def test_first_tokens_count_only_if_asked(tiny_llama: Model, measure_texts: Measure) -> None:
    without = measure_texts(tiny_llama, TEXTS).tables["layers"].rows()[0]["n_tokens"]
    with_first = measure_texts(tiny_llama, TEXTS, exclude_first=False)
    assert with_first.tables["layers"].rows()[0]["n_tokens"] == without + len(TEXTS)
    assert "first-token" in {note.code for note in with_first.notes}


def test_layers_can_be_chosen(tiny_llama: Model, measure_texts: Measure) -> None:
    result = measure_texts(tiny_llama, TEXTS, layers=(-1, 0), where="mlp_out", final_norm=False)
    assert [r["site"] for r in result.tables["layers"].rows()] == ["mlp_out.0", "mlp_out.2"]
    with pytest.raises(BadSite, match="layers 0 to 2"):
        Isotropy(layers=(7,)).sites(tiny_llama.spec)


def test_words_are_compared_in_their_contexts(tiny_llama: Model, measure_texts: Measure) -> None:
    texts = TEXTS * 2
    result = measure_texts(tiny_llama, texts, exclude_first=False)
    rows = [r for r in result.tables["words"].rows() if r["site"] == "resid_post.1"]
    assert rows
    states: dict[int, list[torch.Tensor]] = {}
    for text in texts:
        trace = tiny_llama.run(text, read=["resid_post.1"])
        for token, x in zip(trace.tokens.row(0), trace["resid_post.1"][0], strict=True):
            states.setdefault(token, []).append(x)
    for row in rows:
        contexts = torch.stack(states[row["token_id"]])
        assert row["n"] == len(contexts)
        assert row["self_similarity"] == pytest.approx(float(cosines(contexts).mean()), abs=1e-5)
        if row["n"] <= 32:
            sigma = torch.linalg.svdvals((contexts - contexts.mean(dim=0)).double())
            share = float(sigma[0] ** 2 / (sigma**2).sum())
            assert row["max_explained_variance"] == pytest.approx(share, abs=1e-4)
    layer = result.tables["layers"].rows()[1]
    assert layer["self_similarity"] == pytest.approx(np.mean([r["self_similarity"] for r in rows]))
    assert layer["self_similarity_adjusted"] == pytest.approx(
        layer["self_similarity"] - layer["mean_cosine"]
    )


def test_views_name_columns_that_exist(tiny_llama: Model, measure_texts: Measure) -> None:
    result = measure_texts(tiny_llama, TEXTS)
    assert len(result.views) >= 9
    for view in result.views:
        assert isinstance(view, Curve | Heatmap)
        columns = set(result.tables[view.table].frame.columns)
        if isinstance(view, Curve):
            assert {view.x, *view.y, *view.control} <= columns
        else:
            assert {view.row, view.column, view.value, view.text} <= columns


def test_every_column_is_described(tiny_llama: Model, measure_texts: Measure) -> None:
    for table in measure_texts(tiny_llama, TEXTS).tables.values():
        for name in table.frame.columns:
            assert table.columns[name].help, name


def test_layer_rows_hold_the_promised_columns(tiny_llama: Model, measure_texts: Measure) -> None:
    texts = [f"{text} {more}" for text in TEXTS for more in ("one", "two two", "day")]
    row = measure_texts(tiny_llama, texts).tables["layers"].rows()[0]
    for name in PROMISED:
        assert row[name] is not None, name
        if name not in ("layer", "n_tokens", "n_texts"):
            assert row[f"{name}_low"] <= row[f"{name}_high"]
            assert row[f"{name}_control"] is not None


def test_every_defined_estimate_names_its_interval(
    tiny_llama: Model, measure_texts: Measure
) -> None:
    result = measure_texts(tiny_llama, TEXTS * 4)
    json.dumps(result.as_dict(), allow_nan=False)
    assert {e.name.split(".", 1)[1] for e in result.estimates} == {"resid_post.2", "final_norm"}
    for estimate in result.estimates:
        assert estimate.n_unit == "texts"
        assert "jackknife" in estimate.method or estimate.method.startswith("no interval: ")


def test_probe_is_registered_with_source_and_units() -> None:
    plugin = find("probe", "isotropy")
    assert plugin.recipe is Isotropy
    assert "Su & Collier" in plugin.source
    assert "Units:" in plugin.description
    assert plugin.summary.endswith("layer by layer.")


def test_float32_products_change_nothing_that_matters(tiny_llama: Model) -> None:
    texts = [f"{text} {i}" for i, text in enumerate(TEXTS * 4)]
    sites = Isotropy().sites(tiny_llama.spec)
    found = {}
    for exact in (False, True):
        settings = Settings(
            sites=sites, exclude_first=True, reservoir=50, memory_mb=64.0, seed=0, exact=exact
        )
        found[exact] = IsotropyStatistics(settings, tiny_llama.spec.d_model, torch.device("cpu"))
        found[exact].add(tiny_llama.run(texts, read=sites), [Example(text=t) for t in texts])
    every = slice(None)
    precise, rough = (found[exact].moments.covariance(every) for exact in (True, False))
    scale = precise.diagonal(dim1=1, dim2=2).sqrt()
    error = (rough - precise) / scale[:, :, None] / scale[:, None]
    assert float(error.abs().max()) < 1e-5
    left, rough = (found[exact].moments.covariance_without(every, 0) for exact in (True, False))
    error = (rough - left) / scale[:, :, None] / scale[:, None]
    assert float(error.abs().max()) < 1e-4
    np.testing.assert_allclose(
        found[False].texts.direction, found[True].texts.direction, rtol=1e-4, atol=1e-5
    )
