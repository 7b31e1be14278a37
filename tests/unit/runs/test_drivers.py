"""One driver per shape: what a plugin takes, what can share a pass, and the id of a run."""

import pytest

from workbench.errors import DataError, InputError, PluginError
from workbench.methods.registry import find, plugins
from workbench.runs.drivers import driver_of, opened, resolved
from workbench.runs.execute import prepare
from workbench.runs.spec import DataRef, RunSpec

TEXTS = DataRef(texts=("one two",))


@pytest.mark.parametrize(
    ("kind", "name", "given"),
    [
        ("probe", "isotropy", "texts"),
        ("probe", "token-trace", "texts"),
        ("probe", "linear", "labelled texts"),
        ("probe", "critical-tokens", "task"),
        ("reasoner", "cot", "task"),
        ("recipe", "tuned-lens", "texts"),
        ("recipe", "hybrid", "task"),
        ("discovery", "pc", "table"),
        ("question", "effects", "graph"),
        ("refuter", "placebo-domains", "graph"),
        ("task", "sums", "nothing"),
    ],
)
def test_what_a_plugin_takes(kind, name, given):
    assert find(kind, name).takes == given


def test_what_can_share_a_forward_pass_counts_and_the_rest_does_not():
    batched = {p.name for p in plugins("probe") if driver_of(p.recipe).can_batch}
    assert {"attention-pattern", "isotropy", "linear", "logit-lens", "token-trace"} <= batched
    assert not batched & {"critical-tokens", "decoders"}
    assert not any(
        driver_of(p.recipe).can_batch for p in plugins() if p.kind not in ("probe", "task")
    )


@pytest.mark.parametrize(
    ("kind", "name", "data"),
    [
        ("probe", "isotropy", TEXTS),
        ("probe", "critical-tokens", DataRef()),
        ("reasoner", "cot", DataRef(task="sums")),
        ("recipe", "hybrid", DataRef()),
    ],
)
def test_a_resolved_spec_has_the_id_of_its_run_and_resolves_to_itself(kind, name, data):
    spec = RunSpec(kind=kind, name=name, data=data)
    found = resolved(spec)
    assert found.examples == ()
    assert found.spec.run_id == prepare(spec).spec.run_id
    assert resolved(found.spec).spec == found.spec


def test_options_are_written_out_without_opening_the_data():
    spec = RunSpec(name="isotropy", data=DataRef(path="gone.jsonl"))
    assert "layers" in opened(spec).spec.options
    with pytest.raises(DataError, match=r"gone\.jsonl"):
        resolved(spec)


def test_tasks_and_texts_are_not_confused():
    with pytest.raises(InputError, match="reads texts, not tasks"):
        resolved(RunSpec(name="isotropy", data=DataRef(task="sums")))


def test_a_class_of_no_shape_is_refused_by_name():
    with pytest.raises(PluginError, match="int has none of the methods"):
        driver_of(3)
    with pytest.raises(PluginError, match="Sums has none of the methods"):
        driver_of(find("task", "sums").recipe)


@pytest.mark.parametrize(("kind", "name"), [("recipe", "belief-network"), ("reasoner", "cot")])
@pytest.mark.parametrize("data", [TEXTS, DataRef(path="shipped:prompts.jsonl")])
def test_what_works_on_a_task_refuses_texts(kind, name, data):
    with pytest.raises(InputError, match="works on the problems of a task") as caught:
        resolved(RunSpec(kind=kind, name=name, data=data))
    assert "--task FILE.jsonl" in caught.value.hint
