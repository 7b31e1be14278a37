"""One forward pass for all probes: every row is counted or named, whatever it holds."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from workbench.methods.contracts import Example
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.trace import Trace
from workbench.runs.batching import Batch, Plan, group_by_length, plan
from workbench.runs.reading import BadRow


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most tokens of one text and of one forward pass, padding included."""

    max_tokens: int
    batch_tokens: int


class Passes:
    """The forward passes over some rows; `bad` grows with the rows that could not be used."""

    def __init__(self, model: Model, sites: Sequence[Site], limits: Limits) -> None:
        """Name what is read in every pass."""
        self.model, self.sites, self.limits = model, tuple(sites), limits
        self.bad: list[BadRow] = []
        self.n_cut = self.n_tokens = self.n_good = 0

    def traces(self, examples: Sequence[Example]) -> Iterator[tuple[Trace, tuple[Example, ...]]]:
        """Yield one trace per batch of texts of similar length."""
        work = self._plan(examples)
        if work is None:
            return
        self.n_cut += work.n_cut
        for batch in work.batches():
            found = self._run(batch)
            if found is not None:
                self.n_good += len(found[1])
                self.n_tokens += sum(found[0].tokens.lengths)
                yield found

    def _plan(self, examples: Sequence[Example]) -> Plan | None:
        work = plan(
            self.model,
            examples,
            max_tokens=self.limits.max_tokens,
            batch_tokens=self.limits.batch_tokens,
            may_be_empty=True,
        )
        for example, reason in work.skipped:
            self._refuse([example], reason)
        short = [self._too_short(len(row)) for row in work.rows]
        for example, reason in zip(work.examples, short, strict=True):
            if reason:
                self._refuse([example], reason)
        kept = [i for i, reason in enumerate(short) if not reason]
        return _take(work, kept, self.limits.batch_tokens) if kept else None

    def _too_short(self, length: int) -> str:
        for site in self.sites:
            for position in site.positions or ():
                if not -length <= position < length:
                    return f"the text has {length} tokens; {site} reads position {position}"
        return ""

    def _run(self, batch: Batch) -> tuple[Trace, tuple[Example, ...]] | None:
        trace = self.model.run(batch.tokens, read=self.sites)
        non_finite = non_finite_rows(trace)
        if not non_finite:
            return trace, batch.examples
        for i, site in non_finite.items():
            self._refuse([batch.examples[i]], f"{site} holds NaN or infinity")
        kept = [i for i in range(len(batch.examples)) if i not in non_finite]
        if not kept:
            return None
        fewer = Batch(
            tokens=batch.tokens.take(kept), examples=tuple(batch.examples[i] for i in kept)
        )
        return self._run(fewer)

    def _refuse(self, examples: Sequence[Example], reason: str) -> None:
        self.bad += [BadRow(source=example.source, reason=reason) for example in examples]


def non_finite_rows(trace: Trace) -> dict[int, Site]:
    """Return the rows of which a real token's activation is not finite, each with one site."""
    found: dict[int, Site] = {}
    sums = [x.sum(dtype=torch.float32) for x in trace.activations.values()]
    # A sum is finite only if every term is; one copy tells of all sites.
    together = torch.stack([one.to(sums[0].device) for one in sums]).tolist() if sums else []
    for (site, x), total in zip(trace.activations.items(), together, strict=True):
        if math.isfinite(total):
            continue
        rows = _non_finite(x, site, trace.tokens.mask.to(x.device))
        found.update((int(i), site) for i in rows.nonzero().flatten())
    return found


def _non_finite(x: Tensor, site: Site, mask: Bool[Tensor, "batch pos"]) -> Bool[Tensor, " batch"]:
    if site.kind is Kind.ATTN_PATTERN:
        return (~torch.isfinite(x)).flatten(2).any(-1).any(-1)
    broken = (~torch.isfinite(x)).flatten(2).any(-1)
    return (broken & mask if site.positions is None else broken).any(dim=1)


def _take(work: Plan, kept: Sequence[int], budget: int) -> Plan:
    if len(kept) == len(work.rows):
        return work
    rows = tuple(work.rows[i] for i in kept)
    return replace(
        work,
        rows=rows,
        offsets=tuple(work.offsets[i] for i in kept),
        examples=tuple(work.examples[i] for i in kept),
        groups=tuple(group_by_length([len(row) for row in rows], budget)),
    )
