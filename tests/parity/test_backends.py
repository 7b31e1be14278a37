"""The three backends against a plain Hugging Face forward pass, and against each other."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.errors import UnknownName, Unsupported
from workbench.model.backend import Inputs, Outputs
from workbench.model.backends import BACKENDS
from workbench.model.edits import Edit, Op
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.parity import parity_table
from workbench.model.sites import Kind, Site
from workbench.model.tiny import FAMILIES, tiny_model, tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.tokens import Tokens, pad
from workbench.model.wrap import wrap_model

PEERS = [name for name in BACKENDS if name != "hooks"]
ROWS = [[5, 6, 7, 8, 9, 10], [11, 12, 13], [14, 15, 16, 17]]


@cache
def on(backend: str, family: str) -> Model:
    """The same eager model on each backend; TransformerLens knows no other attention."""
    module: Any = tiny_module(family)
    module.set_attn_implementation("eager")
    return wrap_model(module, tiny_tokenizer(), name=family, backend=backend)


def both(backend: str, family: str, tokens: Tokens, **asked: Any) -> tuple[Outputs, Outputs]:
    inputs = Inputs(ids=tokens.ids, mask=tokens.mask, position_ids=tokens.position_ids)
    ours, hooks = (on(name, family).forward(inputs, **asked) for name in (backend, "hooks"))
    return ours, hooks


def same(a: Tensor | None, b: Tensor | None, mask: Tensor | None = None) -> bool:
    assert a is not None
    assert b is not None
    return torch.equal(a, b) if mask is None else torch.equal(a[mask], b[mask])


def places(model: Model, *, edit: bool) -> list[Site]:
    kinds = [kind for kind in Kind if model.backend.supports(kind, edit=edit)]
    return [Site(kind, 1 if kind.has_layer else None) for kind in kinds]


# Three kinds of block stand for all in the quick run; what is read goes through every family.
FEW = ("gpt2", "llama", "gemma3")
TABLES = [f if f in FEW else pytest.param(f, marks=pytest.mark.slow) for f in FAMILIES]


@pytest.mark.parametrize("family", TABLES)
def test_every_row_of_the_parity_table_passes(family: str) -> None:
    rows = parity_table(tiny_model(family), sites=False)
    assert [row for row in rows if not row.passed] == []
    tried = {row.backend for row in rows if row.largest is not None}
    assert tried - {"transformers"} == set(BACKENDS)
    checks = {row.check for row in rows if row.backend == "nnsight" and row.largest is not None}
    assert {"logits", "resid_post, every layer", "patching", "head ablation"} <= checks
    assert {"mlp ablation", "steered generation", "latent loop"} <= checks
    compared = [row for row in rows if row.batch and row.backend != "transformers"]
    exact = [row for row in compared if row.allowed is not None and row.allowed < 1e-5]
    assert exact
    assert all(row.largest == 0 for row in exact if row.largest is not None)
    assert {row.batch for row in compared} == {"even", "left", "right"}
    across = [row.largest for row in compared if row.allowed == 1e-4]
    assert across or family == "gemma2"  # gemma2 has eager attention only
    assert all(x is not None and x > 0 for x in across if family != "gemma2")


@pytest.mark.usefixtures("empty_cache")
def test_a_backend_that_is_off_by_little_fails_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.model.backends.nn_trace import NNsightBackend

    honest = NNsightBackend.forward

    def off(self: NNsightBackend, inputs: Inputs, **asked: Any) -> Outputs:
        found = honest(self, inputs, **asked)
        logits = None if found.logits is None else found.logits * (1 + 1e-5)
        captured = {
            s: x + 5e-5 * (s.kind is Kind.RESID_POST) * (s.layer == 1)
            for s, x in found.captured.items()
        }
        return Outputs(logits=logits, captured=captured)

    monkeypatch.setattr(NNsightBackend, "forward", off)
    failed = [row for row in parity_table(tiny_model("llama"), sites=False) if not row.passed]
    assert {row.backend for row in failed} == {"nnsight"}
    assert {"logits", "resid_post, every layer"} <= {row.check for row in failed}
    assert {r.note for r in failed if r.check.startswith("resid")} == {"largest in layer 1"}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("backend", PEERS)
def test_every_read_is_bit_equal(backend: str, family: str) -> None:
    tokens = pad(ROWS, side="left")
    read = places(on("hooks", family), edit=False)
    assert places(on(backend, family), edit=False) == read
    picked = [Site(s.kind, s.layer, (-1, 0)) for s in read]
    ours, hooks = both(backend, family, tokens, read=[*read, *picked], logits="all")
    assert same(ours.logits, hooks.logits, tokens.mask)
    for place in read:
        pattern = place.kind is Kind.ATTN_PATTERN
        a, b = (x.captured[place] for x in (ours, hooks))
        a, b = (a.transpose(1, 2), b.transpose(1, 2)) if pattern else (a, b)
        assert same(a, b, tokens.mask), place
    assert all(same(ours.captured[s], hooks.captured[s]) for s in picked)
    for wanted in ("none", "last"):
        ours, again = both(backend, family, tokens, read=read[:5], logits=wanted)
        assert ours.captured.keys() == again.captured.keys()
        assert (ours.logits is None) is (wanted == "none")
        assert wanted == "none" or same(ours.logits, again.logits)


@pytest.mark.parametrize("family", TABLES)
@pytest.mark.parametrize("backend", PEERS)
def test_every_edit_is_bit_equal(backend: str, family: str) -> None:
    tokens = pad(ROWS, side="left")
    plain = on("hooks", family).run(tokens, logits="last").logits
    for place in places(on(backend, family), edit=True):
        somewhere = None if place.kind is Kind.ATTN_PATTERN else (-1,)
        edits = [
            Edit(site=place, op=Op.SCALE, value=1.5),
            Edit(site=place, op=Op.ABLATE, heads=(1,) if place.kind.has_heads else None, rows=(0,)),
            Edit(site=Site(place.kind, place.layer, somewhere), op=Op.ADD, value=0.5, rows=(1, 2)),
        ]
        read = list(dict.fromkeys([place, Site(Kind.RESID_POST, 2)]))
        ours, hooks = both(backend, family, tokens, read=read, edits=edits, logits="last")
        assert same(ours.logits, hooks.logits), place
        assert same(ours.captured[read[-1]], hooks.captured[read[-1]], tokens.mask), place
        assert not same(hooks.logits, plain), place


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_logits_a_run_ends_where_nothing_more_is_asked(backend: str) -> None:
    model, tokens = on(backend, "llama"), pad(ROWS, side="left")
    called: list[int] = []
    layers = model.backend.module.model.layers
    handles = [
        layer.register_forward_hook(lambda *_, i=i: called.append(i))
        for i, layer in enumerate(layers)
    ]
    whole = model.run(tokens, read=["resid_post.0", "final_norm"], logits="last")
    called.clear()
    edit = Edit(site=Site.parse("mlp_out.1"), op=Op.ABLATE)
    early = model.run(tokens, read=["embed", "resid_post.0"])
    edited = model.run(tokens, read=["resid_post.0"], edits=[edit])
    for handle in handles:
        handle.remove()
    assert called == [0, 0, 1]
    assert torch.equal(early["resid_post.0"], whole["resid_post.0"])
    assert torch.equal(edited["resid_post.0"], whole["resid_post.0"])
    assert torch.equal(model.run(tokens, logits="last").logits, whole.logits)  # type: ignore[arg-type]


def test_what_a_backend_cannot_do_it_says() -> None:
    pattern = Edit(site=Site.parse("attn_pattern.1"), op=Op.ABLATE)
    for backend, family in (("nnsight", "llama"), ("transformer-lens", "opt")):
        model = on(backend, family)
        assert model.backend.supports(Kind.ATTN_PATTERN, edit=False)
        with pytest.raises(Unsupported, match=r"cannot edit attn_pattern\.1"):
            model.run(pad(ROWS), edits=[pattern])
    for backend in BACKENDS:
        with pytest.raises(Unsupported, match=r"cannot read resid_mid\.1"):
            on(backend, "gpt_neox").run(pad(ROWS), read=["resid_mid.1"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_refused_read_leaves_the_backend_usable(backend: str) -> None:
    model = on(backend, "qwen2")
    before = model.run(pad(ROWS), read=["resid_post.1"])["resid_post.1"]
    with pytest.raises(UnknownName, match="rows"):
        model.run(pad(ROWS), read=["resid_post.0", "resid_post.1[5]"])
    assert torch.equal(model.run(pad(ROWS), read=["resid_post.1"])["resid_post.1"], before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_stay_as_they_were_and_are_shared(backend: str) -> None:
    module: Any = tiny_module("gpt2")
    before = {name: p.clone() for name, p in module.named_parameters()}
    tree = [name for name, _ in module.named_modules()]
    model = wrap_model(module, tiny_tokenizer(), name="mine", backend=backend)
    edits = [Edit(site=s, op=Op.SET, value=0.5) for s in places(model, edit=True)]
    model.run(pad(ROWS), read=places(model, edit=False), edits=edits, logits="all")
    assert [name for name, _ in module.named_modules()] == tree
    assert all(torch.equal(before[name], p) for name, p in module.named_parameters())
    ours = {p.data_ptr() for p in model.backend.module.parameters()}
    assert {p.data_ptr() for p in module.parameters()} <= ours


@pytest.mark.parametrize("backend", BACKENDS)
def test_steering_changes_the_text_it_is_compared_on(backend: str) -> None:
    model, tokens = on(backend, "llama"), pad(ROWS, side="left")
    options = GenerationOptions(stop_ids=())
    direction = torch.ones(model.spec.d_model)
    edit = Edit(site=Site.parse("resid_post.1"), op=Op.ADD, value=direction)
    plain, steered = (
        model.generate(tokens, limit=12, edits=e, options=options).generated for e in ([], [edit])
    )
    assert plain != steered


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_object_gains_an_attribute(backend: str) -> None:
    on(backend, "llama")
    assert not hasattr(object(), "save")


@pytest.mark.slow
def test_the_table_has_a_row_for_every_site_of_every_backend() -> None:
    rows = parity_table(tiny_model("llama"))
    assert [row for row in rows if not row.passed] == []
    for backend in BACKENDS:
        mine = {row.check: row for row in rows if row.backend == backend}
        assert all(mine[f"{word} {kind}"].outcome for word in ("read", "edit") for kind in Kind)
        assert all(mine[f"{word} {kind}"].outcome == "works" for word in ("read", "edit")
                   for kind in "qkvz")  # fmt: skip
    refused = [row for row in rows if row.refused]
    assert {(row.backend, row.check) for row in refused} == {("nnsight", "edit attn_pattern")}
    assert all(row.note for row in refused)


@pytest.mark.slow
def test_the_embedded_model_passes(default_model: Model) -> None:
    rows = parity_table(default_model)
    assert [row for row in rows if not row.passed] == []
    assert len([row for row in rows if row.largest == 0]) > 40


def test_parity_needs_the_plain_model() -> None:
    with pytest.raises(Unsupported, match="starts from the plain model"):
        parity_table(tiny_model("llama", backend="nnsight"))
