"""Adapters: the base stays as it is, off is off, and what is kept comes back."""

import pytest
import torch

from workbench.errors import BadOption, ModelError, Unsupported
from workbench.model.generation import GenerationOptions
from workbench.model.policy import Sampling
from workbench.model.tiny import tiny_model
from workbench.model.tokens import pad
from workbench.sampling.branch import Branch
from workbench.sampling.rollout import RolloutOptions, RolloutQueue, Trajectory
from workbench.training.adapter import Adapter, LoraShape, target_modules
from workbench.training.checkpoint import Checkpoint, Manifest

TOKENS = pad([[3, 9, 27, 40, 5], [8, 2, 60]])
PARTS = ("attention", "mlp", "both")


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _logits(model):
    return model.run(TOKENS, logits="all").logits


def _disturbed(model, shape, seed=1):
    adapter = Adapter(model, shape, generator=_generator())
    noise = _generator(seed)
    with torch.no_grad():
        for parameter in adapter.parameters().values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=noise))
    return adapter


@pytest.mark.parametrize("part", PARTS)
def test_a_fresh_adapter_changes_nothing(tiny, part):
    adapter = Adapter(tiny, LoraShape(rank=2, part=part), generator=_generator())
    assert torch.equal(_logits(adapter.model), _logits(tiny))


@pytest.mark.parametrize("part", PARTS)
def test_the_base_is_untouched_and_off_is_the_base_bit_for_bit(tiny, part):
    before = {n: p.clone() for n, p in tiny.backend.module.named_parameters()}
    base = _logits(tiny)
    adapter = _disturbed(tiny, LoraShape(rank=2, part=part))
    changed = _logits(adapter.model)
    assert (changed - base).abs().max() > 1e-3
    with adapter.off() as same:
        assert torch.equal(_logits(same), base)
        assert torch.equal(same.run(TOKENS, read=["mlp_out.1"])["mlp_out.1"],
                           tiny.run(TOKENS, read=["mlp_out.1"])["mlp_out.1"])  # fmt: skip
    assert torch.equal(_logits(adapter.model), changed)
    assert torch.equal(_logits(tiny), base)
    after = dict(tiny.backend.module.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n], p) and p.grad is None for n, p in after.items())


def test_only_the_adapter_has_a_gradient(tiny):
    adapter = _disturbed(tiny, LoraShape(rank=2, part="both"))
    adapter.module(TOKENS.ids).logits.square().mean().backward()
    mine = adapter.parameters()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in mine.values())
    others = [p for p in adapter.module.parameters() if p.requires_grad]
    assert len(others) == len(mine)
    with adapter.off():
        pass
    assert sum(p.requires_grad for p in adapter.module.parameters()) == len(mine)


def test_parts_are_disjoint_and_cover_every_projection(tiny):
    module, paths = tiny.backend.module, tiny.backend.paths
    attention, mlp, both = (set(target_modules(module, paths, part)) for part in PARTS)
    assert attention & mlp == set()
    assert attention | mlp == both
    assert all("attn" in name or "attention" in name for name in attention)
    assert not any("attn" in name or "attention" in name for name in mlp)


def test_the_update_is_the_formula(tiny_llama):
    shape = LoraShape(rank=3, alpha=6.0)
    adapter = _disturbed(tiny_llama, shape)
    path = "model.layers.1.mlp.up_proj"
    a, b = (adapter.parameters()[f"{path}.lora_{side}"] for side in "AB")
    x = torch.randn(4, 32, generator=_generator(5))
    plain = tiny_llama.backend.module.get_submodule(path)(x)
    adapted = adapter.module.get_submodule(path)(x)
    torch.testing.assert_close(adapted, plain + 2.0 * x @ a.T @ b.T)


def test_a_checkpoint_brings_it_back(tiny, tmp_path):
    shape = LoraShape(rank=2, alpha=4.0, dropout=0.1, part="both")
    one, other = _disturbed(tiny, shape), _disturbed(tiny, shape, seed=2)
    manifest = Manifest(
        recipe="some",
        options={"adapter": shape.as_dict()},
        base_model=tiny.spec.name,
        base_hash=tiny.spec.weights_hash,
        seed=0,
        data_hash="",
    )
    tensors = one.tensors("one/") | other.tensors("other/")
    Checkpoint(manifest=manifest, tensors=tensors).save(tmp_path)
    found = Checkpoint.load(tmp_path)
    for prefix, wanted in (("one/", one), ("other/", other)):
        again = Adapter.restore(tiny, found, prefix=prefix)
        assert again.shape == shape
        assert torch.equal(_logits(again.model), _logits(wanted.model))
        assert again.model.spec.weights_hash != tiny.spec.weights_hash
    with pytest.raises(ModelError, match="do not fit"):
        Adapter.restore(tiny, found, prefix="third/")


def test_what_does_not_fit_is_refused(tiny_llama):
    adapter = Adapter(tiny_llama, LoraShape(rank=2), generator=_generator())
    wide = Adapter(tiny_llama, LoraShape(rank=3), generator=_generator())
    with pytest.raises(ModelError, match="do not fit"):
        adapter.load(wide.tensors())
    with pytest.raises(BadOption, match="rank"):
        LoraShape(rank=0)
    with pytest.raises(Unsupported, match="hooks"):
        Adapter(tiny_model("llama", backend="nnsight"), LoraShape(), generator=_generator())
    manifest = Manifest(
        recipe="x", options={}, base_model="", base_hash="", seed=0, data_hash=""
    )  # fmt: skip
    with pytest.raises(ModelError, match="describes no adapter"):
        Adapter.restore(tiny_llama, Checkpoint(manifest=manifest, tensors={}))


def test_the_start_depends_on_the_generator_alone(tiny_llama):
    state = torch.random.get_rng_state()
    one, same, other = (
        Adapter(tiny_llama, LoraShape(rank=2), generator=_generator(seed)).tensors()
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one[n], same[n]) for n in one)
    assert any(not torch.equal(one[n], other[n]) for n in one)


def test_dropout_is_seeded_and_off_unless_training(tiny_llama):
    adapter = _disturbed(tiny_llama, LoraShape(rank=2, dropout=0.5))
    plain = _logits(adapter.model)
    draws = []
    for seed in (0, 0, 1):
        with adapter.training(_generator(seed)):
            draws.append(_logits(adapter.model))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], plain)
    assert torch.equal(_logits(adapter.model), plain)


def test_half_precision_models_train_in_full(tiny_llama):
    model = tiny_model("llama")
    module = model.backend.module
    module.to(torch.bfloat16)
    adapter = _disturbed(model, LoraShape(rank=2))
    assert {p.dtype for p in adapter.parameters().values()} == {torch.float32}
    assert adapter.module(TOKENS.ids).logits.dtype == torch.bfloat16


def test_adapted_models_generate_and_roll_out():
    model = tiny_model("llama")
    adapter = _disturbed(model, LoraShape(rank=2))
    endless = GenerationOptions(stop_ids=())
    wanted = adapter.model.generate(pad([[3, 9, 27]]), limit=6, options=endless).generated[0]
    options = RolloutOptions(policy=Sampling(temperature=0.0), limit=6, rows=2)
    queue = RolloutQueue(Trajectory(adapter.model, [3, 9, 27], [], options), stop_ids=[])
    queue.add([Branch(position=0, draw=0)])
    assert [list(r.tokens) for r in queue] == [list(wanted)]
    plain = model.generate(pad([[3, 9, 27]]), limit=6, options=endless).generated[0]
    assert list(plain) != list(wanted)
