"""Symbolic comparison of expressions, given up when it takes too long."""

from functools import cache

from workbench.worker import TookTooLong, Worker, WorkerFailed


@cache
def _worker() -> Worker:
    return Worker("workbench.sampling.symbolic:compare")


def are_equal(found: str, wanted: str, *, seconds: float) -> bool:
    """Whether two expressions are mathematically equal; False when the time runs out."""
    try:
        return bool(_worker().call((found, wanted), seconds=seconds))
    except (TookTooLong, WorkerFailed):
        return False


def compare(pair: tuple[str, str]) -> bool:
    """Compare two LaTeX expressions with math-verify, without a time limit of its own."""
    from math_verify import parse, verify

    found, wanted = (
        parse(f"${text}$", parsing_timeout=None, raise_on_error=False) for text in pair
    )
    return bool(verify(wanted, found, timeout_seconds=None, raise_on_error=False))
