"""The few tokens that sites are checked on, and what the plain transformers model makes of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.model.backends.twin import twin
from workbench.model.edits import Edit
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.subject import Subject
from workbench.model.tokens import Tokens, pad

_LENGTHS = (7, 9, 11, 6, 5, 4, 3)


@dataclass(eq=False)
class Probe:
    """One batch of equal rows, or of different ones, and what was read on it.

    `edits` act in every run of the probe; reads of a kind are made once.
    """

    model: Subject
    tokens: Tokens
    edits: Sequence[Edit] = ()
    _reads: dict[Kind, dict[int, Tensor]] = field(default_factory=dict)

    def read(self, kind: Kind) -> dict[int, Tensor]:
        """Return that kind in every layer that has it; 0 stands for the model's ends."""
        if kind not in self._reads:
            sites = sites_of(self.model, kind)
            trace = self.model.run(self.tokens, read=sites, edits=self.edits)
            self._reads[kind] = {site.layer or 0: trace.activations[site] for site in sites}
        return self._reads[kind]

    def read_together(self, kinds: Sequence[Kind]) -> None:
        """Read several kinds and the logits in one pass."""
        places = {kind: sites_of(self.model, kind) for kind in kinds}
        read = [site for sites in places.values() for site in sites]
        trace = self.model.run(self.tokens, read=read, edits=self.edits, logits="all")
        for kind, sites in places.items():
            self._reads[kind] = {site.layer or 0: trace.activations[site] for site in sites}
        self._reads[Kind.LOGITS] = {0: cast(Tensor, trace.logits)}

    def logits(self) -> Float[Tensor, "batch pos d_vocab"]:
        """Return the logits at every position."""
        if Kind.LOGITS not in self._reads:
            found = self.model.run(self.tokens, edits=self.edits, logits="all").logits
            self._reads[Kind.LOGITS] = {0: cast(Tensor, found)}
        return self._reads[Kind.LOGITS][0]

    def edited(self, edits: Sequence[Edit]) -> "Probe":
        """Return a probe of the same tokens on which edits act."""
        return Probe(self.model, self.tokens, edits)


def sites_of(model: Subject, kind: Kind) -> list[Site]:
    """Return every site of that kind that the backend claims."""
    if not kind.has_layer:
        return [Site(kind)]
    return [Site(kind, layer) for layer in model.backend.layers_with(kind)]


def different_rows(model: Subject) -> Probe:
    """Return a probe of two rows of random tokens, alike in length."""
    ids = _ids(model, 2)
    return Probe(model, pad(ids).to(model.device))


def equal_rows(model: Subject, n: int) -> Probe:
    """Return a probe of n rows of the same random tokens."""
    shared = _SHARED.get()
    probe = None if shared is None else shared.get((id(model), n))
    if probe is None:
        probe = Probe(model, pad(_ids(model, 1) * n).to(model.device))
        if shared is not None:
            shared[id(model), n] = probe
    return probe


_SHARED: ContextVar[dict[tuple[int, int], Probe] | None] = ContextVar("shared probes", default=None)


@contextmanager
def shared_probes() -> Iterator[None]:
    """Let all checks made inside, in this thread, share what is read on rows without edits."""
    token = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(token)


def noise(like: Float[Tensor, "batch pos *shape"]) -> Float[Tensor, "pos *shape"]:
    """Draw noise for one row, as large at each position as the activation is there."""
    generator = torch.Generator().manual_seed(1)
    row = like[0].detach().float().cpu()
    drawn = torch.randn(row.shape, generator=generator)
    size = row.square().flatten(1).mean(dim=1).sqrt().reshape(-1, *[1] * (row.dim() - 1))
    return 2 * drawn * size


def plain_outputs(probe: Probe, **asked: bool) -> Any:
    """Run the transformers model itself, without reads or edits."""
    # Transformers leaves hooks in a model that was once asked for its states.
    module: Any = twin(probe.model.backend.plain)
    return module(input_ids=probe.tokens.ids, use_cache=False, **asked)


_REFERENCES: "WeakKeyDictionary[Any, Any]" = WeakKeyDictionary()


def on_hooks(model: Subject) -> Subject:
    """Return the same weights on the hooks backend, which the other backends are held to."""
    from workbench.model.backends.torch_hooks import HooksBackend

    if model not in _REFERENCES:
        backend = HooksBackend(model.backend.plain, model.tokenizer, model.backend.paths)
        spec = replace(model.spec, backend=backend.name)
        kind: Any = type(model)
        _REFERENCES[model] = kind(spec=spec, tokenizer=model.tokenizer, backend=backend)
    reference: Subject = _REFERENCES[model]
    return reference


def _ids(model: Subject, n_rows: int) -> list[list[int]]:
    spec = model.spec
    taken = {spec.n_heads, spec.n_key_value_heads, spec.d_head, spec.d_model}
    fitting = [n for n in _LENGTHS if n <= spec.max_positions]
    # An axis of positions must not be taken for one of heads.
    length = next((n for n in fitting if n not in taken), fitting[0])
    special = set(getattr(model.tokenizer, "all_special_ids", None) or ())
    usual = [i for i in range(min(spec.d_vocab, 4096)) if i not in special]
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(len(usual), (n_rows, length), generator=generator)
    return [[usual[i] for i in row] for row in chosen.tolist()]


def sizes_of(spec: ModelSpec, kind: Kind, n_pos: int) -> tuple[int, ...]:
    """Return the shape of an activation of that kind for one row of n positions."""
    if kind is Kind.ATTN_PATTERN:
        return (spec.n_heads, n_pos, n_pos)
    if kind in (Kind.K, Kind.V):
        return (n_pos, spec.n_key_value_heads, spec.d_head)
    if kind.has_heads:
        return (n_pos, spec.n_heads, spec.d_head)
    return (n_pos, spec.d_vocab if kind is Kind.LOGITS else spec.d_model)
