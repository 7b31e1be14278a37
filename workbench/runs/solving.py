"""A reasoner over the problems of a task: batches, grading, what it took."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from workbench.errors import InputError, PluginError, TooLittleData
from workbench.methods.contracts import Context, Prompt, Reasoner
from workbench.model.model import Model
from workbench.result.chain import Chain
from workbench.result.result import Note
from workbench.runs.batching import group_by_length
from workbench.runs.chain_report import report
from workbench.runs.counting import Outcome
from workbench.runs.reading import BadRow
from workbench.runs.solved import Solved
from workbench.runs.spec import RunSpec
from workbench.sampling.evaluation import judge
from workbench.sampling.prompting import prompt_ids, stop_ids, unknown_words
from workbench.sampling.task import Choices, Problem, SkipsRows, Task, open_task

MOST_PROBLEMS = 100
MOST_UNKNOWN = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    problem: Problem
    prompt: Prompt
    seed: int


def solve_task(recipe: Reasoner, spec: RunSpec, model: Model, context: Context) -> Outcome:
    """Solve the problems, grade the answers and report; Ctrl-C keeps what was solved.

    Problems of similar length share a batch under `spec.batch_tokens`. Seconds are those of the
    batch, divided evenly among its rows.

    Raises:
        WorkbenchError: the task does not exist, or the reasoner cannot run on this model.
    """
    task = open_task(context.task)
    limit = context.limit or MOST_PROBLEMS
    problems = task.problems(limit, context.stream("problems"))
    asked, bad = _fitting(_ask(task, problems, model, context), model)
    groups = group_by_length([len(a.prompt.ids) for a in asked], spec.batch_tokens)
    found: dict[int, Solved] = {}
    stop: KeyboardInterrupt | None = None
    context.progress(0, len(asked), "problems")
    try:
        for group in groups:
            found |= _solve_batch(recipe, [(i, asked[i]) for i in group], task, model, context)
            context.progress(len(found), len(asked), "problems")
    except KeyboardInterrupt as interrupt:
        stop = interrupt
        if not found:
            raise
    solved = [found[i] for i in sorted(found)]
    result = report(spec.name, solved, len(asked))
    return Outcome(
        result=replace(result, notes=(*_unread(asked, model), *result.notes)),
        bad=(*skipped_rows(task, limit), *bad),
        stop=stop,
    )


def skipped_rows(task: Task, limit: int | None) -> tuple[BadRow, ...]:
    """Return the rows of the task's file that are no problem, up to the last problem used."""
    if not isinstance(task, SkipsRows):
        return ()
    return tuple(BadRow(source=a, reason=b) for a, b in task.skipped(limit or sys.maxsize))


def _fitting(asked: Sequence[_Asked], model: Model) -> tuple[list[_Asked], list[BadRow]]:
    """Part the problems that leave room for an answer from those that do not.

    Raises:
        TooLittleData: none leaves room.
    """
    room, good, bad = model.spec.max_positions, [], []
    for one in asked:
        if len(one.prompt.ids) < room:
            good.append(one)
        else:
            reason = f"{len(one.prompt.ids)} tokens; {model.spec.name} takes {room} with its answer"
            bad.append(BadRow(source=one.problem.id, reason=reason))
    if not good:
        raise TooLittleData(
            f"no problem leaves room for an answer ({bad[0].source}: {bad[0].reason})",
            hint="shorter problems, or another model",
        )
    return good, bad


def _unread(asked: Sequence[_Asked], model: Model) -> tuple[Note, ...]:
    """Say so when the model cannot read the questions: its answers then mean nothing."""
    share = unknown_words(model, [one.prompt.ids for one in asked])
    if share <= MOST_UNKNOWN:
        return ()
    text = (
        f"this task is not for {model.spec.name}: {share:.0%} of the words are outside its "
        f"vocabulary of {len(model.tokenizer)}; give the task it was trained on, or another model"
    )
    return (Note(text, "warning", "unknown-words"),)


def with_task(spec: RunSpec) -> RunSpec:
    """Return the spec of a reasoner with its file's hash, having opened its task.

    Raises:
        InputError: no task, or texts instead of one.
        UnknownName: no task of that name.
        DataError: the task's file does not exist.
    """
    check_no_texts(spec, "blocksworld")
    if not spec.data.task:
        raise InputError(
            f"{spec.name} works on the problems of a task, and none was named",
            hint=_hint("blocksworld"),
        )
    open_task(spec.data.task)
    return spec.pinned()


def check_no_texts(spec: RunSpec, task: str) -> None:
    """Raise when a plugin that works on a task, such as the one named, is given texts.

    Raises:
        InputError: texts or a file of them were given.
    """
    if spec.data.texts or spec.data.path:
        raise InputError(
            f"{spec.name} works on the problems of a task, and texts were given", hint=_hint(task)
        )


def _hint(task: str) -> str:
    return (
        f"--task '{task}'; --task FILE.jsonl takes your own problems, of a question and an answer "
        "each; `workbench reason tasks` lists the others"
    )


def _ask(
    task: Task, problems: Sequence[Problem], model: Model, context: Context
) -> Sequence[_Asked]:
    if not problems:
        raise TooLittleData("the task holds no problem", hint="see `workbench reason tasks`")
    ends = stop_ids(model, task)
    return [
        _Asked(
            problem=problem,
            prompt=Prompt(
                question=problem.question, ids=prompt_ids(model, task, problem), stop_ids=ends
            ),
            seed=int(context.stream(f"problem {problem.id}").integers(2**62)),
        )
        for problem in problems
    ]


def _solve_batch(
    recipe: Reasoner,
    batch: Sequence[tuple[int, _Asked]],
    task: Task,
    model: Model,
    context: Context,
) -> dict[int, Solved]:
    clock = time.perf_counter()
    chains = recipe.solve(
        model,
        [asked.prompt for _, asked in batch],
        seeds=[asked.seed for _, asked in batch],
        context=context,
    )
    seconds = (time.perf_counter() - clock) / len(batch)
    if len(chains) != len(batch):
        raise PluginError(f"{len(chains)} chains for {len(batch)} prompts; expected one each")
    return {
        i: _graded(task, asked.problem, chain, seconds)
        for (i, asked), chain in zip(batch, chains, strict=True)
    }


def _graded(task: Task, problem: Problem, chain: Chain, seconds: float) -> Solved:
    return Solved(
        problem=problem,
        chain=chain,
        verdict=judge(task, problem, chain.response, is_cut=not chain.is_finished),
        seconds=seconds,
        n_choices=len(task.choices(problem)) if isinstance(task, Choices) else 0,
    )
