"""What the training loop needs to train a dictionary of top-k features."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probes.dictionaries.dictionary import Dictionary, kept
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.model.site_patterns import SitePattern
from workbench.model.sites import Site
from workbench.model.tokens import pad

_AUXILIARY = 1 / 32
_AT_ONCE = 8192


def states_of(
    model: Model,
    rows: Sequence[Sequence[int]],
    site: Site,
    *,
    limit: int,
    batch_tokens: int,
    context: Context,
) -> Float[Tensor, "n d_model"]:
    """Return the states of all tokens but the first of each text, at most `limit` of them."""
    found, n = [], 0
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    while order and n < limit:
        batch: list[int] = []
        while order and (not batch or (len(batch) + 1) * len(rows[order[-1]]) <= batch_tokens):
            batch.append(order.pop())
        trace = model.run(pad([rows[i] for i in batch]).to(model.device), read=[site])
        for i in range(len(batch)):
            found.append(trace.row(i, site)[1:].float().cpu())
            n += len(found[-1])
        context.progress(min(n, limit), limit, "tokens read")
    if not n:
        raise TooLittleData("no text has two tokens", hint="give longer texts")
    return torch.cat(found)[:limit]


class DictionaryObjective:
    """Share of variance left unexplained by the k strongest features, in two parts.

    The second part, weighed by 1/32, is what the next `spare` features explain of what is left,
    so that features that are hardly used learn as well. Directions begin as those of random
    states from their mean, which leaves few without use.
    """

    def __init__(
        self,
        x: Float[Tensor, "n d_model"],
        held_out: Float[Tensor, "m d_model"],
        *,
        n_features: int,
        k: int,
        spare: int,
        generator: torch.Generator,
    ) -> None:
        """Scale the states to mean square 1 and take the first directions from them."""
        if len(x) < n_features:
            raise TooLittleData(
                f"{len(x)} states are too few for {n_features} features",
                hint="give more texts, or a smaller --features",
            )
        self.x, self.held_out, self.k, self.spare = x, held_out, k, spare
        mean = x.mean(dim=0)
        self.scale = float((x - mean).square().mean().sqrt())
        self.variance = float((held_out - held_out.mean(dim=0)).square().sum(dim=1).mean())
        some = torch.randperm(len(x), generator=generator)[:n_features]
        rows = (x[some] - mean) / self.scale
        rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-6)
        self.decoder = nn.Parameter(rows.clone())
        self.encoder = nn.Parameter(rows.T.clone().contiguous())
        self.bias = nn.Parameter(torch.zeros(n_features))
        self.centre = nn.Parameter(mean / self.scale)

    @property
    def n_rows(self) -> int:
        """The number of states to learn from."""
        return len(self.x)

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The four weights."""
        return {
            "encoder": self.encoder,
            "decoder": self.decoder,
            "bias": self.bias,
            "centre": self.centre,
        }

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the loss of those states."""
        x = self.x[torch.tensor(rows)] / self.scale
        pre = (x - self.centre) @ self.encoder + self.bias
        decoder = self.decoder / self.decoder.norm(dim=1, keepdim=True)
        f = kept(pre, self.k)
        rest = x - self.centre - f @ decoder
        loss = rest.square().sum(dim=1).mean()
        if self.spare:
            others = kept(pre.masked_fill(f > 0, -torch.inf), self.spare)
            loss = loss + _AUXILIARY * (rest.detach() - others @ decoder).square().sum(dim=1).mean()
        yield loss * self.scale**2 / self.variance

    def validate(self) -> float:
        """Return the share of held-out variance that is left unexplained."""
        found, total = self.dictionary(SitePattern.parse("resid_post.0")), 0.0
        for x in self.held_out.split(_AT_ONCE):
            total += float((x - found.states(found.features(x), x)).square().sum())
        return total / (self.variance * len(self.held_out))

    def dictionary(self, site: SitePattern) -> Dictionary:
        """Return the dictionary as it is now, for unscaled states; its directions have length 1."""
        with torch.no_grad():
            return Dictionary(
                site=site,
                encoder=self.encoder.detach().clone(),
                decoder=(self.decoder / self.decoder.norm(dim=1, keepdim=True)).detach().clone(),
                bias=(self.bias * self.scale).detach().clone(),
                centre=(self.centre * self.scale).detach().clone(),
                k=self.k,
            )
