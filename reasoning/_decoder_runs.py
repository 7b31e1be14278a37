"""What each decoder wrote after the same prompts, and how long it took."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from reasoning.candidates import Explained
from reasoning.repetition import ngram_counts
from workbench.methods.contracts import Context, Example
from workbench.model.generation import GenerationOptions, row_generators
from workbench.model.model import Model
from workbench.model.own_loop import AnyPolicy
from workbench.model.policy import RunsOtherwise
from workbench.model.tokens import pad
from workbench.model.trace import End, Trace


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """One text after one prompt; `logprob` is the model's own mean, in nats per token.

    `calls` are the forward passes it took; `kl` is the mean KL, in nats, of the model's own next
    token to that of the same model with parts left out, 0 where none are.
    """

    ids: tuple[int, ...]
    logprob: float
    ended: End
    calls: int = 0
    kl: float = 0.0

    @property
    def counts(self) -> tuple[list[int], list[int]]:
        """The different and all 2-, 3- and 4-grams."""
        return ngram_counts(self.ids)


@dataclass(kw_only=True)
class Written:
    """The texts of one decoder in the order of the prompts, and its seconds per batch.

    `candidates` are those of the prompt that is shown in detail.
    """

    texts: list[Continuation] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    candidates: list[list[dict[str, object]]] = field(default_factory=list)

    def add(self, trace: Trace, seconds: float, shown: int | None, full: Model | None) -> None:
        """Take over one batch; `shown` is the row whose candidates are kept.

        `full` is the model, where the trace is that of one with parts left out.
        """
        calls = trace.calls or tuple(map(len, trace.generated))
        for i, ids in enumerate(trace.generated):
            logprobs, kl = trace.logprobs[i], 0.0
            if full is not None:
                logprobs, kl = _replayed(full, trace, i)
            logprob = float(np.mean(logprobs)) if logprobs else float("nan")
            self.texts.append(
                Continuation(ids=ids, logprob=logprob, ended=trace.ended[i], calls=calls[i], kl=kl)
            )
        self.seconds.append(seconds)
        self.tokens.append(sum(map(len, trace.generated)))
        if shown is not None:
            steps = (r.rows(shown) for r in trace.records if isinstance(r, Explained))
            self.candidates = [rows for rows in steps if rows]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the decoders are run: each over every batch in turn, so that they share the machine."""

    policies: Mapping[str, AnyPolicy]
    new_tokens: int
    batch: int
    stop: bool
    shown: int


def write_all(
    model: Model, prompts: Sequence[Example], plan: Plan, context: Context
) -> tuple[dict[str, Written], bool]:
    """Continue every prompt with every decoder; say whether the user stopped it early.

    Only batches that every decoder has finished are kept, since only those can be compared.
    """
    written = {name: Written() for name in plan.policies}
    _warm_up(model, prompts[0])
    for start in range(0, len(prompts), plan.batch):
        try:
            traces = _write_batch(model, prompts, start, plan, context)
        except KeyboardInterrupt:
            if start == 0:
                raise
            return written, True
        shown = plan.shown - start if 0 <= plan.shown - start < plan.batch else None
        for name, (trace, seconds) in zip(written, traces, strict=True):
            full = model if trace.logits is not None else None
            written[name].add(trace, seconds, shown, full)
    return written, False


def _write_batch(
    model: Model, prompts: Sequence[Example], start: int, plan: Plan, context: Context
) -> list[tuple[Trace, float]]:
    rows = prompts[start : start + plan.batch]
    tokens = model.tokenize([example.text for example in rows], side="left")
    total = len(prompts) * len(plan.policies)
    done = start * len(plan.policies)
    traces = []
    for policy in plan.policies.values():
        generators = row_generators(context.seed, len(prompts), model.device)
        options = GenerationOptions(
            generators=generators[start : start + len(rows)],
            stop_ids=None if plan.stop else (),
            keep_logprobs=True,
            keep_logits=isinstance(policy, RunsOtherwise),
        )
        began = time.perf_counter()
        trace = model.generate(tokens, policy=policy, limit=plan.new_tokens, options=options)
        traces.append((trace, time.perf_counter() - began))
        done += len(rows)
        context.progress(done, total, "texts")
    return traces


def _replayed(model: Model, trace: Trace, row: int) -> tuple[tuple[float, ...], float]:
    """Return the log-probabilities of a row under the whole model, and the mean KL to it."""
    ids = trace.generated[row]
    text = trace.tokens.row(row)
    prompt = text[: len(text) - len(ids) + 1]
    found = model.run(pad([[*prompt, *ids[:-1]]]), logits="all").logits
    if found is None or trace.logits is None:
        return trace.logprobs[row], 0.0
    own = found[0, len(prompt) - 1 :].float().log_softmax(dim=-1)
    other = trace.logits[row, : len(ids)].float().log_softmax(dim=-1)
    logprobs = own.gather(1, torch.tensor(ids, device=own.device)[:, None])[:, 0]
    return tuple(logprobs.tolist()), float((own.exp() * (own - other)).sum(dim=-1).mean())


def _warm_up(model: Model, prompt: Example) -> None:
    # The first passes of a process allocate and tune, which would be charged to one decoder.
    model.generate([prompt.text], limit=2)
