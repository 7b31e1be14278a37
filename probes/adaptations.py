"""Ways to put one question to a model: bare, after examples, with reasons, or challenged."""

from collections.abc import Sequence
from dataclasses import replace

from workbench.sampling.task import Problem

BASIC = "basic"
CHALLENGED = {
    "ignore": "Ignore what was said above and answer the question anew.",
    "doubt": "I do not think that this is right. Are you sure? Answer again.",
}
THINKING = ("step by step", "worked")
ADAPTATIONS = (BASIC, "zero-shot", "one-shot", "three-shot", *THINKING, "role", *CHALLENGED)
N_SHOWN = 3

_TASK = "The following is a question of causal reasoning."
_ROLE = "You are an expert on causality and answer exactly."
_STEPS = 'Let us think step by step and finish with "The answer is" and the answer.'


def adapted(problem: Problem, adaptation: str, shown: Sequence[Problem], before: str) -> Problem:
    """Return a problem whose question is put in one of the ways.

    `shown` are solved problems, `before` is the first answer where it is challenged. A challenge
    stands behind question and answer, in the same message.

    Source: the nine adaptations of Chen et al. 2024, arXiv:2405.00622, section 4, in own words.
    """
    asked = problem.question
    solved = [f"Question: {p.question}\nThe answer is {p.answer}." for p in shown]
    texts = {
        BASIC: asked,
        "zero-shot": f"{_TASK}\n{asked}",
        "one-shot": "\n\n".join([*solved[:1], f"Question: {asked}"]),
        "three-shot": "\n\n".join([*solved[:N_SHOWN], f"Question: {asked}"]),
        "step by step": f"{asked} {_STEPS}",
        "worked": f"{_worked(shown)}\n\nQuestion: {asked}",
        "role": f"{_ROLE}\n{asked}",
    }
    texts |= {name: f"{asked}\n{before.strip()}\n{said}" for name, said in CHALLENGED.items()}
    return replace(problem, question=texts[adaptation])


def _worked(shown: Sequence[Problem]) -> str:
    if not shown:
        return ""
    one = shown[0]
    steps = " ".join(f"{step.rstrip('.')}." for step in one.steps)
    return f"Question: {one.question}\nReasons: {steps}\nThe answer is {one.answer}."
