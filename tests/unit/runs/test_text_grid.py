"""One text on one grid: every probe's numbers equal its own run, at every token."""

import numpy as np
import pytest

from workbench.errors import TooLittleData, UnknownName
from workbench.model.model import Model
from workbench.model.sites import Kind, every_layer
from workbench.runs.text_grid import grid, grid_probes, not_offered

TEXT = "the cat sat . the red dog ran to paris"


def test_every_probe_with_a_grid_is_on_it(tiny_llama: Model) -> None:
    found = grid(TEXT, model=tiny_llama)
    named = {name.split(" ", 1)[0] for name in (*found.grid.strips, *found.grid.maps)}
    missing = {plugin.name for plugin in grid_probes()} - named
    assert {problem.split(":", 1)[0] for problem in found.problems} == missing
    assert missing == set(not_offered(tiny_llama)), "only what needs trained weights is missing"
    assert "tuned-lens" in missing
    assert "logit-lens" not in missing
    n = tiny_llama.tokenize(TEXT).ids.shape[1]
    assert len(found.grid.tokens) == n
    for name, values in found.grid.maps.items():
        assert values.shape == (len(found.grid.layers), n), name


def test_the_numbers_are_those_of_a_plain_pass(tiny_llama: Model) -> None:
    found = grid(TEXT, model=tiny_llama, probes=["token-trace"]).grid
    trace = tiny_llama.run(TEXT, read=every_layer(Kind.RESID_POST, tiny_llama.spec), logits="all")
    norms = trace.stack(Kind.RESID_POST)[:, 0].norm(dim=-1).numpy()
    assert found.map("token-trace norm") == pytest.approx(norms, rel=1e-5)
    ids, logp = trace.tokens.row(0), trace.logits[0].log_softmax(-1)
    surprisal = [-float(logp[i, ids[i + 1]]) for i in range(len(ids) - 1)]
    strip = found.token_strip("token-trace surprisal")
    assert np.isnan(strip[0])
    assert strip[1:].tolist() == pytest.approx(surprisal, rel=1e-4)


def test_it_draws_itself_and_says_what_it_lacks(tiny_llama: Model) -> None:
    found = grid(TEXT, model=tiny_llama, probes=["smoothness", "token-trace"], longest=4)
    assert found.n_cut == 1
    assert len(found.grid.tokens) == 4
    assert "plotly" in found._repr_html_()
    assert found.draw_map("smoothness cosine").layout.title.text
    with pytest.raises(UnknownName, match="smoothness cosine"):
        found.draw_map("nothing")


def test_names_and_texts_that_cannot_be_used_are_named(tiny_llama: Model) -> None:
    with pytest.raises(UnknownName, match="isotropy measures no single tokens"):
        grid(TEXT, model=tiny_llama, probes=["isotropy"])
    with pytest.raises(TooLittleData, match="no text holds"):
        grid("", model=tiny_llama)
