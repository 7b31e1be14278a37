"""The pipeline that ships: found by its name, solves problems it has never seen."""

import numpy as np
import pytest

from reasoning.sentence_chain import SentenceContinuous, SentenceDiscretized
from workbench.errors import ModelNotFound
from workbench.methods.contracts import Context, Prompt
from workbench.model.catalog import available_models
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.tiny import tiny_model
from workbench.sampling.task import open_task
from workbench.training.sentence_model import open_sentences

NAME = "blocksworld-sentences"
TASK = "blocksworld?blocks=4&brief=yes&part=test"


@pytest.fixture(scope="module")
def shipped() -> Model:
    return load_model(NAME, device="cpu", dtype="float32")


def test_the_list_of_models_names_it() -> None:
    found = {one.name: one for one in available_models()}
    assert found[NAME].origin == "shipped"
    assert found[NAME].ready


def test_its_pipeline_is_found_without_a_folder(shipped: Model) -> None:
    assert open_sentences(shipped).manifest.base_hash == shipped.spec.weights_hash


def test_another_model_is_told_what_ships() -> None:
    with pytest.raises(ModelNotFound, match="is known for tiny:llama") as caught:
        open_sentences(tiny_model("llama"))
    assert f"--model {NAME}" in caught.value.hint


@pytest.mark.parametrize("reasoner", [SentenceDiscretized(), SentenceContinuous(decode="answer")])
def test_unseen_problems_are_solved_far_above_the_majority(shipped: Model, reasoner) -> None:
    task = open_task(TASK)
    problems = task.problems(48, np.random.default_rng(0))
    prompts = [Prompt(question=p.question) for p in problems]
    chains = reasoner.solve(shipped, prompts, seeds=list(range(48)), context=Context())
    right = [task.is_correct(p, c.response) for p, c in zip(problems, chains, strict=True)]
    assert np.mean(right) > 0.55
    assert {chain.ended for chain in chains} == {"head"}
