"""Patterns of sites stand for the sites that one would list by hand."""

import copy
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probes.linear import Linear
from workbench.errors import BadEdit, BadSite, NoSuchLayers
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.site_patterns import SitePattern, expand
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.tiny import FAMILIES, tiny_model
from workbench.model.tokens import pad
from workbench.options import build, describe, plain, split_list

LAYERED = [kind for kind in Kind if kind.has_layer]
BOUND = st.none() | st.integers(-5, 5)
POSITIONS = st.none() | st.lists(st.integers(-3, 3), min_size=1, max_size=3).map(tuple)


@cache
def _spec(family: str) -> ModelSpec:
    return tiny_model(family).spec


def _where(positions: tuple[int, ...] | None) -> str:
    return "" if positions is None else f"[{','.join(map(str, positions))}]"


@given(
    st.sampled_from(FAMILIES),
    st.sampled_from(LAYERED),
    st.tuples(BOUND, BOUND, BOUND.filter(lambda step: step != 0)),
    POSITIONS,
)
def test_a_slice_is_what_python_slices(
    family: str, kind: Kind, bounds: tuple[Any, ...], positions: tuple[int, ...] | None
) -> None:
    spec = _spec(family)
    text = f"{kind}.{':'.join('' if b is None else str(b) for b in bounds)}{_where(positions)}"
    by_hand = [Site(kind, n, positions) for n in list(range(spec.n_layers))[slice(*bounds)]]
    assert str(SitePattern.parse(text)) == text
    if by_hand:
        assert list(SitePattern.parse(text).sites(spec)) == by_hand
        assert expand([text, *by_hand], spec) == tuple(by_hand)
    else:
        with pytest.raises(NoSuchLayers, match="matches no layer"):
            expand([text], spec)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_star_reads_every_layer(family: str) -> None:
    model = tiny_model(family)
    tokens = pad([[3, 4, 5, 6], [7, 8]])
    trace = model.run(tokens, read=["resid_post.*", "attn_out.1:[-1]", "logits[-1]"])
    assert list(map(str, trace.activations)) == [
        "resid_post.0", "resid_post.1", "resid_post.2", "attn_out.1[-1]", "attn_out.2[-1]",
        "logits[-1]",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["*", "q.*.1", "q.1:2:3:4", "q.*:2", "q.a:b", "q.*[0:2]", "q.[1]"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(BadSite, match="is not a site"):
        SitePattern.parse(text)


def test_a_pattern_that_cannot_be() -> None:
    with pytest.raises(BadSite, match="step of 0"):
        SitePattern.parse("q.::0")
    with pytest.raises(BadSite, match="logits has no layers"):
        SitePattern.parse("logits.*")
    with pytest.raises(BadSite, match="q needs a layer"):
        SitePattern.parse("q")
    with pytest.raises(BadSite, match=r"pattern for several layers; expected one site"):
        Site.parse("q.*")


def test_lists_keep_the_commas_in_brackets() -> None:
    spec = tiny_model("llama").spec
    probe = build(Linear, {"at": "resid_post.1:[0,-1], q.3[-1],mlp_out.*"})
    assert [str(pattern) for pattern in probe.at] == ["resid_post.1:[0,-1]", "q.3[-1]", "mlp_out.*"]
    assert build(Linear, plain(probe)) == probe
    assert split_list("a[1,2],b,,c[3]") == ["a[1,2]", "b", "", "c[3]"]
    with pytest.raises(BadSite, match="layers 0 to 2"):
        probe.sites(spec)
    (at,) = (info for info in describe(Linear) if info.name == "at")
    assert (at.type, at.repeated) == (SitePattern, True)


ROWS = [[3, 4, 5, 6, 7], [8, 9], [10, 11, 12]]


@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_of_a_pattern_are_queries(tiny: Model, side: Any) -> None:
    tokens = pad(ROWS, side=side)
    trace = tiny.run(tokens, read=["attn_pattern.*", "attn_pattern.*[-1,0]"])
    width = tokens.ids.shape[1]
    for layer in range(tiny.spec.n_layers):
        whole, chosen = f"attn_pattern.{layer}", f"attn_pattern.{layer}[-1,0]"
        assert trace[chosen].shape == (len(ROWS), tiny.spec.n_heads, 2, width)
        for i, row in enumerate(ROWS):
            assert trace.row(i, chosen).shape == (tiny.spec.n_heads, 2, len(row))
            assert torch.equal(trace.row(i, chosen), trace.row(i, whole)[:, [-1, 0]])
        padded = ~tokens.mask[:, None, None, :].expand(trace[chosen].shape)
        assert not trace[chosen][padded].any()


def test_queries_of_rows_that_run_apart(tiny_llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.model import model as home

    read = ["attn_pattern.1", "attn_pattern.1[-1,0]", "q.1[-1]"]
    together = tiny_llama.run(pad(ROWS), read=read)
    monkeypatch.setattr(home, "runs_together", lambda *_: False)
    apart = tiny_llama.run(pad(ROWS), read=read)
    for site in read:
        torch.testing.assert_close(apart[site], together[site])


def test_queries_while_generating(tiny_llama: Model) -> None:
    read = ["attn_pattern.1", "attn_pattern.1[-1,0]"]
    trace = tiny_llama.generate(pad(ROWS, side="left"), limit=3, read=read)
    for i in range(len(ROWS)):
        assert torch.equal(trace.row(i, read[1]), trace.row(i, read[0])[:, [-1, 0]])


def test_edits_at_queries_are_refused() -> None:
    with pytest.raises(BadEdit, match="an attention pattern is edited whole"):
        Edit(site=Site.parse("attn_pattern.1[-1]"), op=Op.ABLATE)


def test_one_address_need_not_stand_in_a_list() -> None:
    spec = _spec("llama")
    assert expand("resid_post.*", spec) == expand(["resid_post.*"], spec)
    assert expand(Site(Kind.LOGITS), spec) == (Site(Kind.LOGITS),)


def test_a_site_travels_without_the_hash_of_its_process() -> None:
    site = Site(Kind.RESID_POST, 3, (-1,))
    assert site.whole() in {Site(Kind.RESID_POST, 3)}
    other = copy.copy(site)
    assert vars(other) == {"kind": Kind.RESID_POST, "layer": 3, "positions": (-1,)}
    assert other in {site}
