"""Patches against edits made one by one, what must be zero, and pairs that do not fit."""

import json
from functools import cache, partial

import numpy as np
import pytest
import torch

from probes.patch.pairs import pair_of
from probes.patch.report import rank_correlation
from probes.patch.runs import attributed, patched, run_both
from probes.patch.sources import donated
from probes.patch.targets import Part, Target
from workbench.errors import BadOption
from workbench.methods.contracts import Context, Example
from workbench.model.edits import Edit, Op
from workbench.model.sites import Site
from workbench.model.tiny import tiny_model
from workbench.runs.execute import execute
from workbench.runs.spec import SHIPPED, DataRef, ModelRef, RunSpec

TEMPLATE = "the {io} and {s1} ran and {s2} saw"
WORDS = [("king", "cat"), ("queen", "dog"), ("man", "bird")]


def _row(io, s, number=0):
    fields = {"slots": {"io": io, "s1": s, "s2": s}, "corrupted": {"s2": io}, "answer": io}
    return Example(text=TEMPLATE, number=number, fields={**fields, "wrong": s})


def _pairs(model):
    return [pair_of(model, _row(*w, i), longest=64) for i, w in enumerate(WORDS)]


def _group(model, sites, *, metric="logit-difference", denoise=True, pairs=None):
    sites, context = [Site.parse(s) for s in sites], Context(seed=1)
    options = {"metric": metric, "denoise": denoise, "noise": 3.0}
    return run_both(model, pairs or _pairs(model), sites, context, **options)


def _patched(model, group, at, kinds=("",)):
    """Patch one site: each head, or each place."""
    cells = "head" if Site.parse(at).kind.has_heads else "place"
    target = Target(0, (Part(Site.parse(at)),), cells)
    return patched(model, group, target, kinds, partial(donated, group))


def test_every_patch_is_what_one_edit_of_one_text_gives(tiny):
    _check_patches(tiny, denoise=True)


def test_and_so_is_a_corrupted_activation_in_the_clean_run(tiny_llama):
    _check_patches(tiny_llama, denoise=False)


def _check_patches(model, *, denoise):
    places = ("resid_pre.1", "z.1", "mlp_out.2")
    group = _group(model, places, denoise=denoise)
    assert group.start.cut == 6
    kinds = ("", "unrelated", "elsewhere", "same")
    pair, i = group.pairs[1], 1
    donors = [(p.clean, p.corrupted)[:: 1 if denoise else -1] for p in group.pairs]
    for site, heads in [(Site.parse(at), at.startswith("z")) for at in places]:
        found = _patched(model, group, str(site), kinds)
        for kind, cell in [("", 7), ("unrelated", 6), ("elsewhere", 7)]:
            cell, (source, ids) = cell % 4 if heads else cell, donors[i]
            if kind == "unrelated":
                source = donors[group.others[i]][0]
            x = model.run(_tokens(source), read=[site]).activations[site][0]
            if kind == "elsewhere":
                x = x[torch.from_numpy(group.elsewhere[i])]
            late = tuple(range(group.start.cut, len(ids)))
            place = Site(site.kind, site.layer, late if heads else (cell,))
            edit = Edit(site=place, op=Op.SET, value=x, heads=(cell,) if heads else None)
            expected = _score(model, ids, pair, [edit]) - _score(model, ids, pair, [])
            assert found[kind][i, cell] == pytest.approx(expected, abs=2e-5), (kind, site)


def _tokens(ids):
    from workbench.model.tokens import pad

    return pad([list(ids)])


def _score(model, ids, pair, edits):
    logits = model.run(_tokens(ids), edits=edits, logits="last").logits[0, -1]
    return float(logits[pair.answer] - logits[pair.wrong])


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_a_patch_of_the_same_text_moves_nothing_at_all(family):
    tiny = tiny_model(family)
    group = _group(tiny, ["resid_pre.1", "z.2"])
    for at in ("resid_pre.1", "z.2"):
        found = _patched(tiny, group, at, ("", "same"))
        same = found["same"][np.isfinite(found["same"])]
        assert same.size
        assert not same.any()
        assert np.abs(found[""]).max() > 1e-3


def test_the_whole_stream_of_the_donor_does_all_that_its_text_does(tiny_llama):
    """Only the last token is read, so that the last place of the last stream decides."""
    group = _group(tiny_llama, ["resid_post.2"])
    found = _patched(tiny_llama, group, "resid_post.2")[""]
    assert found[:, -1] == pytest.approx(group.difference, abs=1e-5)
    assert not found[:, :-1].any()


@pytest.mark.parametrize("at", ["resid_pre.1", "z.1"])
def test_attribution_is_the_effect_of_a_small_step(tiny_llama, at):
    tiny, site, heads = tiny_llama, Site.parse(at), at.startswith("z")
    group = _group(tiny, [at])
    target = Target(0, (Part(site),), "head" if heads else "place")
    (first,) = attributed(tiny, group, [target], partial(donated, group))
    i, cell, step, pair = 1, 2 if heads else 7, 2e-2, group.pairs[1]
    own, donor = (
        tiny.run(_tokens(ids), read=[site]).activations[site][0]
        for ids in (pair.corrupted, pair.clean)
    )
    place = Site(site.kind, site.layer, None if heads else (cell,))
    value = own + step * (donor - own)
    edit = Edit(site=place, op=Op.SET, value=value, heads=(cell,) if heads else None)
    back = Edit(site=place, op=Op.SET, value=own - step * (donor - own), heads=edit.heads)
    moved = _score(tiny, pair.corrupted, pair, [edit]) - _score(tiny, pair.corrupted, pair, [back])
    assert first[i, cell] == pytest.approx(moved / (2 * step), rel=0.05, abs=5e-3)


def test_a_model_that_cannot_start_late_gives_the_same(tiny_llama, monkeypatch):
    late = _patched(tiny_llama, _group(tiny_llama, ["z.1"]), "z.1")
    monkeypatch.setattr("probes.patch.runs.starts_late", lambda model: False)
    group = _group(tiny_llama, ["z.1"])
    assert not group.is_late
    assert group.start.cut == 0
    whole = _patched(tiny_llama, group, "z.1")
    assert whole[""] == pytest.approx(late[""], abs=2e-5)


def test_the_metric_can_be_a_probability_or_a_distance(tiny_llama):
    for metric in ("probability", "kl"):
        group = _group(tiny_llama, ["resid_post.2"], metric=metric)
        found = _patched(tiny_llama, group, "resid_post.2")[""]
        assert found[:, -1] == pytest.approx(group.difference, abs=1e-6)
    assert group.scores[1].abs().max() < 1e-5, "the clean run is as far from itself as nothing"


def test_slots_align_texts_of_other_lengths(tiny_llama):
    row = Example(
        text="the {a} saw a dog",
        fields={"slots": {"a": "king and queen"}, "corrupted": {"a": "man"}},
    )
    pair = pair_of(tiny_llama, row, longest=64)
    shift = len(pair.clean) - len(pair.corrupted)
    assert shift == 2
    named = {place.name: place.clean - place.corrupted for place in pair.places}
    assert named == {"start": 0, "a": 2, "after a": 2, "end": 2}
    group = _group(tiny_llama, ["resid_post.2"], pairs=[pair])
    found = _patched(tiny_llama, group, "resid_post.2")[""]
    assert found[:, -1] == pytest.approx(group.difference, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "fields", "words"),
    [
        ("the king ran", {"corrupted": "the king"}, "3 and 2 tokens"),
        ("the king ran", {"corrupted": "the king ran"}, "same tokens"),
        ("the {a} ran", {"slots": {"b": "king"}, "corrupted": {"b": "man"}}, "slots a"),
        ("the {a ran", {"slots": {"a": "king"}, "corrupted": {"a": "man"}}, "no template"),
        ("the king ran", {"noised": "a"}, "no slot"),
        ("the king ran", {"slots": 3}, "another form"),
    ],
)
def test_rows_that_are_no_pair_say_why(tiny_llama, text, fields, words):
    with pytest.raises(BadOption, match=words):
        pair_of(tiny_llama, Example(text=text, fields=fields, source="a.jsonl:1"), longest=64)


def test_rank_correlation_leaves_out_what_neither_has():
    a = np.array([[0.0, 1.0, 2.0], [np.nan, 3.0, 4.0]])
    assert rank_correlation(a, a**3) == pytest.approx(1.0)
    assert rank_correlation(a, np.where(a == 0, 0.0, -a)) == pytest.approx(-1.0)
    assert np.isnan(rank_correlation(a, np.ones_like(a)))


@cache
def _run(direction="denoise"):
    rows = [{"text": e.text, **e.fields} for e in (_row(*w) for w in WORDS)]
    rows.append({"text": "the king", "corrupted": "the"})
    path = _file(rows)
    spec = RunSpec(
        name="patching",
        options={"direction": direction},
        model=ModelRef(name="tiny:llama", device="cpu"),
        data=DataRef(path=str(path)),
        resamples=20,
    )
    return execute(spec, model=tiny_model("llama")).result


def _file(rows):
    from pathlib import Path
    from tempfile import mkdtemp

    path = Path(mkdtemp()) / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_effects_stand_beside_controls_and_on_the_grid():
    result = _run()
    places = result.table("places").frame
    assert set(places["place"]) == {"start", "io", "after io", "s1", "after s1", "s2", "end"}
    same = places["effect_same"].dropna()
    assert len(same)
    assert not same.any()
    before = places[places["place"].isin(["start", "io", "s1"])]
    assert not before["effect"].any()
    cell = places[(places["layer"] == 0) & (places["place"] == "s2")].iloc[0]
    assert cell["effect"] == pytest.approx(1.0, abs=1e-5), "the one token that differs"
    assert {"effect", "effect_same", "attribution"} <= set(result.table("grid").frame)
    assert any("left out" in note.text for note in result.notes)
    same_text = next(e for e in result.estimates if e.name == "same_text")
    assert same_text.value == 0


def test_the_shipped_pairs_fill_their_templates():
    path = DataRef(path=f"{SHIPPED}indirect_object.jsonl").file
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == len({row["id"] for row in rows}) == 20
    for row in rows:
        clean = row["text"].format(**row["slots"])
        corrupted = row["text"].format(**{**row["slots"], **row["corrupted"]})
        assert clean.count(row["wrong"]) == 2
        assert clean.count(row["answer"]) == 1
        assert corrupted.count(row["answer"]) == 2
