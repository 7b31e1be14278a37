"""Concept erasure on planted states: the concept goes, the control stays, a random one does not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from probes import concept_erasure
from probes.concept_erasure import ConceptErasure
from workbench.errors import BadRows
from workbench.methods.contracts import Context, Example
from workbench.model.edits import Op
from workbench.model.model import Model
from workbench.model.sites import Site
from workbench.result.result import Result
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.stored_edits import stored_edits


@pytest.fixture(params=["leace", "inlp"])
def found(request, tiny_llama: Model, monkeypatch) -> Result:
    """States of width 24: tone in one direction, topic (correlated with it) in another."""
    rng = np.random.default_rng(0)
    topic = rng.integers(0, 2, 400)
    tone = np.where(rng.random(400) < 0.5, topic, rng.integers(0, 2, 400))
    x = rng.standard_normal((400, 24)).astype(np.float32)
    x[:, 0] += 3 * tone
    x[:, 1] += 3 * topic
    planted = {Site.parse(f"resid_post.{layer}[-1]"): x * layer + (layer == 0) for layer in (0, 1)}
    monkeypatch.setattr(concept_erasure, "text_vectors", lambda *_: planted)
    rows = [
        Example(text=f"t{i}", label=f"tone{tone[i]}", fields={"topic": f"topic{topic[i]}"},
                group=f"g{i // 2}", number=i)
        for i in range(400)
    ]  # fmt: skip
    probe = ConceptErasure(controls=("topic",), method=request.param, layers="0:2", draws=2)
    return probe.study(tiny_llama, rows, Context.of(tiny_llama))


def test_the_concept_goes_the_control_stays_and_the_eraser_is_kept(found: Result) -> None:
    known = {e.name: e for e in found.estimates}
    before, after = (known[f"{when}.label (linear).1"] for when in ("before", "after"))
    assert before.value > 0.9
    assert before.low > before.control
    frame = found.tables["accuracy"].frame.set_index(["reader", "layer"])
    erased = frame.loc["label (linear)", 1]
    # What is left of the label is what its correlation with the topic tells.
    topic = frame.loc["topic (linear)", 1]
    assert topic["after"] > 0.85
    assert erased["after"] < 0.8 < erased["after_random"]
    assert after.value == pytest.approx(erased["after"])
    assert abs(erased["before_shuffled"] - 0.5) < 0.1
    # Constant states at layer 0 tell nothing.
    assert frame.loc["label (linear)", 0]["before"] < 0.65
    # The eraser of the best layer is kept as an edit.
    assert found.arrays["affine"].shape == (24, 25)
    assert found.tables["erasers"].frame["rank"].tolist()[1] >= 1
    assert found.tables["edits"].frame.iloc[0]["site"] == "resid_post.1[-1]"


def test_a_run_lends_its_eraser(tiny_llama: Model, tmp_path: Path) -> None:
    words = [("king", "queen")[i % 2] for i in range(24)]
    rows = [{"text": f"the {w} saw the {'cat' if i % 3 else 'dog'}", "label": w}
            for i, w in enumerate(words)]  # fmt: skip
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    spec = RunSpec(
        name="concept-erasure",
        model=ModelRef(name="tiny:llama", device="cpu"),
        data=DataRef(path=str(path), label="label"),
        options={"states": "mean", "draws": 1, "shuffles": 1},
    )
    (edit,) = stored_edits(execute(spec, model=tiny_llama), tiny_llama.spec)
    assert edit.op is Op.AFFINE
    plain, erased = (tiny_llama.run(rows[0]["text"], edits=e, logits="last") for e in ((), [edit]))
    assert not torch.equal(plain.logits, erased.logits)


def test_a_field_that_is_not_there_is_named(tiny_llama: Model) -> None:
    rows = [Example(text="a", label="xy"[i % 2], number=i) for i in range(20)]
    with pytest.raises(BadRows, match="'mood' has fewer than two"):
        ConceptErasure(controls=("mood",)).study(tiny_llama, rows, Context.of(tiny_llama))


def test_few_balanced_texts_are_not_told_better_than_by_their_commonest_value(
    tiny_llama: Model, monkeypatch
) -> None:
    x = np.random.default_rng(0).standard_normal((16, 24)).astype(np.float32)
    monkeypatch.setattr(
        concept_erasure, "text_vectors", lambda *_: {Site.parse("resid_post.1[-1]"): x}
    )
    rows = [Example(text=f"t{i}", label="ab"[i % 2], number=i) for i in range(16)]
    told = ConceptErasure(layers="1:2", draws=1).study(tiny_llama, rows, Context.of(tiny_llama))
    known = {e.name: e for e in told.estimates}
    assert known["before.label (linear).1"].control == 0.5
