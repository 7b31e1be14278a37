"""A task that a random tiny model gets right now and then: questions with one digit as answer."""

import json

import pytest

from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store

QUICK = {"preset": "tiny", "temperature": 2.0, "top_p": 1.0, "new_tokens": 6}
LEARN = {"questions": 16, "epochs": 12, "learning_rate": 0.02, "rank": 4, "samples": 16}


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """Address of 24 questions; the answer to each is 7."""
    path = tmp_path_factory.mktemp("digits") / "digits.jsonl"
    words = ("cat", "dog", "bird", "king", "queen", "man")
    rows = [{"question": f"the {a} saw the {b}", "answer": "7"} for a in words for b in words[:4]]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return f"questions:{path}"


@pytest.fixture(scope="session")
def spec_of(digits):
    """Make the spec of a recipe on that task and the tiny llama."""

    def make(name, **options):
        return RunSpec(
            kind="recipe",
            name=name,
            options=QUICK | options,
            model=ModelRef(name="tiny:llama", device="cpu"),
            data=DataRef(task=digits),
            resamples=50,
        )

    return make


@pytest.fixture(scope="session")
def estimated(spec_of, tmp_path_factory):
    """A contrastive estimate trained on the first 16 of those questions, and its store."""
    store = Store(tmp_path_factory.mktemp("store"))
    run = execute(spec_of("contrastive-estimate", **LEARN), store=store)
    assert run.failure is None, run.failure
    return run, store


@pytest.fixture(scope="session")
def learn():
    """The options of that training run."""
    return LEARN
