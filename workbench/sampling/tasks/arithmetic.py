"""Generated arithmetic word problems of one or two steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.grading import NumberGrader
from workbench.sampling.task import Problem
from workbench.sampling.tasks.verified import Verified

_NAMES = ("Ana", "Ben", "Chen", "Dora", "Emil", "Farid", "Grace", "Hana", "Ivan", "Jules")
_THINGS = ("apples", "books", "coins", "stamps", "marbles", "pencils", "shells", "tickets")
_STORIES = {
    "+": "{name} has {a} {things} and gets {b} more.",
    "-": "{name} has {a} {things} and gives away {b}.",
    "*": "{name} has {a} boxes with {b} {things} in each box.",
}
_EXAMPLES = {
    1: """Question: Tom has 12 pears and gives away 5. How many pears does Tom have now?
Answer: 12 - 5 = 7. The answer is 7.

Question: Mia has 3 boxes with 6 cards in each box. How many cards does Mia have now?
Answer: 3 * 6 = 18. The answer is 18.

Question: {question}
Answer:""",
    2: """Question: Tom has 12 pears and gives away 5. Then Tom finds 3 more pears. \
How many pears does Tom have now?
Answer: 12 - 5 = 7. 7 + 3 = 10. The answer is 10.

Question: Mia has 3 boxes with 6 cards in each box. Then Mia finds 4 more cards. \
How many cards does Mia have now?
Answer: 3 * 6 = 18. 18 + 4 = 22. The answer is 22.

Question: {question}
Answer:""",
}
_THEN = {
    "+": "Then {name} finds {c} more {things}.",
    "-": "Then {name} loses {c} of the {things}.",
}


@register("task", "arithmetic")
@dataclass(frozen=True, kw_only=True)
class Arithmetic(Verified):
    """Word problems with one or two operations on small whole numbers, drawn at random.

    The model is shown two worked examples of as many steps and continues the text with one line;
    with `examples` off it is asked through its chat template.
    """

    steps: int = option(2, help="Operations in one problem.", low=1, high=2)
    largest: int = option(20, help="Largest number in a problem.", low=5, high=1000)
    examples: bool = option(True, help="Show two worked examples before the question.")

    verifier = NumberGrader()

    @property
    def is_chat(self) -> bool:
        """Whether the question is asked as a message."""
        return not self.examples

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Draw `limit` different problems."""
        found: dict[str, Problem] = {}
        while len(found) < limit:
            problem = self._draw(generator)
            found.setdefault(problem.question, problem)
        return list(found.values())

    def prompt(self, problem: Problem) -> str:
        """Return the question with the asked-for form of the answer."""
        if self.examples:
            return _EXAMPLES[self.steps].format(question=problem.question)
        return (
            f"{problem.question} Think step by step in one or two short sentences, "
            'then finish with "The answer is" and the number.'
        )

    def _draw(self, generator: np.random.Generator) -> Problem:
        name, things = generator.choice(_NAMES), generator.choice(_THINGS)
        first = str(generator.choice(list(_STORIES)))
        a, b = self._numbers(first, generator)
        total = {"+": a + b, "-": a - b, "*": a * b}[first]
        text = _STORIES[first].format(name=name, things=things, a=a, b=b)
        steps = [f"{a} {first} {b} = {total}"]
        if self.steps == 2:
            second = "-" if total > 2 and generator.random() < 0.5 else "+"
            c = int(generator.integers(1, min(total, self.largest) if second == "-" else 20))
            text += " " + _THEN[second].format(name=name, things=things, c=c)
            after = total - c if second == "-" else total + c
            steps.append(f"{total} {second} {c} = {after}")
            total = after
        question = f"{text} How many {things} does {name} have now?"
        return Problem(id=question, question=question, answer=str(total), steps=tuple(steps))

    def _numbers(self, operation: str, generator: np.random.Generator) -> tuple[int, int]:
        if operation == "*":
            a, b = generator.integers(2, max(3, self.largest // 5), size=2)
            return int(a), int(b)
        a = int(generator.integers(5, self.largest + 1))
        b = int(generator.integers(1, a if operation == "-" else self.largest + 1))
        return a, b
