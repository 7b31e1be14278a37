"""How a response in words fails: in form, by contradiction, in sums and against the graph."""

import ast
import operator
import re
import unicodedata
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation

from workbench.sampling import conventions
from workbench.sampling.choice_words import WordGrader
from workbench.sampling.evaluation import Verdict
from workbench.sampling.grading import NumberGrader
from workbench.sampling.task import Problem

_RUN = 8
_FORM = {
    "empty": "Responses without a word.",
    "unread": "Responses that end and give no answer in the form asked for.",
    "unfinished": "Responses that the limit of tokens ended before their answer was sure.",
    "repeats": f"Responses that say a run of {_RUN} words of the question again.",
    "foreign": "Responses with letters of a script that the question has none of.",
}
_CONTENT = {
    "contradicts": "Responses that state two different answers.",
    "miscalculates": "Responses with an equation of numbers that does not hold.",
    "invents": "Responses that call one thing the cause of another where neither is.",
    "reverses": "Responses that call an effect the cause of its own cause.",
    "unsound": "Right answers whose response calculates, invents or reverses wrongly.",
}
ERRORS = {**_FORM, **_CONTENT}

_EQUATION = re.compile(
    r"(?<![\w.=])([-(\d][\d.()+\-*/×÷·– ]{0,80})=\s*(-?\d+(?:\.\d+)?)(?![\d%]|\.\d)"
)
_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "–": "-"})
_BINARY: dict[type, Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv
}  # fmt: skip
_CAUSES = r"(?:directly )?(?:causes|affects|influences|leads to|is an? (?:direct )?cause of|-+>|→)"


def failures(problem: Problem, response: str, verdict: Verdict) -> dict[str, bool | None]:
    """Return of which kinds of error a response is; None where nothing could be of that kind.

    A claim about causes is read between two names of the question, and judged where the record
    of the question holds its one graph: a cause by way of others is a cause.

    Source: quantitative errors of Chen et al. 2024, section 6; runs of words in place of the
    openings of their prompts, and any script in place of Chinese and Latin. Their qualitative
    errors are judged by readers: the last five kinds are those that can be computed.
    """
    asked, said = problem.question.lower().split(), " ".join(response.lower().split())
    runs = (" ".join(asked[i : i + _RUN]) for i in range(len(asked) - _RUN + 1))
    found: dict[str, bool | None] = {
        "empty": not said,
        "unread": bool(said) and verdict.answer is None and verdict.is_finished,
        "unfinished": not verdict.is_finished,
        "repeats": any(run in said for run in runs),
        "foreign": bool(_scripts(response) - _scripts(problem.question)),
        "contradicts": len(_stated(problem, response)) > 1,
        "miscalculates": any(not holds for holds in equations(response)),
        **_claims(problem, response),
    }
    is_wrong = any(found[kind] for kind in ("miscalculates", "invents", "reverses"))
    return {**found, "unsound": is_wrong if verdict.is_correct else None}


def _scripts(text: str) -> set[str]:
    """Return the first words of the names of all letters, such as LATIN."""
    return {unicodedata.name(x, "?").split()[0] for x in set(text) if x.isalpha()}


def _stated(problem: Problem, response: str) -> set[str]:
    """Return every answer stated: the word that a response opens with, and behind "answer is"."""
    own = conventions.before_next_question(response)
    clauses = [c.text for c in conventions.answer_clauses(own) if not c.is_negated]
    words = tuple(problem.fields.get("choices", ()))
    if not words:
        numbers = (NumberGrader().extract(f"The answer is {clause}") for clause in clauses)
        return {number for number in numbers if number is not None}
    opening = re.match(r"\W*(\w+)\s*(?:[.,;:!]|$)", own)
    parts = [*clauses, *([opening[1]] if opening else [])]
    stated = (WordGrader(words=words).extract(part) for part in parts)
    return {word.lower() for word in stated if word is not None}


def equations(text: str) -> Iterator[bool]:
    """Yield of every equation of numbers whether it holds to the places of its right side."""
    for left, right in _EQUATION.findall(text):
        if not re.search(r"\d\s*[-+*/×÷·–]", left):
            continue
        try:
            value = _value(ast.parse(left.translate(_SIGNS).strip(), mode="eval").body)
            places = Decimal(1).scaleb(-len(right.partition(".")[2]))
            yield abs(value - Decimal(right)) < places
        except (SyntaxError, ValueError, ArithmeticError, InvalidOperation, RecursionError):
            continue


def _value(node: ast.expr) -> Decimal:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Decimal(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _BINARY[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError("no sum of numbers")


def _claims(problem: Problem, response: str) -> dict[str, bool | None]:
    """Return whether a claim has no way behind it, and whether one has its way turned round."""
    meta = problem.fields.get("meta") or {}
    edges = meta.get("edges") or problem.fields.get("edges") or ()
    asked = {
        n for edge in edges for n in edge if re.search(rf"\b{re.escape(n)}\b", problem.question)
    }
    if not asked or meta.get("class_size", 1) != 1:
        return {"invents": None, "reverses": None}
    name = "|".join(map(re.escape, sorted(asked, key=len, reverse=True)))
    claimed = re.findall(rf"(?=\b({name})\b\s*{_CAUSES}\s*\b({name})\b)", response)
    known = _ways(edges)
    wrong = {(a, b) for a, b in claimed if a != b and (a, b) not in known}
    turned = {(a, b) for a, b in wrong if (b, a) in known}
    return {"invents": bool(wrong - turned), "reverses": bool(turned)}


def _ways(edges: object) -> set[tuple[str, str]]:
    """Return every pair of which the first is a cause of the second, directly or not."""
    found = {(str(a), str(b)) for a, b in edges}  # type: ignore[attr-defined]
    while more := {(a, d) for a, b in found for c, d in found if b == c} - found:
        found |= more
    return found
