"""The suite runs with types and shapes checked: what does not fit is refused."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from tests.checked_types import checked
from workbench.model.tokens import Tokens
from workbench.result.estimate import format_number


@checked
def product(
    a: Float[Tensor, "row inner"], b: Float[Tensor, "inner column"]
) -> Float[Tensor, "row column"]:
    """Return the product, or what is handed in where that is empty."""
    return a @ b if len(a) else b


@checked
def outer(a: Float[Tensor, " row"]) -> Float[Tensor, "row row"]:
    return torch.stack([square(torch.eye(3)) for _ in a]).sum(0)


@checked
def square(a: Float[Tensor, "row row"]) -> Float[Tensor, "row row"]:
    return a


@checked
def counted(
    n: int, name: "str" = "a", other: "Nowhere | None" = None
) -> Iterator[Float[Tensor, " n"]]:
    for i in range(n):
        yield torch.ones(i)


@checked
@dataclass
class Pair:
    a: Float[Tensor, " n"]
    b: Float[Tensor, " n"]


class Holder:
    @staticmethod
    @checked
    def of(some: dict[str, Float[Tensor, " n"]]) -> int:
        return len(some)


REFUSAL = (BeartypeCallHintViolation, TypeCheckError)
ONE, TWO = torch.ones(1), torch.ones(2)
REFUSED: list[Callable[[], object]] = [
    lambda: product(torch.ones(2, 3), torch.ones(2, 3)),
    lambda: product(torch.ones(2, 3), torch.ones(3, 3, dtype=torch.int64)),
    lambda: product(torch.ones(0, 3), torch.ones(3, 3)),
    lambda: product(TWO, torch.ones(2, 3)),
    lambda: counted(1.5),
    lambda: counted(1, 2),
    lambda: Pair(ONE, TWO),
    lambda: Pair(ONE, "b"),
    lambda: Holder.of({"a": torch.ones(2, 2)}),
]


@pytest.mark.parametrize("call", REFUSED)
def test_what_does_not_fit_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(REFUSAL):
        call()


def test_what_fits_passes_and_shapes_of_calls_within_are_their_own() -> None:
    assert product(torch.ones(2, 3), torch.ones(3, 4)).shape == (2, 4)
    assert outer(torch.ones(3)).shape == (3, 3)
    assert [len(each) for each in counted(3, other=1)] == [0, 1, 2]
    assert Pair(TWO, TWO).b is TWO
    assert product.__name__ == "product"


def test_functions_and_records_of_the_packages_are_checked() -> None:
    ids = torch.ones(2, 3, dtype=torch.int64)
    with pytest.raises(REFUSAL):
        Tokens(ids=ids, mask=torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(REFUSAL):
        Tokens(ids=ids, mask=ids > 0, padding="both")  # type: ignore[arg-type]
    with pytest.raises(REFUSAL):
        format_number("1")  # type: ignore[arg-type]


def _adder(k: int) -> Callable[..., int]:
    @checked
    def add(a: int, *, times: int = 1) -> int:
        return times * a + k

    return add


def _shaped(hint: object) -> Callable[..., Tensor]:
    def same(a: Tensor) -> Tensor:
        return a

    same.__annotations__["a"] = hint
    return checked(same)


def test_a_function_made_anew_is_checked_each_time_and_calls_itself() -> None:
    assert [_adder(k)(1, times=2) for k in range(3)] == [2, 3, 4]
    for _ in range(2):
        with pytest.raises(REFUSAL):
            _adder(1)("1")
        assert _shaped(Float[Tensor, "row row"])(torch.eye(2)).shape == (2, 2)
        with pytest.raises(REFUSAL):
            _shaped(Float[Tensor, "row row"])(torch.ones(2, 3))
    # The same code with another hint is another check.
    assert _shaped(Float[Tensor, "row column"])(torch.ones(2, 3)).shape == (2, 3)
    with pytest.raises(REFUSAL):
        _shaped(int)(torch.ones(2, 3))
