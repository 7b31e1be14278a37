"""The sentence recipe: stopped and resumed it trains the same, and its checkpoint reasons."""

from pathlib import Path
from typing import Any

import pytest

from reasoning.sentence_chain import SentenceContinuous
from reasoning.train_sentence_chain import TrainSentenceChain
from workbench.methods.contracts import Context, Prompt
from workbench.model.loading import load_model
from workbench.sampling.task import open_task

SIZES: dict[str, Any] = {
    "preset": "tiny", "problems": 12, "held_out": 4, "batch": 4,
    "writing": 4, "embedding": 4, "prediction": 4,
}  # fmt: skip


def _train(folder: Path, *, stop_after: int | None = None) -> Any:
    told = 0

    def progress(done: int, total: int, label: str) -> None:
        nonlocal told
        told += 1
        if stop_after is not None and told > stop_after:
            raise KeyboardInterrupt

    context = Context(seed=3, resamples=20, progress=progress, scratch=folder)
    recipe = TrainSentenceChain(**SIZES)
    model = recipe.base_model(context)
    assert model is not None
    return model, recipe.train(model, [], context)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A training that nothing stopped, with its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, _train(folder)[1]


@pytest.mark.parametrize("stop_after", [6, pytest.param(14, marks=pytest.mark.slow)])
def test_killed_and_resumed_gives_the_same_curve(
    trained: tuple[Path, Any], tmp_path: Path, stop_after: int
) -> None:
    folder, whole = trained
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "cut", stop_after=stop_after)
    _, again = _train(tmp_path / "cut")
    stages = ("writing", "contextual", "latent")
    for name in [f"{stage}_{kind}" for stage in stages for kind in ("steps", "held_out")]:
        assert again.table(name).rows() == whole.table(name).rows()
    weights = [(f / "weights.safetensors").read_bytes() for f in (folder, tmp_path / "cut")]
    assert weights[0] == weights[1]


def test_the_checkpoint_reasons_and_chains_may_be_long(trained: tuple[Path, Any]) -> None:
    folder, result = trained
    model = load_model(str(folder))
    names = {e.name for e in result.estimates}
    assert {"no-cot", "cot", "sentence-discretized", "sentence-continuous"} <= names
    task = open_task("blocksworld?blocks=4&brief=yes&part=test")
    context = Context(seed=0)
    prompts = [Prompt(question=p.question) for p in task.problems(3, context.stream("problems"))]
    recipe = SentenceContinuous(checkpoint=str(folder), stop="limit", limit=13, tokens=4)
    chains = recipe.solve(model, prompts, seeds=[1, 2, 3], context=context)
    assert [len(c.steps) for c in chains] == [13, 13, 13]
