"""Graded rollouts of one trajectory: a journal of outcomes and the driver of adaptive scans."""

import copy
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from workbench.sampling.branch import Branch
from workbench.sampling.rollout import Rollout, RolloutQueue, Trajectory

AHEAD = 4
"""Positions drawn at the same time, the most urgent first."""
FIRST = 4
"""Continuations drawn at a position before any of them is known."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One graded continuation: its tokens after the prefix and whether its answer is right."""

    branch: Branch
    tokens: tuple[int, ...]
    success: bool
    stopped: bool


class Journal:
    """Outcomes of one trajectory, kept line by line so that a stopped run goes on from there."""

    def __init__(self, path: Path | None) -> None:
        """Read what an earlier run left; a line cut off by a crash is drawn again."""
        self.path = path
        self.outcomes: dict[Branch, Outcome] = {}
        if path is not None and path.is_file():
            text = path.read_text(encoding="utf-8")
            for line in text.splitlines():
                self._take(line)
            if not text.endswith("\n"):
                with path.open("a", encoding="utf-8") as stream:
                    stream.write("\n")

    def add(self, outcome: Outcome) -> None:
        """Keep one outcome."""
        self.outcomes[outcome.branch] = outcome
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            branch = outcome.branch
            row = [branch.position, branch.draw, branch.banned, branch.full]
            line = json.dumps([row, list(outcome.tokens), outcome.success, outcome.stopped])
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")

    def _take(self, line: str) -> None:
        try:
            (position, draw, banned, full), tokens, success, stopped = json.loads(line)
        except ValueError:
            return
        branch = Branch(position=position, draw=draw, banned=banned, full=full)
        self.outcomes[branch] = Outcome(
            branch=branch, tokens=tuple(tokens), success=bool(success), stopped=bool(stopped)
        )


@runtime_checkable
class Scan(Protocol):
    """A decision that asks for draws: `rules.BackwardScan` or `Screening`."""

    spent: dict[int, int]

    def pending(self) -> list[int]:
        """Positions that need draws, the most urgent first."""

    def need(self, position: int) -> int:
        """At most how many more draws can matter there."""

    def record(self, position: int, *, success: bool) -> None:
        """Count one outcome."""


@dataclass(kw_only=True)
class GradedRollouts:
    """Draws and grades continuations of one trajectory, each at most once.

    `grade` judges the whole response text, prefix included, and is told whether a limit ended it.
    `fresh` counts continuations drawn
    now, the journal's left out; `new_tokens` their tokens.
    """

    trajectory: Trajectory
    stop_ids: Sequence[int]
    decode: Callable[[Sequence[int]], str]
    grade: Callable[[str, bool], bool]
    journal: Journal
    fresh: int = 0
    new_tokens: int = 0
    used: set[Branch] = field(default_factory=set)

    def draw(self, branches: Iterable[Branch]) -> dict[Branch, Outcome]:
        """Return the outcomes of these branches, drawing those not in the journal."""
        wanted = list(branches)
        missing = [b for b in wanted if b not in self.journal.outcomes]
        if missing:
            queue = RolloutQueue(self.trajectory, stop_ids=self.stop_ids)
            queue.add(missing)
            for rollout in queue:
                self._judge(rollout)
        self.used.update(wanted)
        return {branch: self.journal.outcomes[branch] for branch in wanted}

    def drive(self, scan: Scan) -> None:
        """Draw what a scan asks for, deepest first, until it asks for nothing.

        Rows that would stand idle draw ahead at less urgent positions. The scan itself counts
        only what it would ask for one draw at a time, so that neither its decision nor its
        counts depend on which row finishes first, on the number of rows, or on a resumption.
        """
        self._draw_ahead(copy.deepcopy(scan))
        while todo := scan.pending():
            branch = Branch(position=todo[0], draw=scan.spent[todo[0]])
            scan.record(todo[0], success=self.draw([branch])[branch].success)

    def _draw_ahead(self, scan: Scan) -> None:
        queue = RolloutQueue(self.trajectory, stop_ids=self.stop_ids)
        issued: dict[int, int] = defaultdict(int)
        flying = self._ask(scan, queue, issued, set())
        while flying:
            for rollout in queue:
                self._judge(rollout)
                flying.discard(rollout.branch)
                self._count(scan)
                flying |= self._ask(scan, queue, issued, flying)
            self._count(scan)
            flying = self._ask(scan, queue, issued, set())

    def _ask(
        self, scan: Scan, queue: RolloutQueue, issued: dict[int, int], flying: set[Branch]
    ) -> set[Branch]:
        room = self.trajectory.options.rows - len(flying)
        new: set[Branch] = set()
        for position in scan.pending()[:AHEAD]:
            waiting = issued[position] - scan.spent[position]
            # As many at once as are known already: a position that is alive shows it early.
            at_once = min(scan.need(position), max(FIRST, scan.spent[position]))
            for _ in range(at_once - waiting):
                if len(new) >= room:
                    break
                branch = Branch(position=position, draw=issued[position])
                issued[position] += 1
                self.used.add(branch)
                if branch in self.journal.outcomes:
                    self._count(scan)
                    continue
                new.add(branch)
            if len(new) >= room:
                break
        queue.add(new)
        return new

    def _count(self, scan: Scan) -> None:
        """Hand over every outcome whose turn has come."""
        for position in scan.pending():
            while scan.need(position):
                branch = Branch(position=position, draw=scan.spent[position])
                if branch not in self.used or branch not in self.journal.outcomes:
                    break
                scan.record(position, success=self.journal.outcomes[branch].success)

    def _judge(self, rollout: Rollout) -> None:
        prefix = self.trajectory.response[: rollout.branch.position]
        text = self.decode([*prefix, *(t for t in rollout.tokens if t not in self.stop_ids)])
        self.fresh += 1
        self.new_tokens += len(rollout.tokens)
        self.journal.add(
            Outcome(
                branch=rollout.branch,
                tokens=rollout.tokens,
                success=self.grade(text, not rollout.stopped),
                stopped=rollout.stopped,
            )
        )
