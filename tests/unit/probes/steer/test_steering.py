"""Directions that were planted, doses against edits made by hand, and the edit that a run keeps."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from probes.steer.direction import direction_of, given_vector
from probes.steer.report import COSTS, _slopes, degenerates_at
from probes.steering import Steering, _Texts, repeated_share
from workbench.errors import BadEdit, BadOption, TooLittleData
from workbench.methods.contracts import Context, Stopped
from workbench.model.edits import Edit, Op
from workbench.model.sites import Site
from workbench.model.tiny import tiny_model
from workbench.result.metric import Axis
from workbench.result.row_samples import samples_of
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store
from workbench.runs.stored_edits import stored_edits
from workbench.runs.typed_edits import parse_edits


def _cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.parametrize(("method", "least"), [("mean", 0.95), ("pca", 0.9), ("probe", 0.95)])
def test_the_planted_direction_is_found(method, least):
    draw = np.random.default_rng(0)
    signs, pairs = np.tile([1, -1], 100), np.repeat(np.arange(100), 2)
    way = np.zeros(32)
    way[3] = 1.0
    h = draw.standard_normal((200, 32)) * 0.3 + signs[:, None] * way
    found = direction_of(method, h.astype(np.float32), signs, pairs).double().numpy()
    assert _cosine(found, way) > least
    gap = h[signs > 0].mean(axis=0) - h[signs < 0].mean(axis=0)
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(gap), rel=1e-5)
    turned = direction_of(method, h.astype(np.float32), -signs, pairs).double().numpy()
    assert _cosine(turned, -way) > least


def test_a_discriminant_leaves_out_what_varies_within_both_sides():
    draw = np.random.default_rng(1)
    signs = np.tile([1, -1], 500)
    h = draw.standard_normal((1000, 4)) * np.array([10.0, 0.1, 0.1, 0.1])
    h[:, 1] += 0.5 * signs
    h[:, 0] += 2.0 * signs
    groups = np.arange(1000)
    mean, probe = (direction_of(m, h, signs, groups).numpy() for m in ("mean", "probe"))
    assert abs(mean[0]) > abs(mean[1])
    assert abs(probe[1] / probe[0]) > 4 * abs(mean[1] / mean[0])
    assert abs(probe[1]) > abs(probe[0])


def test_sides_that_do_not_differ_are_refused():
    signs = np.array([1, -1])
    with pytest.raises(TooLittleData, match="same mean"):
        direction_of("mean", np.ones((2, 4), np.float32), signs, np.arange(2))
    with pytest.raises(TooLittleData, match="both sides"):
        direction_of("pca", np.eye(2, dtype=np.float32), signs, np.arange(2))


def test_a_given_vector_is_checked(tmp_path):
    path = tmp_path / "way.safetensors"
    save_file({"a": torch.ones(4), "none": torch.zeros(4)}, str(path))
    assert torch.equal(given_vector(f"{path}[a]", 4), torch.ones(4))
    for text in (f"{path}[a]x", f"{path}[none]"):
        with pytest.raises(BadOption, match="expected"):
            given_vector(text, 4)
    with pytest.raises(BadOption, match="expected 5 numbers"):
        given_vector(f"{path}[a]", 5)


def test_repetition_counts_trigrams_that_were_there_before():
    assert repeated_share([1, 2, 3, 4]) == 0
    assert repeated_share([1] * 6) == pytest.approx(3 / 4)
    assert np.isnan(repeated_share([1, 2]))


def test_the_dose_that_degenerates_is_the_smallest_above_none():
    rows = [
        {"text": i, "dose": d, "repeated": x + 0.01 * (i % 3)}
        for i in range(12)
        for d, x in ((-2.0, 0.8), (0.0, 0.1), (1.0, 0.11), (4.0, 0.9))
    ]
    doses = (-2.0, 0.0, 1.0, 4.0)
    costs = samples_of(rows, COSTS, axes_of={"dose": Axis(help="", labels=doses)})
    assert degenerates_at(costs, doses) == -2.0


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steering")
    rows = [
        {"text": f"the {a} saw a {b}", "label": side, "pair": f"{i}"}
        for i, b in enumerate(("red dog", "big bird", "small man", "blue king"))
        for a, side in (("cat", "pet"), ("queen", "human"))
    ]
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    spec = RunSpec(
        name="steering",
        options={"doses": "-1,1", "new_tokens": 4, "prompts": 2, "randoms": 1, "layer": 2},
        model=ModelRef(name="tiny:llama", device="cpu"),
        data=DataRef(path=str(path), label="label", group="pair"),
        resamples=10,
    )
    return execute(spec, store=Store(folder / "store"), model=tiny_model("llama"))


def test_shifts_are_those_of_edits_made_by_hand(found, tiny_llama):
    """At dose 0 nothing moves; at dose 1 the mean shift is what the kept edit gives."""
    doses = found.result.table("doses").frame.set_index("dose")
    assert doses.loc[0.0, ["shift", "kl", "shift_random", "kl_random"]].tolist() == [0] * 4
    (edit,) = stored_edits(found, tiny_llama.spec)
    assert str(edit.site) == "resid_post.2"
    estimate = next(e for e in found.result.estimates if e.name == "shift_at_1")
    assert estimate.n == 4
    fitted = json.loads(json.dumps(estimate.value))
    shifts = []
    for b in ("red dog", "big bird", "small man", "blue king"):
        moved = [
            _nll(tiny_llama, f"the {a} saw a {b}", ())
            - _nll(tiny_llama, f"the {a} saw a {b}", (edit,))
            for a in ("cat", "queen")
        ]
        shifts.append((moved[0] - moved[1]) / 2)
    means = [(x + y) / 2 for i, x in enumerate(shifts) for y in shifts[i + 1 :]]
    assert min(abs(mean - fitted) for mean in means) < 1e-5, "two of the four pairs were held out"


def test_stopped_it_reports_the_smallest_doses_as_they_would_have_been(
    found, tiny_llama, store_path
):
    def stop(done: int, total: int, label: str) -> None:
        if (done, label) == (2, "doses"):
            raise KeyboardInterrupt

    spec = replace(found.spec, options={**found.spec.options, "doses": "-1,-4"})
    whole = execute(spec, model=tiny_llama)
    with pytest.raises(Stopped):
        execute(spec, store=Store(store_path), progress=stop, model=tiny_llama)
    part = Store(store_path).get("steering")
    assert part.status == "interrupted"
    kept = part.result.table("doses").frame
    assert kept["dose"].tolist() == [-1.0, 0.0]
    full = whole.result.table("doses").frame.query("dose >= -1")
    assert kept["shift"].tolist() == pytest.approx(full["shift"].tolist())


def test_the_cost_is_kl_from_the_unsteered_model_per_token(tiny_llama):
    text, site = "the king saw a dog", Site.parse("resid_post.1")
    way = torch.linspace(-1, 1, tiny_llama.spec.d_model)
    edit = Edit(site=site, op=Op.ADD, value=way)
    p, q = (
        tiny_llama.run(text, edits=e, logits="all").logits[0].double().log_softmax(dim=-1)
        for e in ((), (edit,))
    )
    expected = float((p.exp() * (p - q)).sum(dim=-1).mean())
    context = Context.of(tiny_llama)
    assert _Texts(tiny_llama, [text]).kl(context, (edit,))[0] == pytest.approx(expected, rel=1e-4)
    assert _Texts(tiny_llama, [text]).kl(context, ())[0] == 0


def test_random_directions_are_as_long_and_differ():
    direction = torch.full((64,), 0.5)
    found = torch.stack(list(Steering(randoms=3)._randoms(direction, Context(seed=1))))
    assert found.norm(dim=1) == pytest.approx(direction.norm().expand(3).numpy(), rel=1e-5)
    assert torch.corrcoef(found).fill_diagonal_(0).abs().max() < 0.5


def test_the_slope_is_that_of_small_doses_through_nothing():
    shift = {-4.0: 9.0, -1.0: -2.0, -0.5: -1.0, 0.0: 0.0, 0.5: 1.0, 1.0: 2.0}
    rows = [
        {"text": 0, "pair": "a", "dose": d, "shift": x, "shift_random": 0.5 * d}
        for d, x in shift.items()
    ]
    (row,) = _slopes(rows)
    assert (row["slope"], row["slope_random"]) == (pytest.approx(2.0), pytest.approx(0.5))
    (far,) = _slopes(rows[:1])
    assert far["slope"] == pytest.approx(-9 / 4)


def _nll(model, text, edits):
    tokens = model.tokenize(text)
    logp = model.run(tokens, edits=edits, logits="all").logits[0].log_softmax(dim=-1)
    return -float(logp[:-1].gather(1, tokens.ids[0, 1:, None]).mean())


def test_a_run_lends_its_edit_by_its_id(found, tiny_llama, store_path):
    Store().put(found)
    (twice,) = parse_edits(f"run:{found.run_id}:2", tiny_llama.spec)
    direction = torch.from_numpy(found.result.arrays["direction"])
    by_hand = Edit(site=Site.parse("resid_post.2"), op=Op.ADD, value=2 * direction)
    one, other = (
        tiny_llama.generate("the king", limit=5, edits=[edit]).generated
        for edit in (twice, by_hand)
    )
    assert one == other
    with pytest.raises(BadEdit, match="not on tiny:gpt2"):
        parse_edits(f"run:{found.run_id}", tiny_model("gpt2").spec)
    with pytest.raises(BadEdit, match="expected a number"):
        parse_edits(f"run:{found.run_id}:x", tiny_llama.spec)
    bare = replace(found, result=replace(found.result, tables={}))
    with pytest.raises(BadEdit, match="keeps no edits"):
        stored_edits(bare, tiny_llama.spec)
