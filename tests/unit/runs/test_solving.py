"""A reasoner over a task: graded, with baselines and costs, batched, stopped and compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from workbench.errors import InputError, PluginError
from workbench.methods import registry
from workbench.methods.contracts import Context, Prompt
from workbench.model.model import Model
from workbench.options import option
from workbench.result.chain import Chain, Cost, Step
from workbench.runs.chain_compare import compare_chains, reasoner_address
from workbench.runs.execute import execute
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.sampling.task import open_task

TASK = "arithmetic?steps=1&examples=no"


@dataclass(frozen=True, kw_only=True)
class Calculator:
    """Work the sum out with a calculator, and be wrong where told to."""

    wrong_above: int = option(10**9, help="Answers above this come out wrong.")
    breaks_after: int = option(10**9, help="Stop after so many problems.")
    short: bool = option(False, help="Leave a chain out.")
    cut_above: int = option(10**9, help="A limit cuts off the chains of answers above this.")

    def solve(
        self, model: Model, prompts: Sequence[Prompt], *, seeds: Sequence[int], context: Context
    ) -> Sequence[Chain]:
        SEEN.append(len(prompts))
        if sum(SEEN) > self.breaks_after:
            raise KeyboardInterrupt
        return [self._chain(prompt) for prompt in prompts][int(self.short) :]

    def _chain(self, prompt: Prompt) -> Chain:
        a, b = (int(word.strip(".")) for word in prompt.question.split() if word[0].isdigit())
        times, gives = "boxes" in prompt.question, "gives away" in prompt.question
        value = a * b if times else a - b if gives else a + b
        value += value > self.wrong_above
        vector = np.array([float(a), float(b), float(value)], dtype=np.float32)
        step = Step(kind="latent", text=f"{value}", vector=vector, fed="vector", stop=1.0)
        cost = Cost(last_position=10.0, every_position=20.0, n_tokens=2)
        return Chain(
            steps=(step,) * 2, response=f"The answer is {value}",
            ended="limit" if value > self.cut_above else "head",
            costs={"prefill": cost, "reasoning": cost},
        )  # fmt: skip


SEEN: list[int] = []


@pytest.fixture(autouse=True)
def calculator() -> Iterator[None]:
    registry.load_plugins()
    known = dict(registry._plugins)
    registry.reasoner("calculator")(Calculator)
    SEEN.clear()
    yield
    registry._plugins.clear()
    registry._plugins.update(known)


def _run(limit: int = 40, batch_tokens: int = 200, **options: object) -> Run:
    spec = RunSpec(
        kind="reasoner", name="calculator", options=options, model=ModelRef(name="tiny:llama"),
        data=DataRef(task=TASK, limit=limit), batch_tokens=batch_tokens,
    )  # fmt: skip
    return execute(spec)


def test_all_right_is_all_right_and_costs_what_it_says() -> None:
    run = _run()
    assert run.result is not None
    accuracy = run.result.estimate("accuracy")
    assert (accuracy.value, accuracy.n) == (1.0, 40)
    assert accuracy.low is not None
    assert accuracy.low < 1
    assert len(SEEN) > 1  # more than one batch
    costs = {row["stage"]: row for row in run.result.table("costs").rows()}
    assert costs["total"]["flops_last"] == 20
    assert costs["total"]["flops_every"] == 40
    assert costs["decoding"]["flops_last"] == 0
    assert run.result.estimate("flops_last").value == 20
    assert run.result.arrays["vectors"].shape == (80, 3)
    assert list(run.result.table("steps")["vector"]) == list(range(80))
    assert {"accuracy", "problems", "path"} <= set(run.result.tables)


def test_wrong_answers_are_counted_and_baselines_come_from_the_task() -> None:
    problems = open_task(TASK).problems(40, Context().stream("problems"))
    answers = [int(p.answer) for p in problems]
    result = _run(wrong_above=20).result
    assert result is not None
    assert result.estimate("accuracy").value == sum(a <= 20 for a in answers) / 40
    commonest = max(answers.count(a) for a in answers) / 40
    assert result.estimate("majority").value == commonest
    assert result.estimate("accuracy").control == commonest
    assert result.estimate("chance").value == pytest.approx(1 / len(set(answers)))


def test_a_chain_that_a_limit_cut_off_has_no_answer() -> None:
    problems = open_task(TASK).problems(40, Context().stream("problems"))
    cut = sum(int(p.answer) > 20 for p in problems)
    result = _run(cut_above=20).result
    assert result is not None
    rows = result.table("problems").rows()
    assert sum(row["convention"] == "unfinished" for row in rows) == cut
    for row in rows:
        is_cut = int(row["reference"]) > 20
        assert (row["answer"] is None) is is_cut
        assert row["correct"] is not is_cut
        assert row["grader"] == "number"
        assert is_cut or row["convention"] == "answer-is"
    unfinished = result.estimate("unfinished")
    assert (unfinished.value, unfinished.n) == (cut / 40, 40)
    assert None not in (unfinished.low, unfinished.high)
    assert result.estimate("accuracy").value == 1 - cut / 40
    texts = {note.code: note.text for note in result.notes}
    assert texts["limit"] == f"{cut} chains were ended by the limit on steps"
    assert texts["unfinished"].startswith(f"{cut} of 40 chains are not finished")
    assert f"judged by number; answers by convention: answer-is {40 - cut}" in texts["grader"]
    compared = compare_chains([_run(cut_above=20), _run()], ["cut", "whole"])
    assert [r["unfinished"] for r in compared.table("comparison").rows()[:2]] == [cut / 40, 0]


def test_stopping_keeps_what_was_solved() -> None:
    spec = RunSpec(
        kind="reasoner", name="calculator", options={"breaks_after": 20},
        model=ModelRef(name="tiny:llama"), data=DataRef(task=TASK, limit=40), batch_tokens=200,
    )  # fmt: skip
    from workbench.progress import silent
    from workbench.runs.execute import _attempt, _context, prepare

    job = prepare(spec)
    outcome = _attempt(job, None, _context(job, None, silent, fresh=False))
    assert outcome.status == "interrupted"
    assert outcome.result is not None
    assert 0 < outcome.result.estimate("accuracy").n <= 20
    assert any(note.code == "stopped" for note in outcome.result.notes)


def test_a_reasoner_needs_a_task_and_answers_every_prompt() -> None:
    texts = RunSpec(kind="reasoner", name="calculator", data=DataRef(texts=("what",)))
    with pytest.raises(InputError, match="works on the problems of a task"):
        execute(texts)
    run = _run(short=True)
    assert run.status == "failed"
    assert run.failure is not None
    assert run.failure.code == PluginError.code


def test_reasoners_that_never_differ_may_still_differ() -> None:
    runs = [_run(limit=30), _run(limit=30, wrong_above=10**9)]
    result = compare_chains(runs, ["careful", "as careful"])
    same, other = result.table("comparison").rows()[:2]
    assert (same["difference_low"], same["difference"], same["difference_high"]) == (0, 0, 0)
    assert other["difference"] == 0
    assert other["difference_low"] == -other["difference_high"]
    assert 0.05 < other["difference_high"] < 0.2


def test_comparison_is_paired_and_needs_the_same_problems() -> None:
    runs = [_run(wrong_above=20), _run()]
    result = compare_chains(runs, ["careless", "careful"])
    rows = {row["reasoner"]: row for row in result.table("comparison").rows()}
    missed = 1 - rows["careless"]["accuracy"]
    assert rows["careful"]["difference"] == pytest.approx(missed)
    assert rows["careful"]["difference_low"] > 0
    assert rows["careless"]["difference"] == 0
    assert rows["careful"]["share_last"] == 1
    assert {"majority", "chance"} <= set(rows)
    with pytest.raises(InputError, match="different problems"):
        compare_chains([runs[0], _run(limit=10)], ["a", "b"])


def test_options_are_written_behind_a_name() -> None:
    assert reasoner_address("calculator?wrong_above=3") == ("calculator", {"wrong_above": "3"})
