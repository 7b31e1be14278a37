"""Compares what a model of the zoo offers with plain, uncached, unbatched transformers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.errors import BadSite, Unsupported
from workbench.model.edits import Edit, Op
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.model.sites import Kind, Site
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.tokens import pad
from workbench.model.wrap import wrap_model
from workbench.model.zoo import zoo_module
from workbench.sampling.rollout import Branch, RolloutOptions, RolloutQueue, Trajectory

ALLOWED = 1e-4  # relative error per token in float32
LIMIT = 10
REFUSALS = (Unsupported, BadSite)


@dataclass(frozen=True)
class Outcome:
    """What became of one capability: `works`, `refused`, `differs` or `unexpected`."""

    name: str
    backend: str
    capability: str
    outcome: str
    detail: str = ""


class Plain:
    """The transformers model alone: one text at a time, no cache, eager attention."""

    def __init__(self, name: str) -> None:
        self.module: Any = zoo_module(name)
        n = self.module.config.get_text_config(decoder=True).vocab_size
        generator = torch.Generator().manual_seed(1)
        self.rows = [torch.randint(4, n, (k,), generator=generator).tolist() for k in (3, 19, 11)]

    def __call__(self, ids: list[int], **asked: Any) -> Any:
        with torch.no_grad():
            return self.module(input_ids=torch.tensor([ids]), use_cache=False, **asked)

    def logits(self, ids: list[int]) -> Tensor:
        found: Tensor = self(ids).logits[0]
        return found

    def greedy(self, ids: list[int], limit: int = LIMIT) -> list[int]:
        whole = list(ids)
        for _ in range(limit):
            whole.append(int(self.logits(whole)[-1].argmax()))
        return whole[len(ids) :]


def relative(a: Tensor, b: Tensor) -> float:
    """Return the largest ‖a − b‖ / ‖b‖ over tokens."""
    assert a.shape == b.shape, f"shape {tuple(a.shape)} where plain has {tuple(b.shape)}"
    a, b = a.double().flatten(1), b.double().flatten(1)
    return float(((a - b).norm(dim=1) / b.norm(dim=1).clamp_min(1e-12)).max())


class Examined:
    """One model of the zoo on one backend, capability by capability."""

    def __init__(self, plain: Plain, model: Model, peer: Model | None) -> None:
        self.plain, self.model, self.peer = plain, model, peer
        self.long = plain.rows[1]

    def alone(self) -> float:
        runs = [(self.model.run(pad([r]), logits="all").logits, r) for r in self.plain.rows]
        return max(relative(x[0], self.plain.logits(r)) for x, r in runs if x is not None)

    def batched(self, side: Any) -> float:
        site = Site(Kind.RESID_POST, self.model.spec.n_layers - 1)
        trace = self.model.run(pad(self.plain.rows, side=side), read=[site], logits="all")
        assert trace.logits is not None
        worst = 0.0
        for i, row in enumerate(self.plain.rows):
            single = self.model.run(pad([row]), read=[site])
            worst = max(
                worst, relative(trace.logits[i][trace.tokens.mask[i]], self.plain.logits(row))
            )
            worst = max(worst, relative(trace.row(i, site), single.row(0, site)))
        return worst

    def generated(self) -> float:
        options = GenerationOptions(stop_ids=())
        found = self.model.generate(pad(self.plain.rows, side="left"), limit=LIMIT, options=options)
        wanted = [self.plain.greedy(row) for row in self.plain.rows]
        return share_that_differs([list(x) for x in found.generated], wanted)

    def forked(self) -> float:
        prefix = self.model.prefill(pad([self.long[:11]]))
        options = GenerationOptions(stop_ids=())
        both = [self.model.generate(prefix.take([0, 0]), limit=LIMIT, options=options).generated[1]]
        both += self.model.generate(prefix, limit=LIMIT, options=options).generated
        return share_that_differs([list(x) for x in both], [self.plain.greedy(self.long[:11])] * 2)

    def rollouts(self) -> float:
        options = RolloutOptions(policy=Sampling(temperature=0.0), limit=LIMIT, rows=3)
        trajectory = Trajectory(self.model, self.long[:5], self.long[5:], options)
        queue = RolloutQueue(trajectory, stop_ids=())
        queue.add(Branch(position=p, draw=0) for p in (0, 3, 9, 14))
        found = {r.branch.position: list(r.tokens) for r in queue}
        wanted = [self.plain.greedy(self.long[: 5 + p]) for p in sorted(found)]
        return share_that_differs([found[p] for p in sorted(found)], wanted)

    def unembedded(self) -> float:
        last, normed = Site(Kind.RESID_POST, self.model.spec.n_layers - 1), Site(Kind.FINAL_NORM)
        trace = self.model.run(pad([self.long]), read=[last, normed])
        wanted = self.plain.logits(self.long)
        return max(
            relative(self.model.unembed(trace[last])[0], wanted),
            relative(self.model.unembed(trace[normed], normed=True)[0], wanted),
        )

    def read(self, site: Site) -> float:
        trace = self.model.run(pad([self.long]), read=[site])
        x = trace[site][0]
        if self.peer is not None:
            return relative(x, self.peer.run(pad([self.long]), read=[site])[site][0])
        wanted = self._plain_value(site)
        return 0.0 if wanted is None else relative(x, wanted)

    def _plain_value(self, site: Site) -> Tensor | None:
        if site.kind is Kind.LOGITS:
            return self.plain.logits(self.long)
        if site.kind is Kind.RESID_POST:
            states = self.plain(self.long, output_hidden_states=True).hidden_states
            last = site.layer == self.model.spec.n_layers - 1
            known = states is not None and len(states) == self.model.spec.n_layers + 1
            found: Tensor | None = states[site.layer + 1][0] if known and not last else None
            return found
        if site.kind is Kind.ATTN_PATTERN:
            seen = self.plain(self.long, output_attentions=True).attentions
            if seen is not None and len(seen) == self.model.spec.n_layers:
                pattern: Tensor = seen[site.layer][0]
                return pattern
        return None

    def edited(self, site: Site) -> float:
        # A norm behind the site would undo a change of nothing but its length.
        edit = Edit(site=site, op=Op.SCALE, value=0.5, heads=(0,) if site.kind.has_heads else None)
        if site.kind.has_layer and not site.kind.has_heads:
            generator = torch.Generator().manual_seed(2)
            direction = torch.randn(self.model.spec.d_model, generator=generator)
            edit = Edit(site=site, op=Op.ADD, value=direction)
        found = self.model.run(pad([self.long]), edits=[edit], logits="all").logits
        assert found is not None
        assert relative(found[0], self.plain.logits(self.long)) > 1e-6, "the edit moved nothing"
        if self.peer is None:
            return 0.0
        try:
            other = self.peer.run(pad([self.long]), edits=[edit], logits="all").logits
        except REFUSALS:
            return 0.0
        assert other is not None
        return relative(found[0], other[0])


def share_that_differs(found: list[list[int]], wanted: list[list[int]]) -> float:
    pairs = [pair for a, b in zip(found, wanted, strict=True) for pair in zip(a, b, strict=True)]
    return sum(a != b for a, b in pairs) / len(pairs)


def capabilities(
    model: Model, examined: Examined, *, sites: bool
) -> Iterator[tuple[str, Callable[[], float]]]:
    """Name every capability with the comparison that judges it."""
    yield "alone", examined.alone
    yield "padding left", lambda: examined.batched("left")
    yield "padding right", lambda: examined.batched("right")
    yield "generate", examined.generated
    yield "fork", examined.forked
    yield "unembed", examined.unembedded
    if model.backend.name == "hooks":
        yield "rollouts", examined.rollouts
    for kind in Kind if sites else ():
        for layer in range(model.spec.n_layers) if kind.has_layer else (None,):
            site = Site(kind, layer)
            yield f"read {site}", lambda site=site: examined.read(site)
            yield f"edit {site}", lambda site=site: examined.edited(site)


def judge(name: str, backend: str, capability: str, run: Callable[[], float]) -> Outcome:
    try:
        error = run()
    except REFUSALS as refusal:
        return Outcome(name, backend, capability, "refused", refusal.message)
    except Exception as problem:
        detail = f"{type(problem).__name__}: {problem}"
        return Outcome(name, backend, capability, "unexpected", detail)
    outcome = "works" if error <= ALLOWED else "differs"
    return Outcome(name, backend, capability, outcome, f"{error:.2g}")


@cache
def examine(name: str, backend: str, *, sites: bool = True) -> tuple[Outcome, ...]:
    """Compare what one model offers on one backend with plain transformers."""
    plain = Plain(name)
    tokenizer = tiny_tokenizer()
    try:
        model = wrap_model(zoo_module(name), tokenizer, name=name, backend=backend)
    except Unsupported as refusal:
        return (Outcome(name, backend, "loads", "refused", refusal.message),)
    except Exception as problem:
        return (
            Outcome(name, backend, "loads", "unexpected", f"{type(problem).__name__}: {problem}"),
        )
    peer = None
    if backend != "hooks":
        peer = wrap_model(zoo_module(name), tokenizer, name=name, backend="hooks")
    examined = Examined(plain, model, peer)
    found = [
        judge(name, backend, what, run) for what, run in capabilities(model, examined, sites=sites)
    ]
    return (Outcome(name, backend, "loads", "works"), *found)


@pytest.fixture(scope="session")
def examination() -> Callable[..., tuple[Outcome, ...]]:
    """The comparison of one model of the zoo on one backend, made once."""
    return examine
