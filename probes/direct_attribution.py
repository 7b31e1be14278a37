"""What every part of the model writes towards a token, directly into its logit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import Unsupported
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import draws
from workbench.methods.next_token import following_tokens, top_tokens
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.registry import probe
from workbench.model.frozen_norm import DirectEnd, direct_end, head_writes
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.tokens import token_ids
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.metric import Control, Metric, Plot
from workbench.result.samples import Samples

_logits = partial(Metric, unit="logits")
_BOTH, _POS = ("layer", "position"), ("position",)
_ALLOWED = 1e-3  # of the largest part, in single precision


@probe("direct-attribution", source="Elhage et al. 2021, A Mathematical Framework for Transformers")
@dataclass(frozen=True, kw_only=True)
class DirectAttribution(PerUnit):
    """Split the logit of a token into what each head, MLP and embedding wrote towards it.

    With the scale of the final norm held at its value the logit is a sum over all that was added
    to the residual stream: u·(γ ⊙ (v − mean of v))·s for a part v, with u the token's output
    vector less that of what it is compared with. Biases of the norm and the head are the constant
    part, those of an attention output belong to its layer. What a part does through later layers
    is not in it. Control: the same towards a token drawn at random for each text.

    Units: logits, of the target above that of the mean token, of a wrong answer, or by itself.

    Raises:
        Unsupported: the model caps its logits, or its heads pass a norm of their own.

    Source: the paper's direct paths; the scale is held as in its implementations.
    """

    metrics: ClassVar = {
        "attention": _logits(help="Written by all heads of the layer.", axes=_BOTH),
        "mlp": _logits(help="Written by the feed-forward block.", axes=_BOTH),
        "head": _logits(
            help="Written by one head.", axes=("layer", "head", "position"), headline=None
        ),
        "written": _logits(
            help="By the whole layer; at −1 by the token and its position.", axes=_BOTH
        ),
        "constant": _logits(help="Biases of the final norm and the head.", axes=_POS),
        "logit": _logits(help="The sum of all parts.", axes=_POS),
        "gap": _logits(help="|sum of the parts − logit of the model|, rounding.", axes=_POS),
    }
    controls_of: ClassVar = {
        "random": Control("a random token", "the same towards a token drawn for each text")
    }
    plots: ClassVar = (
        Plot(title="Written directly, by layer", metrics=("attention", "mlp", "written")),
        Plot(title="Heads", metrics=("head",), axes=("layer", "head")),
        Plot(title="Attention at every token", metrics=("attention",), axes=_BOTH),
        Plot(title="MLP at every token", metrics=("mlp",), axes=_BOTH),
        Plot(title="Logit of the token that follows", metrics=("logit",), axes=_POS),
    )

    target: Literal["next", "top", "answer"] = option(
        "next", help="The token that follows, the likeliest, or the row's answer at its end."
    )
    against: Literal["mean", "wrong", "nothing"] = option(
        "mean", help="Compared with the mean token, the row's wrong answer, or nothing."
    )
    heads: bool = option(True, help="Split attention into heads.")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        ends = (Site(Kind.RESID_PRE, 0), Site(Kind.RESID_POST, spec.n_layers - 1))
        attention = Kind.Z if self.heads else Kind.ATTN_OUT
        return (*ends[:1], *every_layer(attention, spec), *every_layer(Kind.MLP_OUT, spec), ends[1])

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        end = direct_end(context.loaded)
        final = trace.activations[Site(Kind.RESID_POST, trace.spec.n_layers - 1)]
        targets, wrong = self._targets(trace, examples, context, final)
        drawn = torch.tensor(
            [int(d.integers(trace.spec.d_vocab)) for d in draws(trace.tokens, context, "direct")]
        )[:, None].expand(targets.shape)
        values, control = (
            self._parts(trace, context, end, goal, wrong) for goal in (targets, drawn)
        )
        _check_sums(values, context)
        defined = (targets >= 0).to(final.device)
        return Measured(
            values={name: _where(x, defined) for name, x in values.items()},
            controls={"random": {n: _where(x, defined) for n, x in control.items() if n != "gap"}},
        )

    def _parts(
        self,
        trace: Trace,
        context: Context,
        end: DirectEnd,
        targets: Int[Tensor, "batch pos"],
        wrong: Int[Tensor, " batch"] | None,
    ) -> dict[str, Float[Tensor, "batch ..."]]:
        final = trace.activations[Site(Kind.RESID_POST, trace.spec.n_layers - 1)]
        rows, biases = end.rows(targets.clamp(min=0)), end.biases(targets.clamp(min=0))
        if self.against == "mean":
            rows = rows - end.weight.mean(dim=0).double()
            biases = biases - (0.0 if end.bias is None else end.bias.double().mean())
        elif self.against == "wrong" and wrong is not None:
            rows = rows - end.rows(wrong)[:, None]
            biases = biases - end.biases(wrong)[:, None]
        q = end.norm.towards(rows.to(final.device), final)
        found = {"mlp": _along(trace, Kind.MLP_OUT, q)}
        if self.heads:
            sites = every_layer(Kind.Z, trace.spec)
            writes = [
                head_writes(context.loaded, site.layer or 0, trace.activations[site], q)
                for site in sites
            ]
            found["head"] = torch.stack([parts for parts, _ in writes], dim=1).transpose(2, 3)
            found["attention"] = torch.stack([p.sum(dim=-1) + b for p, b in writes], dim=1)
        else:
            found["attention"] = _along(trace, Kind.ATTN_OUT, q)
        start = (q * trace.activations[Site(Kind.RESID_PRE, 0)].double()).sum(dim=-1)
        written = torch.cat([start[:, None], found["attention"] + found["mlp"]], dim=1)
        # Layer −1 has neither attention nor a feed-forward block.
        found = {name: _without_input(x) for name, x in found.items()}
        found["written"] = written
        found["constant"] = (rows * end.norm.bias).sum(dim=-1) + biases
        # The norm as the model computes it, of the stream as the model has it.
        found["logit"] = (rows * end.norm(final)).sum(dim=-1) + biases
        total = written.sum(dim=1) + found["constant"]
        found["gap"] = (total - found["logit"]).abs()
        return found

    def _targets(
        self, trace: Trace, examples: Sequence[Example], context: Context, final: Tensor
    ) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, " batch"] | None]:
        """Return the token attributed at each position, −1 where there is none."""
        ids, mask = trace.tokens.ids.cpu(), trace.tokens.mask.cpu()
        wrong = None
        if self.against == "wrong":
            wrong = torch.tensor([_word(context, e, "wrong") for e in examples])
        if self.target == "next":
            return following_tokens(ids, mask), wrong
        if self.target == "top":
            return top_tokens(final, context).cpu(), wrong
        found = torch.full_like(ids, -1)
        for i, example in enumerate(examples):
            found[i, int(mask[i].nonzero()[-1])] = _word(context, example, "answer")
        return found, wrong

    def summary(self, found: Samples) -> str:
        parts = {
            f"{name} of layer {found.layers[layer]}": float(x)
            for name in ("attention", "mlp")
            for layer, x in enumerate(found.mean(name).value)
            if np.isfinite(x)
        }
        most = max(parts, key=lambda name: abs(parts[name]))
        return (
            f"The part that writes most is the {most} ({parts[most]:+.3g} logits) of "
            f"{found.estimate('logit', 'random')}."
        )


def _along(trace: Trace, kind: Kind, q: Tensor) -> Float[Tensor, "batch layer pos"]:
    x = [trace.activations[site] for site in every_layer(kind, trace.spec)]
    return torch.stack([(q.to(one.device) * one.double()).sum(dim=-1) for one in x], dim=1)


def _without_input(x: Tensor) -> Tensor:
    return torch.cat([torch.full_like(x[:, :1], torch.nan), x], dim=1)


def _where(x: Tensor, defined: Tensor) -> Tensor:
    shape = (len(x), *(1,) * (x.dim() - 2), x.shape[-1])
    return x.masked_fill(~defined.view(shape), torch.nan)


def _word(context: Context, example: Example, name: str) -> int:
    word = example.fields.get(name)
    if not isinstance(word, str) or not word.strip():
        raise Unsupported(
            f"{example.source or 'a text'} has no field {name!r}",
            hint="--target next and --against mean need none",
        )
    ids = token_ids(context.loaded.tokenizer, f" {word.strip()}", special_tokens=False)
    return ids[0]


def _check_sums(found: dict[str, Tensor], context: Context) -> None:
    gap = float(np.nanmax(found["gap"].cpu().numpy()))
    size = float(found["written"].abs().max())
    if gap > _ALLOWED * max(size, 1.0):
        raise Unsupported(
            f"the parts of {context.loaded.spec.name} miss the logit by {gap:.2g}: what its heads "
            "write passes a norm of its own, or more is added to the stream",
            hint="--no-heads",
        )
