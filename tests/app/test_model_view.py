"""The model page: sizes, sites, norms at any layer, attention of any head."""

import numpy as np
import pytest

from workbench.model.sites import Kind


def test_sizes_and_sites_are_those_of_the_model(open_page, tiny_llama) -> None:
    page = open_page("model")
    spec = tiny_llama.spec
    for value in (spec.n_layers, spec.d_model, spec.d_vocab, spec.architecture):
        assert str(value) in page.html
    sites = page.at.dataframe[-1].value
    assert sites["address"].str.split(".").str[0].tolist() == [str(kind) for kind in Kind]
    assert sites["hooks"].tolist() == [
        " · ".join(
            w for w, edit in (("read", False), ("edit", True))
            if tiny_llama.backend.supports(kind, edit=edit)
        )
        or "–"
        for kind in Kind
    ]  # fmt: skip


def test_norms_of_any_site_at_any_layer(open_page) -> None:
    page = open_page("model")
    page.at.selectbox[-1].set_value("attn_out")
    page.at.slider[0].set_value(2)
    page.settle()
    run = next(
        page.store.get(row["run_id"])
        for row in page.store.find(name="token-trace").rows()
        if page.store.get(row["run_id"]).spec.options["site"] == "attn_out"
    )
    norms = run.result.table("grid").frame.query("layer == 2")["norm"].tolist()
    assert [f"norm {n:.6g} activation units" in s for n, s in zip(
        norms, page.strips[0].said, strict=True)] == [True] * len(norms)  # fmt: skip


def test_attention_of_the_chosen_head_is_drawn(open_page) -> None:
    page = open_page("model")
    page.at.slider(key="pattern layer").set_value(1)
    page.at.slider(key="pattern head").set_value(2)
    page.settle()
    pattern = page.run("attention-pattern").result.arrays["pattern"][1, 2].astype(np.float64)
    drawn = page.figure("Attention of head 2 in layer 1")["data"][0]["z"]
    seen = np.array([[v or 0.0 for v in row] for row in drawn])
    assert seen == pytest.approx(pattern)


def test_all_three_backends_are_asked_on_request(open_page) -> None:
    page = open_page("model")
    page.at.toggle[0].set_value(True).run()
    from app.panels.model_loading import LOADER
    from workbench.runs.spec import ModelRef

    LOADER.backends(ModelRef(name="tiny:llama")).finished.wait(120)
    page.settle()
    assert {"hooks", "transformer-lens", "nnsight"} <= set(page.at.dataframe[-1].value.columns)
