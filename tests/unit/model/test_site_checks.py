"""A kind of site is offered only where its values, its heads and its effect are right."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from workbench.errors import Unsupported
from workbench.model.backend import Inputs
from workbench.model.backends.torch_hooks import HooksBackend
from workbench.model.capabilities import verdict
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.offers import site_offers
from workbench.model.points import HookPoint, Layout, ModulePaths
from workbench.model.sites import Kind, Site
from workbench.model.tiny import tiny_model, tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.tokens import pad
from workbench.model.wrap import describe_model, wrap_model
from workbench.model.zoo import zoo_module

ROW = [[5, 6, 7, 8, 9, 10]]
Change = Callable[[Mapping[Kind, HookPoint]], dict[Kind, HookPoint]]


def planted(change: Change, backend: type[HooksBackend] = HooksBackend) -> Model:
    """A tiny Llama whose places are changed, behind a backend that may be changed as well."""
    module = tiny_module("llama")
    right: ModulePaths = HooksBackend(module, None).paths
    reach = backend(module, tiny_tokenizer(), replace(right, block=change(right.block)))
    spec = describe_model(module, name="planted", backend=reach, weights_hash="planted")
    return Model(spec=spec, tokenizer=tiny_tokenizer(), backend=reach)


def moved(kind: Kind, **changes: Any) -> Change:
    return lambda block: {**block, kind: replace(block[kind], **changes)}


FAULTS: dict[str, tuple[Change, str, str]] = {
    "a module that never runs": (moved(Kind.Q, path="self_attn.rotary_fn"), "q", ""),
    "values for keys": (moved(Kind.K, path="self_attn.v_proj"), "k", "acts as a value"),
    "keys for values": (moved(Kind.V, path="self_attn.k_proj"), "v", "heads it may change"),
    "keys for queries": (lambda b: {**b, Kind.Q: b[Kind.K]}, "q", ""),
    "what leaves attention for queries": (
        moved(Kind.Q, path="self_attn.o_proj"), "q", "changes nothing",
    ),
    "heads interleaved with their widths": (
        moved(Kind.Z, layout=Layout.SPLIT), "z", "",
    ),
    "a state before attention": (
        moved(Kind.RESID_MID, path="input_layernorm"), "resid_mid", "against resid_mid",
    ),
    "a part that is not all that is added": (
        moved(Kind.MLP_OUT, path="mlp.up_proj"), "mlp_out", "",
    ),
    "a norm for the end of the block": (
        moved(Kind.RESID_POST, path="post_attention_layernorm"), "resid_post", "hidden_states",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_misplaced_site_is_refused_by_name(fault: str) -> None:
    change, kind, reason = FAULTS[fault]
    model = planted(change)
    with pytest.raises(Unsupported, match=rf"planted on backend hooks cannot read {kind}\.1: ."):
        model.run(pad(ROW), read=[f"{kind}.1"])
    with pytest.raises(Unsupported, match=rf"cannot read {kind}\.0, {kind}\.1: (?!.*; read)"):
        model.run(pad(ROW), read=[f"{kind}.0", f"{kind}.1"])
    with pytest.raises(Unsupported, match=rf"cannot edit {kind}\.1: ."):
        model.run(pad(ROW), edits=[Edit(site=Site(Kind(kind), 1), op=Op.SCALE, value=0.5)])
    assert reason in verdict(model, f"read {kind}").reason
    assert model.run(pad(ROW), logits="all").logits is not None


@pytest.mark.usefixtures("empty_cache")
def test_an_edit_that_does_nothing_is_refused() -> None:
    class Deaf(HooksBackend):
        def forward(self, inputs: Inputs, **asked: Any) -> Any:
            kept = [edit for edit in asked["edits"] if edit.site.kind is not Kind.ATTN_OUT]
            return super().forward(inputs, **{**asked, "edits": kept})

    model = planted(dict, Deaf)
    assert verdict(model, "read attn_out").works
    found = verdict(model, "edit attn_out")
    assert not found.works
    assert found.reason == "an edit in layers 0, 1, 2 left the logits as they were"
    assert verdict(model, "edit mlp_out").works


@pytest.mark.usefixtures("empty_cache")
def test_an_edit_that_reaches_other_rows_is_refused() -> None:
    class Spilling(HooksBackend):
        def forward(self, inputs: Inputs, **asked: Any) -> Any:
            spilled = [replace(edit, rows=None) for edit in asked["edits"]]
            return super().forward(inputs, **{**asked, "edits": spilled})

    assert not verdict(planted(dict, Spilling), "edit resid_post").works


@pytest.mark.usefixtures("empty_cache")
def test_states_that_do_not_map_to_the_logits_are_not_unembedded() -> None:
    class Scaled(HooksBackend):
        def unembed(
            self, h: Float[Tensor, "*batch d_model"], *, normed: bool
        ) -> Float[Tensor, "*batch d_vocab"]:
            return super().unembed(h, normed=normed) * 1.001

    model = planted(dict, Scaled)
    with pytest.raises(Unsupported, match=r"'unembed': unembed\(.* error 0.001"):
        model.unembed(torch.ones(1, model.spec.d_model))


@pytest.mark.usefixtures("empty_cache")
def test_embeddings_that_are_not_what_the_model_adds_up_are_not_fed() -> None:
    class Scaled(HooksBackend):
        def embed(self, ids: Any) -> Any:
            return super().embed(ids) * 2

    model = planted(dict, Scaled)
    vectors = torch.ones(1, 6, model.spec.d_model)
    with pytest.raises(Unsupported, match="'input vectors'"):
        model.run(pad(ROW), embeds=vectors)


def test_a_plain_forward_checks_nothing_and_checks_change_nothing(empty_cache: Path) -> None:
    model = tiny_model("qwen3")
    plain = model.run(pad(ROW), logits="all").logits
    assert model.verdicts == {}
    assert not (empty_cache / "capabilities").exists()
    site = Site.parse("q.1")
    off = Edit(site=site, op=Op.ABLATE, enabled=False)
    read = model.run(pad(ROW), read=[site], edits=[off], logits="all").logits
    assert set(model.verdicts) == {"read q"}
    assert plain is not None
    assert torch.equal(plain, read)  # type: ignore[arg-type]


def built(kind: str, **sizes: Any) -> Any:
    shared = {
        "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 128,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    config = AutoConfig.for_model(kind, **shared | sizes)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        module = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return module.eval()


@pytest.mark.usefixtures("empty_cache")
def test_a_hybrid_model_offers_attention_where_it_has_some() -> None:
    module = built("lfm2", layer_types=["conv", "full_attention", "conv"])
    model = wrap_model(module, tiny_tokenizer(), name="hybrid")
    offers = {offer.kind: offer for offer in site_offers(model)}
    for kind in (Kind.Q, Kind.V, Kind.Z, Kind.ATTN_PATTERN, Kind.ATTN_OUT):
        assert offers[kind].read.works, offers[kind]
        assert offers[kind].edit.works, offers[kind]
        assert offers[kind].where == "1"
    assert offers[Kind.MLP_OUT].where == offers[Kind.RESID_POST].where == "all"
    trace = model.run(pad(ROW), read=["attn_out.1", "resid_pre.1", "resid_mid.1"])
    assert torch.equal(trace["resid_pre.1"] + trace["attn_out.1"], trace["resid_mid.1"])
    with pytest.raises(Unsupported, match=r"read attn_out\.0: only layers 1 have attn_out"):
        model.run(pad(ROW), read=["attn_out.0", "resid_post.0"])


@pytest.mark.usefixtures("empty_cache")
def test_an_embedding_scaled_after_its_module_is_refused() -> None:
    module = built("ctrl", n_embd=32, n_layer=2, n_head=4, dff=64, n_positions=128)
    model = wrap_model(module, tiny_tokenizer(), name="scaled")
    with pytest.raises(Unsupported, match="embed against the input embedding"):
        model.run(pad(ROW), read=["embed"])


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("cohere", {"logit_scale": 0.3}),
        ("granite", {"logits_scaling": 5.0, "residual_multiplier": 0.5}),
        ("llama4_text", {"head_dim": 8, "num_local_experts": 2, "intermediate_size_mlp": 64}),
        (
            "falcon_h1",
            {"head_dim": 8, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_ssm": 32,
             "mamba_n_groups": 1, "mamba_d_state": 8, "lm_head_multiplier": 0.5},
        ),
    ],
)  # fmt: skip
def test_a_head_that_scales_its_logits_unembeds(kind: str, sizes: dict[str, Any]) -> None:
    module = built(kind, **sizes)
    model = wrap_model(module, tiny_tokenizer(), name=kind)
    ids = pad(ROW)
    with torch.no_grad():
        wanted = module(ids.ids).logits
    last = model.run(ids, read=["resid_post.-1"])["resid_post.-1"]
    torch.testing.assert_close(model.unembed(last), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cohere", "stablelm", "olmo2"])
def test_a_bridge_reads_and_edits_heads_as_hooks_do(kind: str, empty_cache: Path) -> None:
    module = built(kind)
    module.set_attn_implementation("eager")
    ours, hooks = (
        wrap_model(module, tiny_tokenizer(), name=kind, backend=backend)
        for backend in ("transformer-lens", "hooks")
    )
    ids = pad(ROW)
    for head in ("q", "k", "v", "z"):
        site = Site(Kind(head), 1)
        a, b = (model.run(ids, read=[site])[site] for model in (ours, hooks))
        assert a.shape == b.shape == (1, 6, 2 if head in "kv" else 4, 8)
        torch.testing.assert_close(a, b)
        edit = Edit(site=site, op=Op.SCALE, value=0.5)
        c, d = (model.run(ids, edits=[edit], logits="all").logits for model in (ours, hooks))
        torch.testing.assert_close(c, d)
        assert not torch.equal(c, hooks.run(ids, logits="all").logits)  # type: ignore[arg-type]


def test_a_pattern_can_be_edited_where_the_model_views_what_comes_back(empty_cache: Path) -> None:
    model = wrap_model(zoo_module("afmoe"), tiny_tokenizer(), name="afmoe")
    found = verdict(model, "edit attn_pattern")
    assert found.works, found.reason
