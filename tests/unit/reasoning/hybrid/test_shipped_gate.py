"""The small gated model that ships: what its manifest tells, and a chain of its own."""

import pytest

from workbench.latent.gate import Gate
from workbench.latent.trained import open_hybrid
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.runs.execute import execute
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, ModelRef, RunSpec


@pytest.fixture(scope="module")
def sums() -> Model:
    return load_model("hybrid-sums", device="cpu")


def _run(model: Model, name: str, **options: object) -> Run:
    spec = RunSpec(
        kind="reasoner",
        name=name,
        options={"tokens": 40, **options},
        model=ModelRef(name="hybrid-sums"),
        data=DataRef(task="sums?largest=30", limit=8),
    )
    run = execute(spec, model=model)
    assert run.failure is None, run.failure
    return run


def test_its_scores_stand_beside_their_controls(sums: Model) -> None:
    found = open_hybrid(sums)
    assert isinstance(found.gate, Gate)
    scores = found.manifest.scores
    assert {"grpo", "hrpo", "hrpo-no-decay", "decay-only", "before reinforcement"} <= set(scores)
    assert all(len(scores[arm]["accuracy by seed"]) >= 3 for arm in ("grpo", "hrpo"))


def test_it_thinks_in_mixtures_and_answers_in_tokens(sums: Model) -> None:
    opened, closed = _run(sums, "hrpo"), _run(sums, "hrpo", gate=1.0)
    assert opened.result is not None
    assert closed.result is not None
    steps = opened.result.tables["steps"].frame
    for _, chain in steps.groupby("problem"):
        texts = list(chain["text"])
        for t, fed in enumerate(chain["fed"]):
            assert fed == ("text" if "####" in "".join(texts[: t + 1]) else "mixture")
    responses = [run.result.tables["problems"]["response"].tolist() for run in (opened, closed)]
    assert responses[0] != responses[1]
