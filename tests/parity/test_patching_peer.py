"""Effects of patches against those of TransformerLens's own patching on the same pairs."""

from functools import partial

import numpy as np
import pytest
import torch

from probes.patch.pairs import pair_of
from probes.patch.runs import patched, run_both
from probes.patch.sources import donated
from probes.patch.targets import Part, Target
from workbench.methods.contracts import Context, Example
from workbench.model.sites import Kind, every_layer
from workbench.model.tiny import tiny_model

WORDS = [("king", "cat"), ("queen", "dog"), ("man", "bird")]


def _pair(model, i, io, s):
    slots = {"io": io, "s1": s, "s2": s}
    fields = {"slots": slots, "corrupted": {"s2": io}, "answer": io, "wrong": s}
    example = Example(text="the {io} and {s1} ran and {s2} saw", number=i, fields=fields)
    return pair_of(model, example, longest=64)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_every_layer_and_position_agrees(family):
    from transformer_lens import patching

    model = tiny_model(family)
    pairs = [_pair(model, i, *words) for i, words in enumerate(WORDS)]
    sites = every_layer(Kind.RESID_PRE, model.spec)
    asked = {"metric": "logit-difference", "denoise": True, "noise": 3.0}
    group = run_both(model, pairs, sites, Context(), **asked)
    rows = [Target(0, (Part(site),), "place") for site in sites]
    mine = [patched(model, group, row, ("",), partial(donated, group))[""] for row in rows]

    bridge = tiny_model(family, backend="transformer-lens").backend.bridge
    clean = torch.tensor([p.clean for p in pairs])
    corrupted = torch.tensor([p.corrupted for p in pairs])
    rows = torch.arange(len(pairs))
    answer, wrong = (torch.tensor([getattr(p, n) for p in pairs]) for n in ("answer", "wrong"))

    def metric(logits):
        return logits[rows, -1, answer] - logits[rows, -1, wrong]

    with torch.no_grad():
        _, cache = bridge.run_with_cache(clean)
        found = patching.generic_activation_patch(
            bridge,
            corrupted,
            cache,
            metric,
            patching.layer_pos_patch_setter,
            "resid_pre",
            index_axis_names=["layer", "pos"],
            reduce="none",
        )
        base = metric(bridge(corrupted))
    theirs = (found.values - base).permute(0, 2, 1).double().numpy()
    assert np.stack(mine) == pytest.approx(theirs, abs=1e-4)
    assert np.abs(theirs).max() > 1e-2
