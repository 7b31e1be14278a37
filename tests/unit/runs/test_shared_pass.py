"""One pass for many probes: the numbers of each alone, and no more passes than it says."""

import torch

from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit import PerUnit
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.sites import Kind, Site, every_layer
from workbench.options import build
from workbench.runs.shared_pass import SharedPass
from workbench.runs.spec import ModelRef
from workbench.runs.text_grid import QUICK, every_token, grid_probes, not_offered, text_runs

TEXT = "the cat sat . the red dog ran to paris"


class Counting(SharedPass):
    """Counts what really reaches the model."""

    passes = 0

    def forward(self, *args, **kwargs):
        self.passes += 1
        return super().forward(*args, **kwargs)


def test_a_text_is_run_once_and_changes_are_passed_on(tiny_llama: Model) -> None:
    shared = Counting(tiny_llama, every_layer(Kind.RESID_POST, tiny_llama.spec))
    tokens = tiny_llama.tokenize(TEXT)
    sites = every_layer(Kind.RESID_POST, tiny_llama.spec)
    plain = tiny_llama.run(tokens, read=sites)
    for _ in range(2):
        found = shared.run(tokens, read=sites[:1])
        assert list(found.activations) == list(sites[:1])
        assert torch.equal(found[sites[0]], plain[sites[0]])
    assert torch.equal(shared.run(tokens, read=sites[1:])[sites[1]], plain[sites[1]])
    assert shared.passes == 1
    other = tiny_llama.tokenize("another text of words")
    assert torch.equal(
        shared.run(other, read=sites)[sites[1]], tiny_llama.run(other, read=sites)[sites[1]]
    )
    edit = Edit(site=Site(Kind.MLP_OUT, 0), op=Op.SCALE, value=0.0)
    edited = shared.run(tokens, read=sites, edits=[edit])[sites[1]]
    assert not torch.allclose(edited, plain[sites[1]])
    assert torch.equal(shared.run(tokens, read=sites)[sites[1]], plain[sites[1]])
    assert shared.passes == 3


def test_logits_are_those_of_the_head_and_may_be_written_to(tiny_llama: Model) -> None:
    shared = SharedPass(tiny_llama)
    site = Site(Kind.RESID_POST, 1)
    h = shared.run(tiny_llama.tokenize(TEXT), read=[site])[site][0]
    first = shared.unembed(h)
    assert torch.equal(first, tiny_llama.unembed(h))
    first.zero_()
    mixed = torch.cat([h[2:4], torch.ones_like(h[:1])])
    torch.testing.assert_close(shared.unembed(mixed), tiny_llama.unembed(mixed))
    normed = shared.unembed(h, normed=True)
    torch.testing.assert_close(normed, tiny_llama.unembed(h, normed=True))
    assert not torch.allclose(normed, tiny_llama.unembed(h))


def test_no_probe_makes_more_passes_than_its_price(tiny_llama: Model) -> None:
    missing, counted = not_offered(tiny_llama), {}
    for plugin in grid_probes():
        if plugin.name in missing:
            continue
        model = Counting(tiny_llama)
        probe: PerUnit = build(plugin.recipe, every_token(plugin)).loaded(Context.of(tiny_llama))
        trace = tiny_llama.run(TEXT, read=probe.sites(tiny_llama.spec))
        probe.measure(trace, [Example(text=TEXT)], Context.of(model))
        counted[plugin.name] = (model.passes, probe.price(tiny_llama.spec))
    assert {name: pair for name, pair in counted.items() if pair[0] > pair[1]} == {}
    assert counted["rotary-bands"] == (8, 8)


def test_what_is_dear_waits_and_may_be_quick_in_part(tiny_llama: Model) -> None:
    runs = text_runs(TEXT, ModelRef(name="tiny:llama"), tiny_llama)
    assert "rotary-bands" in runs.dear
    assert "rotary-bands" not in runs.quick
    assert runs.prices["rotary-bands"] > QUICK
    assert runs.quick["ffn-saturation"].options == {"alone": False}
    assert runs.dear["ffn-saturation"].options == {}
    assert {"logit-lens", "token-trace", "smoothness", "early-exit"} <= set(runs.quick)
