"""The immutable record of one run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.errors import UnknownName
from workbench.model.card import card
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens

End = Literal["stop", "policy", "limit", "context"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """Tokens, logits and the activations asked for, as one forward pass or generation left them.

    Activations are kept in the layout of `tokens`; every read removes the padding. After a
    generation:

    - `tokens` holds the left-padded prompt and every generated token that was fed back;
    - `generated[i]` are the new ids of row i (its last one was never fed), `logprobs[i]` their
      log-probabilities in nats if kept, and `ended[i]` why the row ended;
    - `logits[:, t]` are those that the t-th token was chosen from, if kept;
    - `latent` marks positions that were fed a vector instead of their token's embedding, None
      if there are none;
    - `records` are what the policy wrote down at each step;
    - `calls[i]` are the forward passes after the prompt that row i took, () for one per token.

    `layout` names the attention mask and positions that the text or the prompt was run under.
    """

    spec: ModelSpec
    tokens: Tokens
    activations: Mapping[Site, Tensor] = field(default_factory=dict)
    logits: Float[Tensor, "batch pos d_vocab"] | None = None
    generated: tuple[tuple[int, ...], ...] = ()
    logprobs: tuple[tuple[float, ...], ...] = ()
    ended: tuple[End, ...] = ()
    latent: Bool[Tensor, "batch pos"] | None = None
    records: tuple[Any, ...] = ()
    calls: tuple[int, ...] = ()
    layout: str = "causal"

    def __getitem__(self, site: Site | str) -> Float[Tensor, "batch pos *shape"]:
        """Return an activation as `batch pos …`, zero where the batch is padded.

        Raises:
            UnknownName: the run did not read that site.
        """
        found = self._find(site)
        x = self.activations[found]
        if found.positions is not None or not self.tokens.is_padded:
            return x
        if found.kind is Kind.ATTN_PATTERN:
            return x.masked_fill(~self.tokens.mask[:, None, :, None], 0)
        return x.masked_fill(~self.tokens.mask.reshape(x.shape[:2] + (1,) * (x.dim() - 2)), 0)

    def row(self, index: int, site: Site | str) -> Float[Tensor, "pos *shape"]:
        """Return one text's activation without padding."""
        found = self._find(site)
        x = self.activations[found][index]
        mask = self.tokens.mask[index]
        if found.kind is Kind.ATTN_PATTERN:
            return (x if found.positions is not None else x[:, mask])[:, :, mask]
        return x if found.positions is not None else x[mask]

    def flat(self, site: Site | str) -> Float[Tensor, "n *shape"]:
        """Return the real tokens of all texts one after the other."""
        found = self._find(site)
        x = self.activations[found]
        if found.positions is not None or not self.tokens.is_padded:
            return x.flatten(0, 1)
        return x[self.tokens.mask]

    def cut(self, limit: int) -> "Trace":
        """Return the first `limit` tokens of every text of a right-padded batch.

        In a causal model what stands before does not depend on what comes after.

        Raises:
            UnknownName: a site was read at single positions, which may lie behind the limit.
        """
        if self.tokens.ids.shape[1] <= limit:
            return self
        if "left" in self.tokens.padded_sides or any(s.positions for s in self.activations):
            raise UnknownName(
                f"a trace with {', '.join(map(str, self.activations))} cannot be cut to {limit}",
                hint="read whole sites of a right-padded batch",
            )
        tokens = replace(
            self.tokens,
            ids=self.tokens.ids[:, :limit],
            mask=self.tokens.mask[:, :limit],
            offsets=tuple(row[:limit] for row in self.tokens.offsets),
            padding=None,
        )
        return replace(
            self,
            tokens=tokens,
            activations={site: _cut(x, site, limit) for site, x in self.activations.items()},
            logits=None if self.logits is None else self.logits[:, :limit],
        )

    def stack(self, kind: Kind | str) -> Float[Tensor, "layer batch pos *shape"]:
        """Return every layer read of that kind, first layer first."""
        sites = sorted(
            (s for s in self.activations if s.kind == kind and s.layer is not None),
            key=lambda s: s.layer or 0,
        )
        if not sites:
            raise UnknownName(f"the run read no {kind}; it read {self._names()}")
        return torch.stack([self[s].to(self[sites[0]].device) for s in sites])

    def _repr_html_(self) -> str:
        lengths = self.tokens.lengths
        facts: dict[str, object] = {"texts": len(lengths), "tokens": sum(lengths)}
        facts |= {f"text {i}": text[:80] for i, text in enumerate(self.tokens.texts[:5])}
        if self.generated:
            facts["generated tokens"] = sum(map(len, self.generated))
        if self.logits is not None:
            facts["logits"] = tuple(self.logits.shape)
        facts |= {str(site): tuple(x.shape) for site, x in self.activations.items()}
        return card(f"Trace of {self.spec.name}", facts)

    def _find(self, site: Site | str) -> Site:
        wanted = (Site.parse(site) if isinstance(site, str) else site).resolve(self.spec)
        if wanted not in self.activations:
            raise UnknownName(
                f"the run did not read {wanted}; it read {self._names()}",
                hint=f'pass read=["{wanted}"]',
            )
        return wanted

    def _names(self) -> str:
        return ", ".join(map(str, self.activations)) or "nothing"


def _cut(x: Tensor, site: Site, limit: int) -> Tensor:
    return x[:, :, :limit, :limit] if site.kind is Kind.ATTN_PATTERN else x[:, :limit]
