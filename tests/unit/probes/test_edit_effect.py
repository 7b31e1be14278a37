"""What an edit changes: closed forms, the off switch, a fair control, and words for it."""

import pytest
import torch

from probes.edit_effect import EditEffect
from workbench.methods.contracts import Context, Example, Stopped
from workbench.methods.elsewhere import elsewhere
from workbench.model.edits import Edit, Op
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.result.grid import grids_of
from workbench.result.result import Result
from workbench.runs.execute import execute
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, ModelRef, RunSpec

TEXT = "the cat sat . the red dog ran"


def run(model: Model, *edits: str, **options: object) -> Run:
    return execute(
        RunSpec(
            name="edit-effect",
            options={"edits": edits, "tokens": 5, **options},
            model=ModelRef(name="tiny:llama"),
            data=DataRef(texts=(TEXT,)),
        ),
        model=model,
    )


def result(found: Run) -> Result:
    assert found.result is not None, found.failure
    return found.result


def test_the_map_and_the_distance_are_those_of_two_plain_passes(tiny_llama: Model) -> None:
    found = result(run(tiny_llama, "ablate:mlp_out.1"))
    edit = Edit(site=Site(Kind.MLP_OUT, 1), op=Op.ABLATE)
    a, b = (
        tiny_llama.run(TEXT, read=["resid_post.*"], edits=e, logits="all") for e in ([], [edit])
    )
    (grid,) = grids_of(found)
    turned = 1 - torch.cosine_similarity(*(t.stack("resid_post")[:, 0] for t in (a, b)), dim=-1)
    assert grid.map("moved") == pytest.approx(turned.numpy(), abs=1e-5)
    assert (grid.map("moved")[0] == 0).all(), "nothing changes before the edit"
    p, q = (t.logits[0].log_softmax(-1) for t in (a, b))
    kl = (p.exp() * (p - q)).sum(-1)
    assert grid.token_strip("kl") == pytest.approx(kl.numpy(), abs=1e-5)
    answers = found.table("answers").frame.set_index("kind")["response"]
    plain, edited = (tiny_llama.generate(TEXT, limit=5, edits=e) for e in ([], [edit]))
    assert answers["before"] == tiny_llama.decode(plain.generated[0])
    assert answers["after"] == tiny_llama.decode(edited.generated[0])
    steps = found.table("steps").frame
    first = int(steps["differs"].idxmax())
    assert steps["before"][:first].tolist() == steps["after"][:first].tolist()
    assert f"the first token that changed, {first}," in found.summary
    assert answers["before"].strip() in found.summary


def test_off_changes_nothing_at_all(tiny_llama: Model) -> None:
    found = result(run(tiny_llama, "ablate:mlp_out.1", off=True))
    (grid,) = grids_of(found)
    assert (grid.map("moved") == 0).all()
    assert (grid.token_strip("kl") == 0).all()
    assert not found.table("steps").frame["differs"].any()
    assert "unchanged" in found.summary


def test_the_control_is_as_large_and_elsewhere(tiny_llama: Model) -> None:
    spec, context = tiny_llama.spec, Context.of(tiny_llama)
    way = torch.arange(float(spec.d_model))
    head = Edit(site=Site(Kind.Z, 1), op=Op.ABLATE, heads=(0,))
    added = Edit(site=Site(Kind.RESID_POST, 1), op=Op.ADD, value=way)
    block = Edit(site=Site(Kind.MLP_OUT, 1), op=Op.ABLATE)
    heads, vector, other = (elsewhere([e], spec, context)[0] for e in (head, added, block))
    assert heads.heads is not None
    assert 0 not in heads.heads
    assert len(heads.heads) == 1
    assert isinstance(vector.value, torch.Tensor)
    assert float(vector.value.norm()) == pytest.approx(float(way.norm()), rel=1e-5)
    assert abs(float(torch.cosine_similarity(vector.value, way, dim=0))) < 0.6
    assert other.site.layer != 1
    everywhere = [Edit(site=Site(Kind.MLP_OUT, i), op=Op.ABLATE) for i in range(spec.n_layers)]
    assert elsewhere(everywhere, spec, context) == ()


def test_stopped_it_reports_the_texts_that_are_done(tiny_llama: Model) -> None:
    def stop(done: int, total: int, label: str) -> None:
        if (done, total) == (1, 3):
            raise KeyboardInterrupt

    probe = EditEffect(edits=("ablate:mlp_out.1",), tokens=3)
    rows = [Example(text=TEXT, source=f"row {i}", number=i) for i in range(3)]
    with pytest.raises(Stopped) as found:
        probe.study(tiny_llama, rows, Context.of(tiny_llama, progress=stop))
    assert found.value.result.table("answers")["text"].nunique() == 1


def test_what_cannot_be_edited_is_said(tiny_llama: Model) -> None:
    assert "no edit is named" in run(tiny_llama).failure.message
    assert "is not an edit" in run(tiny_llama, "nonsense").failure.message
    found = result(run(tiny_llama, "scale:mlp_out.*:3"))
    assert any(note.code == "control" for note in found.notes)
