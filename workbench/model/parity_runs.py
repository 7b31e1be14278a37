"""Runs that two backends must agree on: patching, ablation, steering, a latent loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.model.backend import Inputs
from workbench.model.caches import new_cache
from workbench.model.edits import Edit, Op
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import Tokens

_STEPS, _NEW_TOKENS = 3, 16


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far two backends are apart: relative error, or the share of tokens that differ."""

    largest: float | None
    mean: float | None
    n: int
    note: str = ""


def relative_errors(
    a: Float[Tensor, "n width"], b: Float[Tensor, "n width"]
) -> Float[Tensor, " n"]:
    """Return ‖a − b‖ / ‖b‖ of each row, computed in double precision."""
    gap: Tensor = torch.linalg.vector_norm((a - b).double(), dim=-1)
    size: Tensor = torch.linalg.vector_norm(b.double(), dim=-1)
    return gap / size


def patching(ours: Model, other: Model, tokens: Tokens) -> Difference:
    """Replace the middle layer's state at each last token by that of the next text."""
    site = Site(Kind.RESID_POST, ours.spec.n_layers // 2, (-1,))
    source = other.run(tokens, read=[site])[site]
    edit = Edit(site=site, op=Op.SET, value=source.roll(1, dims=0))
    return _edited(ours, other, tokens, [edit])


def head_ablation(ours: Model, other: Model, tokens: Tokens) -> Difference:
    """Take the first head of the middle layer away."""
    site = Site(Kind.Z, ours.spec.n_layers // 2)
    return _edited(ours, other, tokens, [Edit(site=site, op=Op.ABLATE, heads=(0,))])


def mlp_ablation(ours: Model, other: Model, tokens: Tokens) -> Difference:
    """Take the feed-forward part of the middle layer away."""
    site = Site(Kind.MLP_OUT, ours.spec.n_layers // 2)
    return _edited(ours, other, tokens, [Edit(site=site, op=Op.ABLATE)])


def attention_patterns(ours: Model, other: Model, tokens: Tokens) -> Difference:
    """Compare the attention patterns of the middle layer, query by query."""
    site = Site(Kind.ATTN_PATTERN, ours.spec.n_layers // 2)
    a, b = (model.run(tokens, read=[site]) for model in (ours, other))
    pairs = ((a.row(i, site), b.row(i, site)) for i in range(len(tokens.ids)))
    return _relative(
        torch.cat([relative_errors(x.flatten(0, 1), y.flatten(0, 1)) for x, y in pairs])
    )


def steered_generation(ours: Model, other: Model, tokens: Tokens) -> Difference:
    """Generate greedily while a fixed direction is added to the middle layer at every step."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(ours.spec.d_model, generator=generator)
    site = Site(Kind.RESID_POST, ours.spec.n_layers // 2)
    size = other.run(tokens, read=[site]).flat(site).norm(dim=-1).median()
    edit = Edit(site=site, op=Op.ADD, value=direction / direction.norm() * float(size) / 4)
    options = GenerationOptions(stop_ids=())
    a, b = (
        model.generate(tokens, limit=_NEW_TOKENS, edits=[edit], options=options).generated
        for model in (ours, other)
    )
    differ = [x != y for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)]
    share = sum(differ) / len(differ)
    return Difference(largest=share, mean=share, n=len(differ), note="share of tokens that differ")


def latent_loop(ours: Model, other: Model, tokens: Tokens) -> Difference:
    """Feed the final state of the last token back as the next input vector, three times."""
    return _relative(relative_errors(_loop(ours, tokens), _loop(other, tokens)))


def _loop(model: Model, tokens: Tokens) -> Float[Tensor, "batch d_vocab"]:
    site, cache = Site(Kind.FINAL_NORM, None, (-1,)), new_cache(model.backend.module)
    mask, positions = tokens.mask, tokens.position_ids
    inputs = Inputs(ids=tokens.ids, mask=mask, position_ids=positions, cache=cache)
    for _ in range(_STEPS):
        state = model.forward(inputs, read=[site], logits="none").captured[site]
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        positions = positions[:, -1:] + 1
        inputs = Inputs(embeds=state, mask=mask, position_ids=positions, cache=cache)
    logits = model.forward(inputs, logits="last").logits
    return torch.zeros(0) if logits is None else logits[:, 0]


def _edited(ours: Model, other: Model, tokens: Tokens, edits: Sequence[Edit]) -> Difference:
    site = edits[0].site
    if not ours.backend.supports(site.kind, edit=True):
        return Difference(largest=None, mean=None, n=0, note=f"cannot edit {site.kind}")
    found = [model.run(tokens, edits=edits, logits="all").logits for model in (ours, other)]
    a, b = (x[tokens.mask] for x in found if x is not None)
    return _relative(relative_errors(a, b))


def _relative(errors: Float[Tensor, " n"]) -> Difference:
    return Difference(largest=float(errors.max()), mean=float(errors.mean()), n=len(errors))


RUNS: dict[str, Callable[[Model, Model, Tokens], Difference]] = {
    "attention patterns": attention_patterns,
    "patching": patching,
    "head ablation": head_ablation,
    "mlp ablation": mlp_ablation,
    "steered generation": steered_generation,
    "latent loop": latent_loop,
}
