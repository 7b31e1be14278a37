"""The gate that mixes a token's embedding with the mixture of what might have been said."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from workbench.errors import BadOption, ModelError

SHARPNESS = 8.0
EPSILON = 1e-8

Start = Literal["uniform", "normal"]


@dataclass(frozen=True, kw_only=True)
class GateShape:
    """How a gate begins: `Λ` so that exp(−8·softplus(−Λ)) ~ U[r_min, r_max] per dimension.

    `start` draws the matrices from U[±1/√d] with biases alike (the paper), or from N(0, 0.02²)
    with zero biases (the released loader).
    """

    r_min: float = 0.99
    r_max: float = 0.999
    start: Start = "uniform"

    def __post_init__(self) -> None:
        """Refuse bounds that are none."""
        if not 0 < self.r_min <= self.r_max < 1:
            raise BadOption(
                f"r_min {self.r_min} and r_max {self.r_max}; expected 0 < r_min ≤ r_max < 1"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Opening:
    """What a gate does with one token: `a` weighs the token, `s` = √(1−a²+ε) and `i` the mixture.

    Where `a` is exactly 1 the gate is closed and `s` is 0.
    """

    a: Float[Tensor, "*batch d_model"]
    s: Float[Tensor, "*batch d_model"]
    i: Float[Tensor, "*batch d_model"]

    def mix(
        self, token: Float[Tensor, "*batch d_model"], mixture: Float[Tensor, "*batch d_model"]
    ) -> Float[Tensor, "*batch d_model"]:
        """Return a⊙ê + s⊙(i⊙h) in float32."""
        return self.a * token.float() + self.s * (self.i * mixture.float())


class Gate(nn.Module):
    """The learnt gate: x = a⊙ê + √(1−a²+ε)⊙(i⊙h).

    r = σ(W_a ê + b_a), i = σ(W_x ê + b_x), a = exp(−8·softplus(−Λ)⊙r). Both gates read the
    token's embedding ê only, so the gate is a table over the vocabulary: context enters through
    the mixture h alone. Everything is computed in float32, for bfloat16 rounds 0.9985 to 1.

    Source: Yue et al. 2025, arXiv:2505.18454, equations 3-5; the sign inside softplus is that of
    the released code, which the paper's initialisation needs too. Ours differs at a = 1, where
    we add nothing instead of √ε⊙i⊙h.
    """

    def __init__(self, d_model: int, shape: GateShape, *, generator: torch.Generator) -> None:
        """Draw the weights."""
        super().__init__()
        bound = d_model**-0.5 if shape.start == "uniform" else 0.0
        self.recurrence_weight = nn.Parameter(_matrix(d_model, bound, generator))
        self.recurrence_bias = nn.Parameter(_uniform((d_model,), bound, generator))
        self.input_weight = nn.Parameter(_matrix(d_model, bound, generator))
        self.input_bias = nn.Parameter(_uniform((d_model,), bound, generator))
        u = shape.r_min + (shape.r_max - shape.r_min) * torch.rand(d_model, generator=generator)
        self.lam = nn.Parameter(-torch.log(u ** (-1 / SHARPNESS) - 1))

    @property
    def d_model(self) -> int:
        """The width of the embeddings."""
        return int(self.lam.shape[0])

    def opening(self, token: Float[Tensor, "*batch d_model"]) -> Opening:
        """Return what the gate does with tokens of these embeddings."""
        token = token.float()
        r = torch.sigmoid(linear(token, self.recurrence_weight, self.recurrence_bias))
        i = torch.sigmoid(linear(token, self.input_weight, self.input_bias))
        return Opening(**opened(-SHARPNESS * softplus(-self.lam) * r), i=i)

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor]) -> "Gate":
        """Return a gate with those weights.

        Raises:
            ModelError: they are not those of a gate.
        """
        if "lam" not in tensors:
            raise ModelError("the checkpoint holds no gate", hint="train it again")
        gate = cls(tensors["lam"].shape[0], GateShape(), generator=torch.Generator())
        try:
            gate.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        except RuntimeError as error:
            raise ModelError(f"these are not the weights of a gate: {error}") from error
        return gate


def opened(log_a: Float[Tensor, "*batch d_model"]) -> dict[str, Tensor]:
    """Return a and √(1−a²+ε) from ln a, without cancellation near a = 1."""
    a = log_a.exp()
    room = -torch.expm1(2 * log_a)
    return {"a": a, "s": torch.where(room == 0, 0.0, (room + EPSILON).sqrt())}


def forced(value: float, i: Float[Tensor, "*batch d_model"]) -> Opening:
    """Return an opening with the same `a` everywhere.

    Raises:
        BadOption: `value` is not between 0 and 1.
    """
    if not 0 <= value <= 1:
        raise BadOption(f"the gate is forced to {value}; expected a number from 0 to 1")
    a = torch.full_like(i, value)
    s = 0.0 if value == 1 else math.sqrt(1 - value**2 + EPSILON)
    return Opening(a=a, s=torch.full_like(i, s), i=i)


def _matrix(d_model: int, bound: float, generator: torch.Generator) -> Tensor:
    if bound == 0:
        return 0.02 * torch.randn(d_model, d_model, generator=generator)
    return _uniform((d_model, d_model), bound, generator)


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    return (2 * torch.rand(shape, generator=generator) - 1) * bound
