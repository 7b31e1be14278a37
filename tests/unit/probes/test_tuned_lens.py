"""The tuned lens: identity is the logit lens, training helps, resuming repeats."""

import numpy as np
import pytest
import torch

from probes.lens.start import Moments, first_guess
from probes.lens.translator import Translators
from probes.logit_lens import LogitLens
from probes.train_tuned_lens import RECIPE, TrainTunedLens
from probes.tuned_lens import LoadedLens, TunedLens, find_translators
from workbench.errors import ModelError, ModelNotFound, StoreError, TooLittleData
from workbench.methods.contracts import Context, Example, Recipe
from workbench.methods.per_unit_state import PerUnitAccumulator
from workbench.model.tiny import tiny_model
from workbench.model.tokens import pad
from workbench.training.checkpoint import Checkpoint

TINY = TrainTunedLens(preset="tiny", rank=8, steps=60, learning_rate=3e-3, save_every=10)


def _context(model, **more):
    return Context(
        spec=model.spec, unembed=model.unembed, decode=model.decode, resamples=50, **more
    )


def _examples(model, n=40, length=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 60, (n, length), generator=generator).tolist()
    return [Example(text=model.decode(row), source=f"made:{i}") for i, row in enumerate(ids)]


def _add_to(model, *accumulators):
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(4, 60, (4, 15), generator=generator).tolist()
    trace = model.run(pad(ids), read=TunedLens().sites(model.spec))
    for accumulator in accumulators:
        accumulator.add(trace, [Example(text="x", number=i) for i in range(4)])


@pytest.mark.parametrize("rank", [0, 3])
def test_identity_maps_are_the_logit_lens_bit_for_bit(tiny, rank):
    context = _context(tiny)
    maps = Translators.identity(tiny.spec, rank=rank)
    tuned = PerUnitAccumulator(LoadedLens(every=1, compare=False, maps=maps), context)
    plain = PerUnitAccumulator(LogitLens(every=1), context)
    _add_to(tiny, tuned, plain)
    expected = plain.state()
    assert expected.keys() == tuned.state().keys()
    for name, array in expected.items():
        assert np.array_equal(array, tuned.state()[name], equal_nan=True), name


def test_the_comparison_is_the_logit_lens(tiny_llama):
    context = _context(tiny_llama)
    maps = Translators.identity(tiny_llama.spec, rank=2)
    maps.bias.add_(torch.randn(maps.bias.shape, generator=torch.Generator().manual_seed(0)))
    both = PerUnitAccumulator(LoadedLens(every=1, maps=maps), context)
    plain = PerUnitAccumulator(LogitLens(every=1), context)
    _add_to(tiny_llama, both, plain)
    table = both.result(context).tables["layers"].frame
    expected = plain.result(context).tables["layers"].frame
    assert table["kl_plain"].to_numpy() == pytest.approx(expected["kl"].to_numpy(), rel=1e-5)
    assert (table["kl"].iloc[:-1] != expected["kl"].iloc[:-1]).all()
    assert table["kl"].iloc[-1] == 0
    kl = both.result(context).estimate("mean kl")
    assert (kl.control_name, kl.n) == ("logit lens", 4)
    assert kl.control == pytest.approx(plain.result(context).estimate("mean kl").value, rel=1e-5)


def test_training_beats_the_logit_lens_on_held_out_texts(tiny_llama, tmp_path):
    result = TINY.train(
        tiny_llama, _examples(tiny_llama, n=120), context=Context(scratch=tmp_path, resume=False)
    )
    kl = result.estimate("mean kl")
    assert kl.high < kl.control
    curve = result.tables["validation"]["loss"]
    assert curve.min() < curve.iloc[0]
    assert len(result.tables["steps"]) == 60
    found = Checkpoint.load(tmp_path)
    assert found.manifest.recipe == RECIPE
    assert found.manifest.scores["mean kl"]["tuned"] == kl.value
    assert found.tensors["down"].dtype == torch.float16
    loaded = find_translators(str(tmp_path), tiny_llama.spec)
    assert loaded.down.shape == (2, 32, 8)
    assert isinstance(TINY, Recipe)


def test_a_stopped_training_resumes_to_the_same_curve(tiny_llama, tmp_path):
    examples = _examples(tiny_llama)
    whole = TINY.train(tiny_llama, examples, context=Context(scratch=tmp_path / "a", resume=False))

    def stop(done, total, label):
        if label == "steps" and done == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TINY.train(tiny_llama, examples, context=Context(scratch=tmp_path / "b", progress=stop))
    again = TINY.train(tiny_llama, examples, context=Context(scratch=tmp_path / "b"))
    for name in ("steps", "validation", "layers"):
        assert again.tables[name].equals(whole.tables[name]), name
    hashes = {Checkpoint.load(tmp_path / f).manifest.weights_hash for f in "ab"}
    assert len(hashes) == 1
    with pytest.raises(StoreError, match="another training run"):
        TINY.train(tiny_llama, examples, context=Context(scratch=tmp_path / "b", seed=1))


@pytest.mark.parametrize("rank", [0, 4])
def test_training_from_the_identity(tiny_llama, tmp_path, rank):
    recipe = TrainTunedLens(
        preset="tiny", rank=rank, steps=40, start_tokens=0, learning_rate=1e-2, half=False
    )
    result = recipe.train(
        tiny_llama, _examples(tiny_llama), context=Context(scratch=tmp_path, resume=False)
    )
    curve = result.tables["validation"].rows()
    assert curve[0]["step"] == 0
    assert min(row["loss"] for row in curve) < 0.9 * curve[0]["loss"]


def test_the_model_stays_frozen(tmp_path):
    model = tiny_model("gpt2", seed=4)
    module = model.backend.module
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    TrainTunedLens(preset="tiny", steps=3).train(
        model, _examples(model, n=8), context=Context(scratch=tmp_path, resume=False)
    )
    for name, parameter in module.named_parameters():
        assert parameter.grad is None, name
        assert torch.equal(parameter, before[name]), name


def test_the_first_guess_recovers_a_planted_map():
    generator = torch.Generator().manual_seed(0)
    width, n = 12, 4000
    h = torch.randn(n, width, generator=generator)
    left = torch.randn(width, 2, generator=generator)
    right = torch.randn(2, width, generator=generator)
    final = h + h @ left @ right + 0.5
    moments = Moments.empty(torch.tensor([width**0.5]), width)
    moments.add([h], final)
    maps = Translators(torch.zeros(1, width, 2), torch.zeros(1, 2, width), torch.zeros(1, width))

    def loss(layer, maps):
        moved = maps(layer, h)
        return float(1 - torch.nn.functional.cosine_similarity(moved, final).mean())

    before = loss(0, maps)
    found = first_guess(moments, maps, loss=loss)
    assert loss(0, found) < 0.25 * before


def test_a_guess_that_does_harm_is_not_taken():
    moments = Moments.empty(torch.tensor([1.0]), 4)
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    moments.add([x], x)
    maps = Translators(torch.zeros(1, 4, 1), torch.zeros(1, 1, 4), torch.zeros(1, 4))
    found = first_guess(moments, maps, loss=lambda _, m: float(m.down.abs().sum()))
    assert not found.down.any()


def test_no_lens_for_the_model_says_what_to_do(tiny_llama):
    with pytest.raises(ModelNotFound, match="no tuned lens is known for"):
        PerUnitAccumulator(TunedLens(), _context(tiny_llama))


def test_a_lens_of_another_model_is_refused(tiny_llama, tmp_path):
    TrainTunedLens(preset="tiny", steps=2).train(
        tiny_llama, _examples(tiny_llama, n=6), context=Context(scratch=tmp_path, resume=False)
    )
    with pytest.raises(ModelError, match="belongs to"):
        find_translators(str(tmp_path), tiny_model("llama", seed=9).spec)


def test_maps_of_the_wrong_shape_are_refused(tiny_llama):
    spec = tiny_llama.spec
    good = Translators.identity(spec, rank=3).tensors()
    assert Translators.of(good, spec).down.shape == (2, 32, 3)
    for broken in (
        {**good, "bias": torch.zeros(5, 32)},
        {"down": good["down"], "bias": good["bias"]},
        {"down": good["down"]},
    ):
        with pytest.raises(ModelError):
            Translators.of(broken, spec)


def test_too_few_texts(tiny_llama, tmp_path):
    for texts in (["one"], ["one", "two"]):
        with pytest.raises(TooLittleData):
            TINY.train(
                tiny_llama,
                [Example(text=t) for t in texts],
                context=Context(scratch=tmp_path, resume=False),
            )
