"""Continuations for models that cannot share a prefix: ordinary batched generation."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import Choice, Host, Sampling, Step
from workbench.model.sites import Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens, pad
from workbench.sampling.branch import Row, draw_tokens


def generate_rows(
    model: Model, rows: Sequence[Row], sampling: Sampling, stop_ids: Collection[int]
) -> None:
    """Draw the tokens of rows that have their first one, until each has ended.

    Every prefix is run once, however many rows continue it.
    """
    prompts = sorted({row.before for row in rows}, key=len)
    prefix = model.prefill(pad(prompts, side="left"))
    prefix = prefix.take([prompts.index(row.before) for row in rows])
    policy = _Draws(rows=tuple(rows), sampling=sampling, stop_ids=stop_ids)
    model.generate(
        prefix,
        policy=policy,
        limit=max(row.limit for row in rows),
        options=GenerationOptions(stop_ids=()),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Draws:
    """Feed the tokens that rows have, then draw from each row's own generator."""

    rows: tuple[Row, ...]
    sampling: Sampling
    stop_ids: Collection[int]

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """Read nothing."""
        return ()

    def begin(self, prompt: Tokens, model: Host) -> "_Draws":
        """Keep no other state than that of the rows."""
        return self

    def choose(self, step: Step) -> Choice:
        """Return every row's next token; a row that has ended says so."""
        if step.index:
            greedy = self.sampling.temperature == 0
            p = self.sampling.distribution(step.logits.float())
            live = [i for i, runs in enumerate(step.live) if runs]
            p = p if len(live) == len(self.rows) else p[live]
            draw_tokens([self.rows[i] for i in live], p, self.stop_ids, greedy=greedy)
        device = step.logits.device
        return Choice(
            tokens=torch.tensor([row.tokens[-1] for row in self.rows], device=device),
            stop=torch.tensor([row.is_done for row in self.rows], device=device),
        )
