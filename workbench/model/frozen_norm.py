"""The end of a model as a linear map: the final norm with its scale held, then the output head."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import Unsupported
from workbench.model.comparison import across, largest_error
from workbench.model.model import Model
from workbench.model.sites import Kind, Site

_EPS = ("eps", "variance_epsilon", "epsilon")


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenNorm:
    """norm(x) = gain ⊙ (x − mean)·s + bias with s = 1/√(mean square + eps).

    The mean is 0 where the norm is not `centred`.
    """

    gain: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"]
    eps: float
    centred: bool

    def scale(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch one"]:
        """Return s, the factor that is held."""
        x = x.double()
        x = x - x.mean(dim=-1, keepdim=True) if self.centred else x
        found: Tensor = (x.square().mean(dim=-1, keepdim=True) + self.eps).rsqrt()
        return found

    def __call__(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Return the norm of x in double precision."""
        shifted = x.double() - x.double().mean(dim=-1, keepdim=True) if self.centred else x.double()
        found: Tensor = self.gain * shifted * self.scale(x) + self.bias
        return found

    def towards(
        self, rows: Float[Tensor, "*batch d_model"], x: Float[Tensor, "*batch d_model"]
    ) -> Float[Tensor, "*batch d_model"]:
        """Return q with q·v = rows·(what part v of x becomes), the scale held at that of x."""
        q = self.gain * rows.double()
        q = q - q.mean(dim=-1, keepdim=True) if self.centred else q
        return q * self.scale(x)


@dataclass(frozen=True, kw_only=True, eq=False)
class DirectEnd:
    """What parts of the residual stream write into logits, each by itself."""

    norm: FrozenNorm
    weight: Float[Tensor, "d_vocab d_model"]
    bias: Float[Tensor, " d_vocab"] | None

    def rows(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d_model"]:
        """Return the output vectors of tokens."""
        return self.weight[ids.to(self.weight.device)].double()

    def biases(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the output biases of tokens, zeros where the head has none."""
        if self.bias is None:
            return torch.zeros(ids.shape, dtype=torch.float64, device=self.weight.device)
        return self.bias[ids.to(self.weight.device)].double()


def direct_end(model: Model) -> DirectEnd:
    """Take the final norm and the head apart.

    Raises:
        Unsupported: what stands there is not one norm and one linear map, as where logits are
            capped.
    """
    module, paths = model.backend.plain, model.backend.paths
    norm, head = (module.get_submodule(path) for path in (paths.norm, paths.head))
    weight = getattr(head, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 2:
        raise _no(model, "its output head is no matrix")
    found = DirectEnd(
        norm=_parts(norm, model.spec.d_model, weight.device),
        weight=weight.detach(),
        bias=None if getattr(head, "bias", None) is None else head.bias.detach(),
    )
    generator = torch.Generator().manual_seed(0)
    x = (3 * torch.randn((1, 4, model.spec.d_model), generator=generator)).to(weight)
    with torch.no_grad():
        if largest_error(found.norm(x), norm(x)) > across(weight.dtype):
            raise _no(model, "its final norm is neither a LayerNorm nor an RMSNorm")
        logits = (norm(x).double() @ found.weight.double().T).cpu()
    if found.bias is not None:
        logits = logits + found.bias.double().cpu()
    if largest_error(logits, model.unembed(x)) > across(weight.dtype):
        raise _no(model, "its logits are not a linear map of the final state (they may be capped)")
    return found


def head_writes(
    model: Model,
    layer: int,
    z: Float[Tensor, "batch pos head d_head"],
    q: Float[Tensor, "batch pos d_model"],
) -> tuple[Float[Tensor, "batch pos head"], Float[Tensor, "batch pos"]]:
    """Return q·(what each head writes through the output projection) and q·(its bias).

    Raises:
        Unsupported: the layer has no such projection.
    """
    project: Any = model.backend.plain.get_submodule(
        model.backend.paths.point(Site(Kind.Z, layer)).path
    )
    q = q.to(z)
    with model.lock, torch.enable_grad():
        flat = z.flatten(2).detach().requires_grad_()
        back = torch.autograd.grad((project(flat) * q).sum(), flat)[0]
    with model.lock, torch.no_grad():
        bias = project(torch.zeros_like(flat[:1, :1]))
    parts = (back.double() * flat.detach().double()).unflatten(-1, z.shape[2:]).sum(dim=-1)
    return parts, (bias.double() * q.double()).sum(dim=-1)


def _parts(norm: Any, width: int, device: torch.device) -> FrozenNorm:
    """Read gain, bias and kind of a norm from what it makes of three vectors."""
    eps = next((float(getattr(norm, name)) for name in _EPS if hasattr(norm, name)), 0.0)
    dtype = next((p.dtype for p in norm.parameters()), torch.float32)
    alternating = (1 - 2 * (torch.arange(width, device=device) % 2)).to(dtype)
    with torch.no_grad():
        zero, ones, signs = (
            norm(x[None, None])[0, 0].double()
            for x in (torch.zeros_like(alternating), torch.ones_like(alternating), alternating)
        )
    gain = (signs - zero) * alternating.double() * (1 + eps) ** 0.5
    centred = bool((ones - zero).abs().max() < 1e-3 * gain.abs().max())
    return FrozenNorm(gain=gain, bias=zero, eps=eps, centred=centred)


def _no(model: Model, reason: str) -> Unsupported:
    return Unsupported(
        f"{model.spec.name} has no direct attribution: {reason}",
        hint="use patching, which needs no linear end",
    )
