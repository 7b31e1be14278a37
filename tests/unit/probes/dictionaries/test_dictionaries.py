"""Dictionaries against closed forms, files as SAELens writes them, and a planted training."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from probes.dictionaries.dictionary import Dictionary, fitted, kept
from probes.dictionaries.files import as_tensors, config_of, find_dictionary, read_dictionary
from probes.dictionaries.training import DictionaryObjective
from probes.dictionary import DictionaryFit, LoadedDictionary
from workbench.errors import BadOption, ModelError, ModelNotFound, Unsupported
from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit_state import PerUnitAccumulator
from workbench.model.model import Model
from workbench.model.site_patterns import SitePattern
from workbench.model.sites import Site
from workbench.model.tokens import pad
from workbench.training.loop import Plan, train

SITE = SitePattern.parse("resid_post.1")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def some(d: int = 32, n: int = 64, **changes) -> Dictionary:
    decoder = torch.nn.functional.normalize(draw(n, d, seed=1), dim=1)
    given = {"encoder": decoder.T.contiguous(), "bias": torch.zeros(n), "centre": draw(d, seed=2)}
    return Dictionary(**{"site": SITE, "decoder": decoder, "k": 4, **given, **changes})


def test_three_kinds_of_activation_by_hand() -> None:
    x = torch.tensor([[3.0, -1.0, 0.5, 2.0]])
    eye, zero = torch.eye(4), torch.zeros(4)
    plain = Dictionary(site=SITE, encoder=eye, decoder=eye, bias=zero, centre=zero)
    assert plain.features(x).tolist() == [[3.0, 0.0, 0.5, 2.0]]
    assert replace(plain, k=2).features(x).tolist() == [[3.0, 0.0, 0.0, 2.0]]
    jump = replace(plain, threshold=torch.tensor([3.5, 0.0, 0.4, 1.0]))
    assert jump.features(x).tolist() == [[0.0, 0.0, 0.5, 2.0]]
    shifted = replace(plain, centre=torch.ones(4))
    assert shifted.features(x).tolist() == [[2.0, 0.0, 0.0, 1.0]]
    assert replace(shifted, is_centred=False).features(x).tolist() == [[3.0, 0.0, 0.5, 2.0]]
    assert shifted.states(shifted.features(x), x).tolist() == [[3.0, 1.0, 1.0, 2.0]]


@pytest.mark.parametrize("scaling", ["layer_norm", "constant_norm_rescale"])
def test_scaling_is_undone_so_that_a_larger_state_has_a_larger_reconstruction(scaling) -> None:
    found = some(scaling=scaling, centre=torch.zeros(32))
    x = draw(5, 32, seed=3)
    one, ten = (found.states(found.features(y), y) for y in (x, 10 * x))
    torch.testing.assert_close(ten, 10 * one, atol=1e-3, rtol=1e-3)


def test_features_add_up_to_the_state() -> None:
    found, x = some(), draw(3, 32, seed=4)
    f = found.features(x)
    parts = sum(found.contribution(f[:, i], i, x) for i in range(found.n_features))
    torch.testing.assert_close(found.centre + parts, found.states(f, x), atol=1e-5, rtol=1e-5)
    assert (f > 0).sum(dim=1).max() <= 4


def test_a_rescaled_guess_is_the_closest_on_its_line() -> None:
    x, guess, centre = draw(6, 8, seed=5), draw(6, 8, seed=6), draw(8, seed=7)
    best = fitted(x, guess, centre)
    for share in (-1.0, 0.5, 2.0):
        other = centre + share * (guess - centre)
        assert ((x - best).norm(dim=1) <= (x - other).norm(dim=1) + 1e-6).all()


SAELENS = {
    "topk": ({"architecture": "topk", "k": 4, "metadata": {"hook_name": "blocks.1.hook_mlp_out"}},),
    "topk of old": (
        {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4},
         "hook_name": "blocks.1.hook_mlp_out"},
    ),
    "standard": ({"hook_name": "blocks.1.hook_mlp_out", "normalize_activations": "layer_norm"},),
    "jumprelu": ({"architecture": "jumprelu", "hook_name": "blocks.1.hook_mlp_out"},),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAELENS)
def test_files_as_saelens_writes_them(kind: str, tmp_path) -> None:
    (config,) = SAELENS[kind]
    known = some()
    extra = {"threshold": torch.full((64,), 0.2)} if kind == "jumprelu" else {}
    save_file(as_tensors(known) | extra, tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps({"d_in": 32, "d_sae": 64, **config}))
    found = read_dictionary(tmp_path)
    x = draw(7, 32, seed=8)
    assert str(found.site) == "mlp_out.1"
    expected = {
        "standard": replace(known, k=0, scaling="layer_norm"),
        "jumprelu": replace(known, k=0, threshold=extra.get("threshold")),
    }
    assert torch.equal(found.features(x), expected.get(kind, known).features(x))


def test_what_cannot_be_read_is_named(tmp_path, tiny_llama: Model) -> None:
    with pytest.raises(ModelNotFound, match="holds no dictionary"):
        read_dictionary(tmp_path)
    with pytest.raises(ModelNotFound, match="neither a folder nor"):
        find_dictionary("no such place!", tiny_llama.spec)
    with pytest.raises(ModelNotFound, match="no dictionary is known"):
        find_dictionary("", tiny_llama.spec)
    save_file(as_tensors(some()), tmp_path / "sae_weights.safetensors")
    strange = {"architecture": "gated", "normalize_activations": "odd", "hook_name": "h"}
    (tmp_path / "cfg.json").write_text(json.dumps(strange))
    with pytest.raises(Unsupported, match=r"gated.*odd"):
        read_dictionary(tmp_path)
    (tmp_path / "cfg.json").write_text(json.dumps({"hook_name": "h"}))
    with pytest.raises(Unsupported, match="hook 'h'"):
        read_dictionary(tmp_path)
    (tmp_path / "cfg.json").write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        read_dictionary(tmp_path)
    narrow = some(d=16)
    save_file(as_tensors(narrow), tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps(config_of(narrow, "m")))
    with pytest.raises(ModelError, match="width 16"):
        find_dictionary(str(tmp_path), tiny_llama.spec)
    with pytest.raises(ModelError, match="k = 99"):
        some(k=99)
    with pytest.raises(BadOption, match="feature 64 of a dictionary of 64"):
        LoadedDictionary(found=some(), feature=64)


def measured(model: Model, found: Dictionary, rows) -> dict:
    probe = LoadedDictionary(found=found, feature=3)
    accumulator = PerUnitAccumulator(probe, Context.of(model))
    trace = model.run(pad(rows), read=probe.sites(model.spec))
    accumulator.add(trace, [Example(text="", number=i) for i in range(len(rows))])
    return {e.name: e for e in accumulator.result(Context.of(model)).estimates}


def test_a_dictionary_that_gives_the_state_back_loses_nothing(tiny_llama: Model) -> None:
    """d_model directions and their negatives, all kept: x̂ = x, so that the loss is recovered."""
    eye, zero = torch.eye(32), torch.zeros(32)
    both = torch.cat([eye, -eye])
    whole = Dictionary(
        site=SITE, encoder=both.T.contiguous(), decoder=both, bias=torch.zeros(64), centre=zero
    )
    rows = [[5, 6, 7, 8, 9, 10], [11, 12, 13], [20, 21, 22, 23]]
    found = measured(tiny_llama, whole, rows)
    assert found["loss_recovered"].value == pytest.approx(1.0, abs=1e-4)
    assert found["loss_added"].value == pytest.approx(0.0, abs=1e-5)
    assert found["unexplained"].value == pytest.approx(0.0, abs=1e-10)
    assert found["active"].value == pytest.approx(32, abs=0.1)
    nothing = replace(whole, decoder=torch.zeros_like(both))
    assert measured(tiny_llama, nothing, rows)["loss_recovered"].value == pytest.approx(
        0.0, abs=1e-6
    )


def test_planted_directions_are_found_and_random_ones_are_not(tmp_path) -> None:
    """States are sums of 3 of 24 directions: training explains them, random directions do not."""
    generator = torch.Generator().manual_seed(0)
    true = torch.nn.functional.normalize(torch.randn(24, 32, generator=generator), dim=1)
    where = torch.rand(4000, 24, generator=generator).argsort(dim=1)[:, :3]
    f = torch.zeros(4000, 24).scatter(1, where, 1 + torch.rand(4000, 3, generator=generator))
    x = f @ true + 2.0
    objective = DictionaryObjective(
        x[:3500], x[3500:], n_features=48, k=3, spare=4, generator=generator
    )
    before = objective.validate()
    plan = Plan(
        steps=300,
        rows_per_step=128,
        learning_rate=5e-3,
        warmup=20,
        validate_every=100,
        save_every=400,
        decay="linear",
    )
    train(objective, plan, folder=tmp_path, identity="x", context=Context())
    found = objective.dictionary(SITE)
    assert objective.validate() < min(0.15, before / 4)
    cosines = (true @ found.decoder.T).max(dim=1).values
    assert (cosines > 0.9).double().mean() > 0.9
    other = found.random(3, generator)
    guess = fitted(x, other.states(other.features(x), x), other.centre)
    assert (x - guess).square().sum() > 4 * (x - found.states(found.features(x), x)).square().sum()


def test_the_site_of_a_dictionary_is_resolved(tiny_llama: Model) -> None:
    probe = LoadedDictionary(found=some())
    assert probe.sites(tiny_llama.spec)[0] == Site.parse("resid_post.1")


def test_the_site_is_known_before_the_weights_are_read(tiny_llama: Model, tmp_path) -> None:
    known = replace(some(), site=SitePattern.parse("attn_out.2"))
    (tmp_path / "cfg.json").write_text(json.dumps(config_of(known, "m")))
    assert DictionaryFit(dictionary=str(tmp_path)).sites(tiny_llama.spec)[0].kind == "attn_out"


def test_a_finished_dictionary_reads_unscaled_states_as_the_objective_reads_scaled_ones() -> None:
    generator = torch.Generator().manual_seed(3)
    x = 5 * torch.randn(40, 6, generator=generator) + 2
    objective = DictionaryObjective(x, x, n_features=8, k=3, spare=0, generator=generator)
    for weight in (objective.bias, objective.centre, objective.decoder):
        weight.data += torch.randn(weight.shape, generator=generator)
    found = objective.dictionary(SITE)
    scaled = (x / objective.scale - objective.centre) @ objective.encoder + objective.bias
    expected = objective.scale * kept(scaled, 3)
    assert objective.scale > 4
    torch.testing.assert_close(found.features(x), expected.detach())
    left = (x - found.states(found.features(x), x)).square().sum(dim=1).mean()
    (loss,) = objective.losses(range(40), generator)
    assert float(loss.detach()) == pytest.approx(float(left) / objective.variance, rel=1e-5)
