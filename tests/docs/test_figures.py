"""Every figure of the pages stands beside what made it, and the cheap ones come out again."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from workbench.result.result import Result
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.sampling.task import open_task

ROOT = Path(__file__).resolve().parents[2]
_ELSEWHERE = {"reference", "decisions"}
_NUMBER = r"[−-]?\d+(?:\.\d+)?"
_WITH_INTERVAL = re.compile(rf"({_NUMBER})\s\[({_NUMBER}),\s({_NUMBER})\]")
_COMMAND = re.compile(r"(?m)^\s*workbench \w|`workbench\s\w|`make \w|`docs/notebooks/\w+\.py`")


@dataclass(frozen=True)
class Figure:
    """A value with its interval."""

    value: float
    low: float
    high: float

    def agrees(self, value: float, low: float, high: float, *, rounding: float = 0.001) -> bool:
        """Whether each value lies in the other's interval."""
        here = self.low - rounding <= value <= self.high + rounding
        return here and low - rounding <= self.value <= high + rounding


def pages() -> list[Path]:
    """Return the pages that are written by hand; generated ones and decisions are left out."""
    found = [
        p for p in (ROOT / "docs").rglob("*.md") if not {"reference", "decisions"} & set(p.parts)
    ]
    return [ROOT / "README.md", *sorted(found)]


def sections(text: str) -> list[str]:
    """Return the sections of a page, each with its heading."""
    return re.split(r"\n(?=#+ )", text)


def intervals(text: str) -> list[Figure]:
    """Return all values that stand with an interval, in order."""
    rows = _WITH_INTERVAL.findall(text)
    return [Figure(*(float(x.replace("−", "-")) for x in row)) for row in rows]


def row(page: str, label: str) -> list[Figure]:
    """Return the values with intervals in the table row of a page that holds a label."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    lines = [
        line
        for line in text.splitlines()
        if line.startswith("|") and label in line and intervals(line)
    ]
    assert len(lines) == 1, f"{len(lines)} rows of {page} hold {label!r}"
    return intervals(lines[0])


def has_command(section: str) -> bool:
    """Whether a section names what makes its figures."""
    return _COMMAND.search(section) is not None


BLOCKS = "blocksworld?blocks=4&brief=yes&part=test"


def test_figures_are_read_from_a_page() -> None:
    text = "| `a` | 0.690 [0.652, 0.728] | −0.02 [−0.1, 0.04] |\nand 12 [3, 4] of 5"
    assert intervals(text) == [
        Figure(0.69, 0.652, 0.728), Figure(-0.02, -0.1, 0.04), Figure(12, 3, 4)
    ]  # fmt: skip
    assert Figure(0.5, 0.4, 0.6).agrees(0.58, 0.45, 0.7)
    assert not Figure(0.5, 0.4, 0.6).agrees(0.58, 0.55, 0.7)
    assert not Figure(0.5, 0.4, 0.6).agrees(0.7, 0.4, 0.8)
    assert not has_command("a workbench of 3 commands")
    assert has_command("```\nworkbench bench batch\n```")


def test_every_section_with_an_interval_names_what_made_it() -> None:
    missing = [
        f"{page.name}: {section.splitlines()[0]}"
        for page in pages()
        for section in sections(page.read_text(encoding="utf-8"))
        if intervals(section) and not has_command(section)
    ]
    assert missing == []
    assert sum(len(intervals(page.read_text(encoding="utf-8"))) for page in pages()) > 40


def _compare(label: str, result: Result, estimate: str, page: str, column: int = 0) -> None:
    found = result.estimate(estimate)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    told = row(page, label)[column]
    assert told.agrees(found.value, found.low, found.high), f"{label}: {told} and {found}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no-cot", "cot", "sentence-discretized", "sentence-continuous"])
def test_accuracy_of_sentence_reasoning(name: str, store_path: object) -> None:
    run = wb.execute(
        RunSpec(
            kind="reasoner",
            name=name,
            model=ModelRef(name="blocksworld-sentences"),
            data=DataRef(task=BLOCKS, limit=735),
        )
    )
    assert run.result is not None
    assert run.result.estimate("accuracy").n == 735
    _compare(f"| `{name}` |", run.result, "accuracy", "howto/sentence-reasoning.md")


@pytest.mark.slow
def test_the_lens_on_solutions(store_path: object) -> None:
    run = wb.execute(
        RunSpec(
            name="sentence-lens",
            options={"sentences": 40, "every": 30, "of": "written"},
            data=DataRef(path="shipped:gsm8k_sample.jsonl", field="answer"),
        )
    )
    assert run.result is not None
    page = "howto/sentence-lens.md"
    names = {e.name for e in run.result.estimates}
    own = "words in common, codec's own vectors"
    _compare("codec's own vectors, shipped texts", run.result, own, page)
    for way in ("raw", "normed", "tuned"):
        for column, what in enumerate(("words in common", "faithfulness")):
            name = next(n for n in names if re.fullmatch(rf"{what}, {way}, layer \d+", n))
            _compare(f"`{way}`, shipped texts", run.result, name, page, column)


@pytest.mark.slow
def test_forced_sentences(store_path: object) -> None:
    problems = open_task(BLOCKS).problems(32, np.random.default_rng(0))
    run = wb.execute(
        RunSpec(
            name="sentence-lens",
            model=ModelRef(name="blocksworld-sentences"),
            options={"every": 100, "step": 2, "tuned": False, "normed": False},
            data=DataRef(texts=tuple(p.question for p in problems)),
        )
    )
    assert run.result is not None
    assert any("written in 31 of 31" in note.text for note in run.result.notes)
