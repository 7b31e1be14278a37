"""Where parts are found: the tables, the search, and refusals that say what to do."""

from typing import Any

import pytest
import torch
import transformers
from torch import nn

from workbench.errors import Unsupported
from workbench.model.backend import Inputs
from workbench.model.model import Model
from workbench.model.module_paths import find_paths
from workbench.model.module_search import search_paths
from workbench.model.points import Layout
from workbench.model.sites import Kind, Site
from workbench.model.tiny import FAMILIES, tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.tokens import pad
from workbench.model.wrap import make_backend, wrap_model

FUSED = {"gpt2", "gpt_neox"}
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def unlisted(kind: str, **changes: Any) -> Any:
    config = transformers.AutoConfig.for_model(kind, **SIZES | changes)
    with torch.random.fork_rng(devices=[]):
        return transformers.AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_search_finds_what_the_table_says(family: str) -> None:
    module = tiny_module(family)
    table, found = find_paths(module), search_paths(module)
    assert (found.embed, found.layers, found.norm, found.head, found.n_layers) == (
        table.embed,
        table.layers,
        table.norm,
        table.head,
        table.n_layers,
    )
    left_out = {kind for kind in table.block if kind not in found.block}
    expected = {Kind.Q, Kind.K, Kind.V} if family in FUSED else set()
    if family == "opt":  # batch and position are joined before its feed-forward part
        expected = {Kind.ATTN_OUT, Kind.RESID_MID, Kind.MLP_OUT}
    assert left_out == expected
    assert all(found.block[kind] == table.block[kind] for kind in found.block)


@pytest.mark.parametrize(
    ("kind", "lacking"),
    [
        ("stablelm", set()),
        ("olmo2", set()),
        ("phi", {Kind.RESID_MID}),  # parallel
        ("phi3", {Kind.Q, Kind.K, Kind.V}),  # fused
        ("granite", {Kind.ATTN_OUT, Kind.RESID_MID, Kind.MLP_OUT}),  # scaled before it is added
    ],
)
def test_an_unlisted_decoder_offers_what_adds_up(kind: str, lacking: set[Kind]) -> None:
    changes = {"residual_multiplier": 0.5} if kind == "granite" else {}
    model = wrap_model(unlisted(kind, **changes), tiny_tokenizer(), name=kind)
    known = {k for k in Kind if model.backend.supports(k, edit=True)}
    assert set(Kind) - known == lacking
    x = model.run(pad([[5, 6, 7, 8]]), read=[Site(k, 1) for k in known if k.has_layer])
    if not lacking:
        assert torch.equal(x["resid_pre.1"] + x["attn_out.1"], x["resid_mid.1"])
        assert torch.equal(x["resid_mid.1"] + x["mlp_out.1"], x["resid_post.1"])
    module = model.backend.module
    with torch.no_grad():
        states = module(pad([[5, 6, 7, 8]]).ids, output_hidden_states=True).hidden_states
    assert torch.equal(x["resid_pre.1"], states[1])


def test_a_model_that_also_sees_keeps_its_text_part() -> None:
    text = SIZES | {"head_dim": 8, "sliding_window": 16}
    vision = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "image_size": 28,
        "patch_size": 14,
    }
    config = transformers.Gemma3Config(text_config=text, vision_config=vision)
    with torch.random.fork_rng(devices=[]):
        module = transformers.Gemma3ForConditionalGeneration(config).eval()
    backend = make_backend("hooks", module, None)
    tokens = pad([[5, 6, 7, 8]])
    site = Site(Kind.RESID_POST, 1)
    with torch.no_grad():
        found = backend.forward(
            Inputs(ids=tokens.ids, mask=tokens.mask, position_ids=tokens.position_ids),
            read=[site],
            edits=[],
            logits="all",
        )
        plain = module(tokens.ids).logits
    assert found.logits is not None
    assert torch.equal(found.logits, plain)
    with torch.no_grad():
        assert torch.equal(backend.unembed(found.captured[site], normed=False), plain)
    with pytest.raises(Unsupported, match="takes more than text"):
        make_backend("transformer-lens", module, None)


def test_an_olmo2_block_normalises_what_it_adds() -> None:
    paths = search_paths(unlisted("olmo2"))
    assert paths.block[Kind.ATTN_OUT].path == "post_attention_layernorm"
    assert paths.block[Kind.MLP_OUT].path == "post_feedforward_layernorm"
    assert paths.block[Kind.Q].path == "self_attn.q_norm"
    assert paths.block[Kind.Q].layout is Layout.JOINED


def test_a_module_called_twice_is_no_place() -> None:
    assert search_paths(unlisted("phi")).block[Kind.MLP_OUT].path == "mlp"


def test_sequential_neox_has_resid_mid() -> None:
    module: Any = tiny_module("gpt_neox")
    module.config.use_parallel_residual = False
    assert Kind.RESID_MID in find_paths(module).block


def test_paths_know_their_turn(tiny: Model) -> None:
    paths = tiny.backend.paths  # type: ignore[attr-defined]
    turns = [paths.turn(Site(kind, 0)) for kind in paths.block]
    assert turns == sorted(turns)
    assert paths.turn(Site(Kind.EMBED)) < turns[0]
    assert paths.turn(Site(Kind.FINAL_NORM)) > paths.turn(Site(Kind.RESID_POST, 2))


class _NoConfig(nn.Module):
    pass


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (_NoConfig, "a causal language model of transformers"),
        (lambda: tiny_module("llama").model, "lacks model.embed_tokens"),
        (
            lambda: transformers.AutoModel.from_config(
                transformers.AutoConfig.for_model("mamba", vocab_size=64, hidden_size=16)
            ),
            "cannot be found",
        ),
        (
            lambda: transformers.OPTForCausalLM(
                transformers.OPTConfig(
                    vocab_size=64,
                    hidden_size=32,
                    num_hidden_layers=1,
                    num_attention_heads=4,
                    ffn_dim=32,
                    word_embed_proj_dim=16,
                )
            ),
            "projects its embeddings",
        ),
    ],
)
def test_a_wrong_architecture_is_refused_with_a_hint(build: Any, says: str) -> None:
    with torch.random.fork_rng(devices=[]):
        module = build()
    with pytest.raises(Unsupported, match=says) as caught:
        find_paths(module)
    assert caught.value.hint
