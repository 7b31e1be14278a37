"""Paths against passes with everything between held by hand; groups against edits at once."""

import json
from functools import partial

import pytest
import torch

from probes.patch.pairs import pair_of
from probes.patch.runs import attributed, patched, run_both
from probes.patch.sources import Paths, donated
from probes.patch.targets import (
    STAGES,
    Part,
    Target,
    parts_of,
    receivers,
    sender_of,
    targets_of,
)
from workbench.errors import BadOption
from workbench.methods.contracts import Context, Example
from workbench.model.edits import Edit, Op
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.tiny import tiny_model
from workbench.model.tokens import pad
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec

TEMPLATE = "the {io} and {s1} ran and {s2} saw"
WORDS = [("king", "cat"), ("queen", "dog"), ("man", "bird")]
FAMILIES = ("llama", "gpt2", "gpt_neox")
HELD = (Kind.Z, Kind.MLP_OUT)


def _row(number):
    io, s = WORDS[number]
    fields = {"slots": {"io": io, "s1": s, "s2": s}, "corrupted": {"s2": io}}
    return Example(text=TEMPLATE, number=number, fields={**fields, "answer": io, "wrong": s})


def _group(model, *, denoise=True):
    kinds = [kind for kind in STAGES if model.backend.supports(kind, edit=True)]
    sites = [site for kind in kinds for site in every_layer(kind, model.spec)]
    pairs = [pair_of(model, _row(i), longest=64) for i in range(len(WORDS))]
    options = {"metric": "logit-difference", "denoise": denoise, "noise": 3.0}
    return run_both(model, pairs, sites, Context(seed=1), **options)


def _texts(group, *, denoise):
    both = (pad([p.corrupted for p in group.pairs]), pad([p.clean for p in group.pairs]))
    return both if denoise else both[::-1]


def _moved(model, group, tokens, edits):
    base, changed = (model.run(tokens, edits=e, logits="last").logits[:, -1] for e in ((), edits))
    rows = range(len(group.pairs))
    return (group.judge(changed, rows) - group.judge(base, rows)).double().numpy()


def _held_by_hand(model, group, sender, receiver, *, denoise):
    """Return what the receiver holds when all heads and blocks between it and the sender are set.

    Two literal passes: everything above the sender is set to what the receiver's text has there.
    """
    own, other = _texts(group, denoise=denoise)
    held = [s for kind in HELD for s in every_layer(kind, model.spec) if s != receiver.whole()]
    if receiver.kind is Kind.ATTN_OUT:
        held.remove(Site(Kind.Z, receiver.layer))
    of_own = model.run(own, read=held).activations
    given = model.run(other, read=[sender.site]).activations[sender.site]
    edits = [Edit(site=s, op=Op.SET, value=of_own[s]) for s in held if s != sender.site]
    if sender.site in held and sender.heads:
        rest = tuple(h for h in range(model.spec.n_heads) if h not in sender.heads)
        edits.append(Edit(site=sender.site, op=Op.SET, value=of_own[sender.site], heads=rest))
    edits.append(Edit(site=sender.site, op=Op.SET, value=given, heads=sender.heads))
    return own, model.run(own, read=[receiver], edits=edits).activations[receiver]


@pytest.mark.parametrize(
    ("family", "sender", "receiver", "heads", "denoise"),
    [
        ("llama", "z.0@1", "z.2", (3,), True),
        ("llama", "z.0@1", "q.1", (2,), False),
        ("llama", "z.0@2,3", "v.2", (1,), True),
        ("llama", "z.1@0", "mlp_out.1", None, True),
        ("llama", "mlp_out.0", "z.1", (0,), True),
        ("gpt2", "z.0@1", "k.2", (0,), True),
        ("gpt2", "attn_out.0", "mlp_out.2", None, False),
        ("gpt_neox", "z.0@1", "z.2", (1,), True),
        ("gpt_neox", "mlp_out.0", "mlp_out.1", None, True),
    ],
)
def test_a_path_is_what_holding_everything_between_gives(family, sender, receiver, heads, denoise):
    model = tiny_model(family)
    group, part = _group(model, denoise=denoise), sender_of(sender, model.spec)
    site = Site.parse(receiver)
    own, held = _held_by_hand(model, group, part, site, denoise=denoise)
    expected = _moved(model, group, own, [Edit(site=site, op=Op.SET, value=held, heads=heads)])
    target = Target("", (Part(site, heads),), "whole")
    found = patched(model, group, target, ("", "same"), Paths(model, group, part))
    assert found[""][:, 0] == pytest.approx(expected, abs=2e-5)
    assert abs(expected).max() > 1e-5
    assert not found["same"].any(), "to the last bit"


@pytest.mark.parametrize("family", FAMILIES)
def test_of_the_last_block_the_path_to_the_logits_is_all_there_is(family):
    model = tiny_model(family)
    group = _group(model)
    last = model.spec.n_layers - 1
    sender = Part(Site(Kind.MLP_OUT, last))
    end = Target("", (Part(Site(Kind.RESID_POST, last)),), "whole")
    path = patched(model, group, end, ("",), Paths(model, group, sender))[""]
    whole = patched(model, group, Target("", (sender,), "whole"), ("",), partial(donated, group))
    assert path == pytest.approx(whole[""], abs=2e-5)
    assert abs(path).max() > 1e-3


def test_a_group_is_its_edits_at_once_and_first_order_sums_over_its_parts(tiny_llama):
    group = _group(tiny_llama)
    text = "z.1@0,2+mlp_out.2+z.2@1"
    parts = parts_of(text, tiny_llama.spec)
    own, other = _texts(group, denoise=True)
    given = tiny_llama.run(other, read=[p.site for p in parts]).activations
    edits = [Edit(site=p.site, op=Op.SET, value=given[p.site], heads=p.heads) for p in parts]
    source = partial(donated, group)
    target = Target(text, parts, "whole")
    found = patched(tiny_llama, group, target, ("", "same"), source)
    assert found[""][:, 0] == pytest.approx(_moved(tiny_llama, group, own, edits), abs=2e-5)
    assert not found["same"].any()
    single = [Target(i, (part,), "whole") for i, part in enumerate(parts)]
    whole, *each = attributed(tiny_llama, group, [target, *single], source)
    assert whole == pytest.approx(sum(each), abs=1e-6)
    heads = attributed(tiny_llama, group, [Target(1, (Part(parts[0].site),), "head")], source)[0]
    assert each[0][:, 0] == pytest.approx(heads[:, [0, 2]].sum(axis=1), abs=1e-6)


def test_a_window_patches_the_layers_around_each(tiny_llama):
    group = _group(tiny_llama)
    targets = targets_of("mlp_out", "*", 2, (), tiny_llama.spec)
    assert [[p.layer for p in t.parts] for t in targets] == [[0, 1], [1, 2], [2]]
    own, other = _texts(group, denoise=True)
    sites = [Site.parse("mlp_out.0"), Site.parse("mlp_out.1")]
    given = tiny_llama.run(other, read=sites).activations
    edits = [Edit(site=Site(s.kind, s.layer, (7,)), op=Op.SET, value=given[s]) for s in sites]
    found = patched(tiny_llama, group, targets[0], ("",), partial(donated, group))[""]
    assert found[:, 7] == pytest.approx(_moved(tiny_llama, group, own, edits), abs=2e-5)


def test_only_what_reads_the_sender_receives(tiny_llama):
    spec = tiny_llama.spec
    sender = sender_of("z.1@0", spec)
    for at, parallel, layers in (
        ("z", False, [2]), ("mlp_out", False, [1, 2]), ("mlp_out", True, [2]),
        ("resid_post", False, [1, 2]), ("resid_pre", False, [2]),
    ):  # fmt: skip
        found = receivers(targets_of(at, "*", 1, (), spec), sender, parallel=parallel)
        assert [t.label for t in found] == layers, at
    with pytest.raises(BadOption, match="nothing that is patched reads"):
        receivers(targets_of("z", "0:2", 1, (), spec), sender, parallel=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("z.1@9", "heads"), ("z.1:2:ablate:3", "no group"), ("z.1[0]", "as a whole"),
        ("attn_pattern.1", "as a whole"), ("", "no group"),
    ],
)  # fmt: skip
def test_what_is_no_group_is_refused(tiny_llama, text, words):
    with pytest.raises(BadOption, match=words):
        parts_of(text, tiny_llama.spec)
    with pytest.raises(BadOption):
        sender_of("z.0+z.1", tiny_llama.spec)


@pytest.mark.parametrize(
    "options",
    [
        {"groups": ["z.1@0+mlp_out.2", "mlp_out.1"]},
        {"sender": "z.0@1", "at": "z"},
        {"sender": "z.0@1", "groups": ["q.2@0+q.1@3"]},
    ],
)
def test_each_is_reported_with_its_controls(options, tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [{"text": e.text, **e.fields} for e in map(_row, range(3))]
    path.write_text("\n".join(map(json.dumps, rows)))
    model = ModelRef(name="tiny:llama", device="cpu")
    data = DataRef(path=str(path))
    spec = RunSpec(name="patching", options=options, model=model, data=data, resamples=20)
    result = execute(spec, model=tiny_model("llama")).result
    table = result.table("groups" if "groups" in options else "heads").frame
    assert torch.isfinite(torch.tensor(table["effect"].to_numpy())).all()
    assert not table["effect_same"].any()
    known = {e.name: e.value for e in result.estimates}
    assert known["same_text"] == 0
    assert ("sender_directly" in known) == ("sender" in options)
    if "groups" in options:
        assert table["group"].tolist() == options["groups"]
        assert "group" in result.summary
