"""Edits of the last token's state: what the model makes of them, and what random labels give."""

import numpy as np
import pytest
import torch

from causal.concepts import layer_edits
from causal.concepts.explain import Asked, Known
from causal.concepts.layer_edits import LayerFit, answered
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import pad

TOKENS = [5, 9, 14, 7, 20]


@pytest.mark.parametrize("late", [True, False])
def test_7_states_set_after_a_layer_give_what_an_edited_pass_gives(tiny, late, monkeypatch) -> None:
    if not late:
        monkeypatch.setattr(layer_edits, "starts_late", lambda _: False)
    d, n = tiny.spec.d_model, tiny.spec.n_layers
    states = {layer: np.random.default_rng(layer).standard_normal((3, d)) for layer in range(n)}
    found = answered(tiny, TOKENS, states)
    for layer, x in states.items():
        site = Site(Kind.RESID_POST, layer, (-1,))
        for i, state in enumerate(x):
            edit = Edit(site=site, op=Op.SET, value=torch.from_numpy(state).float())
            whole = tiny.run(pad([TOKENS]), edits=[edit], logits="last").logits[0, -1]
            torch.testing.assert_close(found[layer][i], whole, atol=2e-5, rtol=1e-4)


def plant(n: int = 400, *, noise: bool = False, seed: int = 0):
    rng = np.random.default_rng(seed)
    c = rng.integers(0, 2, n)
    t = np.where(rng.random(n) < 0.7, c, rng.integers(0, 2, n))
    if noise:
        t = rng.integers(0, 2, n)
    h = rng.standard_normal((n, 12))
    h[:, 0] += 0 if noise else 3 * t
    h[:, 1] += 3 * c
    name = np.array(["low", "high"])
    known = Known(t=name[t], c=name[c][:, None], p=np.full((n, 2), 0.5))
    return h, known, np.random.default_rng(seed + 1)


def asked_of(known: Known) -> Asked:
    return Asked(source=known, to=np.where(known.t == "low", "high", "low"))


def test_4_swapped_states_are_read_as_the_wanted_value_and_keep_the_control() -> None:
    h, known, draw = plant()
    fit = LayerFit.of(h, known, draws=2, generator=draw)
    asked = asked_of(known)
    read = {name: fit.told(x, asked) for name, x in fit.edited(h, asked, draw).items()}
    share = {name: float(x["as_target"].mean()) for name, x in read.items()}
    assert float(fit.told(h, asked)["as_target"].mean()) < 0.15
    assert share["swap"] > 0.8
    assert share["interchange"] > 0.75
    assert 0.15 < share["erase"] < 0.6
    for name in ("swap", "interchange", "erase"):
        assert np.nanmean(read[name]["controls_kept"]) > 0.75, name


def test_interchange_with_a_text_of_the_same_component_changes_nothing() -> None:
    h, known, draw = plant()
    fit = LayerFit.of(h, known, draws=2, generator=draw)
    same = fit.eraser.component(h)
    np.testing.assert_allclose(h + same - fit.eraser.component(h), h)
    erased = fit.eraser.erase(fit.edited(h, asked_of(known), draw)["interchange"])
    np.testing.assert_allclose(erased, fit.eraser.erase(h), atol=1e-9)


def test_matching_after_erasing_finds_the_same_control() -> None:
    h, known, draw = plant()
    fit = LayerFit.of(h, known, draws=2, generator=draw)
    asked = asked_of(known)
    where = fit.neighbours(h, asked, draw, k=3)
    assert (known.t[where] == asked.to[:, None]).all()
    pairs = zip(asked.to, known.c, strict=True)
    blind = np.array([(known.c[known.t == to] == c).mean() for to, c in pairs])
    assert (known.c[where, 0] == known.c).mean() > blind.mean() + 0.15


def test_5_erasing_random_labels_stays_in_the_band_of_random_subspaces() -> None:
    h, known, draw = plant(n=1500, noise=True)
    fit = LayerFit.of(h, known, draws=40, generator=draw)
    assert fit.eraser.rank == 1
    edited = fit.edited(h, asked_of(known), draw)
    w = np.random.default_rng(5).standard_normal((12, 2))
    sizes = {name: float(np.linalg.norm((x - h) @ w, axis=1).mean()) for name, x in edited.items()}
    band = [size for name, size in sizes.items() if name.startswith("random")]
    assert min(band) <= sizes["erase"] <= max(band)


def test_an_unchanged_state_gives_the_answer_of_the_text(tiny_llama: Model) -> None:
    sites = [Site(Kind.RESID_POST, layer, (-1,)) for layer in range(tiny_llama.spec.n_layers)]
    trace = tiny_llama.run(pad([TOKENS]), read=sites, logits="last")
    states = {s.layer: trace[s][0].double().numpy() for s in sites}
    for logits in answered(tiny_llama, TOKENS, states).values():
        torch.testing.assert_close(logits[0], trace.logits[0, -1], atol=2e-5, rtol=1e-4)
