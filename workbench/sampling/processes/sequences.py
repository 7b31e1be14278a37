"""Tasks whose problems are sequences of a process: which symbol comes next?"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import BadRows, DataError, TooLittleData, WorkbenchError
from workbench.options import option
from workbench.sampling.conventions import Found
from workbench.sampling.processes.process import (
    Process,
    exact_fields,
    read_symbols,
    written,
)
from workbench.sampling.rows import json_rows
from workbench.sampling.task import Problem, open_task

_TRIES = 20
_FIRST_SYMBOL = "first-symbol"


@dataclass(frozen=True, kw_only=True)
class SequenceTask(ABC):
    """Sequences of a process, drawn by seed or read from a file that such a task wrote.

    The reference answer is the likeliest next symbol, which the first word of a response must be.
    The fields of a problem hold the process, the hidden states of a drawn sequence, and what is
    known after each symbol: beliefs, distribution of the next symbol, its entropy in nats.
    """

    path: str = option("", help="JSONL file of such sequences, drawn where none is named.")
    length: int = option(24, help="Symbols of a sequence.", low=1, high=4096)

    is_chat = False
    answer_lead = ""

    @abstractmethod
    def drawn_process(self) -> Process:
        """Return the process that the options describe."""

    @abstractmethod
    def read_process(self, values: Mapping[str, Any]) -> Process:
        """Return the process that a row of a file describes."""

    def process(self) -> Process:
        """Return the process that sequences come from: that of the first row of a file.

        Raises:
            DataError: the file cannot be read, or its process is none.
        """
        if not self.path:
            return self.drawn_process()
        named = (row["process"] for _, row in json_rows(Path(self.path)) if "process" in row)
        found = next(named, None)
        if found is None:
            return self.drawn_process()
        if not isinstance(found, dict):
            raise DataError(f"{self.path}: process is no object", hint="draw the file again")
        return self.read_process(found)

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Draw or read up to `limit` different sequences.

        Raises:
            TooLittleData: there are not so many.
            BadRows: rows that are no sequences of the process; all are named.
        """
        if self.path:
            return self._read(limit)
        process, found = self.drawn_process(), dict[str, Problem]()
        for _ in range(_TRIES):
            ids, states = process.sample(limit, self.length, generator)
            for row, hidden in zip(ids.tolist(), states.tolist(), strict=True):
                text = written(process, row)
                if len(found) < limit and text not in found:
                    found[text] = _problem(process, row, {"states": hidden})
            if len(found) == limit:
                return list(found.values())
        raise TooLittleData(
            f"found {len(found)} different sequences of {self.length} symbols; {limit} were "
            "asked for",
            hint="ask for fewer, or for longer ones",
        )

    def prompt(self, problem: Problem) -> str:
        """Return the symbols, which the model continues."""
        return problem.question

    def is_correct(self, problem: Problem, response: str) -> bool:
        """Whether the response begins with the likeliest next symbol."""
        return self.extract(response) == problem.answer

    def extract(self, response: str) -> str | None:
        """Return the first word of a response if it is a symbol."""
        first = next(iter(response.split()), "")
        return first if first in self.process().symbols else None

    def find(self, response: str) -> Found:
        """Return the first word of a response with the convention."""
        return Found(
            answer=self.extract(response), convention=_FIRST_SYMBOL, grader="word", is_closed=True
        )

    def choices(self, problem: Problem) -> Sequence[str]:
        """Return the symbols."""
        return self.process().symbols

    def _read(self, limit: int) -> Sequence[Problem]:
        process, found, bad = self.process(), list[Problem](), list[str]()
        told = process.as_dict()
        name = Path(self.path).name
        for line, row in json_rows(Path(self.path)):
            if len(found) == limit:
                break
            try:
                if row.get("process", told) != told:
                    raise DataError("its process is not that of the first row")
                ids = read_symbols(process, str(row.get("question") or row.get("text") or ""))
                kept = {"states": row["states"]} if "states" in row else {}
                found.append(_problem(process, ids, kept))
            except WorkbenchError as error:
                bad.append(f"{name}:{line}: {error.message}")
        if bad or not found:
            raise BadRows(
                "; ".join(bad[:20]) or f"{self.path} holds no row", hint="mend or remove these rows"
            )
        return found


def _problem(process: Process, ids: Sequence[int], more: Mapping[str, Any]) -> Problem:
    text, known = written(process, ids), exact_fields(process, ids)
    return Problem(
        id=sha256(text.encode()).hexdigest()[:12],
        question=text,
        answer=process.symbols[int(np.argmax(known["next"][-1]))],
        fields={**more, **known, "process": process.as_dict()},
    )


def open_sequences(address: str) -> SequenceTask:
    """Return the task of an address whose problems are sequences of a process.

    Raises:
        DataError: it is another kind of task.
    """
    task = open_task(address)
    if not isinstance(task, SequenceTask):
        raise DataError(
            f"{address} draws no sequences of a process",
            hint="hidden-markov?kind=mess3 or latent-class",
        )
    return task
