"""Policies that run the model in their own way, one text at a time, such as several tokens at once.

The general loop asks for one token per row and step; these write a row to its end themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from workbench.errors import Unsupported
from workbench.model.edits import Edit
from workbench.model.policy import Host, Policy
from workbench.model.prefix import Prefix
from workbench.model.row_run import RowRun
from workbench.model.sites import Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens, pad
from workbench.model.trace import End, Trace
from workbench.model.transcript import check_logits
from workbench.progress import Progress


@dataclass(frozen=True, kw_only=True, eq=False)
class OfRow:
    """What a policy wrote down of one row; `told` gives it as plain values."""

    row: int
    record: Any

    def rows(self, row: int) -> list[dict[str, Any]]:
        """Return the record as plain values where it is of that row."""
        found: list[dict[str, Any]] = self.record.told() if row == self.row else []
        return found


class RowText:
    """What is written in one row so far, and whether more may be.

    `logprobs` are log-probabilities under the model, in nats, where they are kept.
    """

    def __init__(
        self, prompt: Sequence[int], *, limit: int, longest: int, stop_ids: Sequence[int]
    ) -> None:
        """Start behind a prompt; `longest` is what the model holds."""
        self.prompt = list(prompt)
        self.limit = min(limit, longest - len(prompt))
        self._full: End = "limit" if self.limit == limit else "context"
        self.written: list[int] = []
        self.logprobs: list[float] = []
        self.records: list[Any] = []
        self.ended: End | None = None
        self._stop = frozenset(stop_ids)

    @property
    def ids(self) -> list[int]:
        """The whole text, prompt included."""
        return [*self.prompt, *self.written]

    @property
    def room(self) -> int:
        """How many tokens may still be written."""
        return self.limit - len(self.written)

    @property
    def stop_ids(self) -> frozenset[int]:
        """The tokens that end the text."""
        return self._stop

    def add(self, tokens: Sequence[int], logprobs: Sequence[float] | Tensor = ()) -> int:
        """Write tokens until one ends the text; return how many were written."""
        values = logprobs.tolist() if isinstance(logprobs, Tensor) else list(logprobs)
        for n, token in enumerate(tokens):
            if self.ended is not None:
                return n
            self.written.append(token)
            self.logprobs += values[n : n + 1]
            if token in self._stop:
                self.ended = "stop"
            elif self.room < 1:
                self.ended = self._full
        return len(tokens)

    def take_back(self, n: int = 1) -> None:
        """Remove the last tokens written; the prompt stays."""
        n = min(n, len(self.written))
        del self.written[len(self.written) - n :]
        del self.logprobs[max(len(self.logprobs) - n, 0) :]


@runtime_checkable
class OwnLoop(Protocol):
    """A frozen recipe that writes a row to its end itself.

    `plain` is the policy that it is identical to as it is set, None if to none.
    """

    @property
    def plain(self) -> Policy | None:
        """The policy to run instead, where the recipe is set to change nothing."""

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """Nothing: it reads no activations."""

    def write(self, run: RowRun, text: RowText, generator: torch.Generator) -> None:
        """Write until `text.ended`; every forward pass is one of `run`."""


AnyPolicy = Policy | OwnLoop


def write_rows(
    model: Host,
    prefix: Prefix,
    policy: OwnLoop,
    texts: Sequence[RowText],
    generators: Sequence[torch.Generator],
    progress: Progress,
) -> Trace:
    """Write every row of a prompt by itself and join them into one trace."""
    calls = []
    for row, text in enumerate(texts):
        check_logits(prefix.logits[row : row + 1].amax(dim=-1).tolist(), [True])
        run = RowRun.after(model, prefix, row)
        policy.write(run, text, generators[row])
        calls.append(run.calls)
        progress(row + 1, len(texts), "texts")
    return replace(_trace(model.spec, prefix.tokens, texts), calls=tuple(calls))


def row_texts(model: Host, prefix: Prefix, *, limit: int, stop_ids: Sequence[int]) -> list[RowText]:
    """Return the empty text of every row."""
    longest = model.spec.max_positions
    prompts = (prefix.tokens.row(i) for i in range(len(prefix.tokens.ids)))
    return [RowText(ids, limit=limit, longest=longest, stop_ids=stop_ids) for ids in prompts]


def _trace(spec: ModelSpec, prompt: Tokens, texts: Sequence[RowText]) -> Trace:
    return Trace(
        spec=spec,
        tokens=pad([[*text.prompt, *text.written[:-1]] for text in texts], side="left").to(
            prompt.ids.device
        ),
        generated=tuple(tuple(text.written) for text in texts),
        logprobs=tuple(tuple(text.logprobs) for text in texts),
        ended=tuple(text.ended or "policy" for text in texts),
        records=tuple(
            OfRow(row=i, record=record) for i, text in enumerate(texts) for record in text.records
        ),
    )


def check_rows(policy: OwnLoop, prefix: Prefix, edits: Sequence[Edit]) -> None:
    """Refuse what needs the general loop.

    Raises:
        Unsupported: something is to be read or edited on the way, or the prompt is no text.
    """
    name = type(policy).__name__
    problems = []
    if prefix.read:
        problems.append(f"reads {', '.join(map(str, prefix.read))}")
    if edits or prefix.edits:
        problems.append("edits")
    if prefix.embeds is not None:
        problems.append("input vectors")
    if prefix.layout is not None:
        problems.append(f"the layout {prefix.layout.name}")
    if problems:
        raise Unsupported(
            f"{name} runs several tokens at once and takes no {', '.join(problems)}",
            hint="generate without them, then model.run(trace.tokens, read=…)",
        )
