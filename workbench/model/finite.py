"""Whether what a model gives is finite: seen in every pass, asked of the device now and then."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from workbench.errors import NotFinite
from workbench.model.sites import Kind, Site

LOGITS = "the logits"

# How many passes an accelerator may be ahead of the question whether they were finite.
_AHEAD = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Broken:
    """The first thing that was not finite: a site, or the logits, on a model of that format."""

    what: str
    model: str
    dtype: str

    def error(self, where: str = "") -> NotFinite:
        """Return the error that names it; `where` says more of where it begins."""
        hint = "load the model in float32 (--dtype float32), or in bfloat16 on an accelerator"
        if self.dtype not in ("float16", "bfloat16"):
            hint = "its weights or the edits lead beyond the number format; check both"
        return NotFinite(
            f"{self.model} in {self.dtype} gives NaN or infinity{where or f': {self.what}'}",
            hint=hint,
        )


class FiniteWatch:
    """Looks at every activation and logit of the passes made under it.

    A pass leaves one flag per thing it returned on the device; flags are fetched together, at
    once on a processor and after some passes on an accelerator.
    """

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.broken: Broken | None = None
        self._waiting: list[tuple[tuple[str, ...], tuple[str, str], Tensor]] = []

    def see(self, flags: Mapping[str, Bool[Tensor, ""]], *, model: str, dtype: str) -> None:
        """Take the flags of one pass.

        Raises:
            NotFinite: something was not, in this pass or in an earlier one.
        """
        if not flags:
            return
        first = next(iter(flags.values()))
        together = torch.stack([flag.to(first.device) for flag in flags.values()])
        self._waiting.append((tuple(flags), (model, dtype), together))
        if first.device.type == "cpu" or len(self._waiting) >= _AHEAD:
            self.check()

    def check(self) -> None:
        """Fetch the flags that wait.

        Raises:
            NotFinite: something was not finite.
        """
        waiting, self._waiting = self._waiting, []
        if waiting and self.broken is None:
            device = waiting[0][2].device
            fetched = torch.cat([flags.to(device) for _, _, flags in waiting]).tolist()
            every = [(name, about) for names, about, _ in waiting for name in names]
            wrong = (named for named, is_fine in zip(every, fetched, strict=True) if not is_fine)
            for name, (model, dtype) in wrong:
                self.broken = Broken(what=name, model=model, dtype=dtype)
                break
        if self.broken is not None:
            raise self.broken.error()


_current: ContextVar[FiniteWatch | None] = ContextVar("finite watch", default=None)


@contextmanager
def watching(watch: FiniteWatch | None = None) -> Iterator[FiniteWatch]:
    """Watch every pass of any model that is made inside, in this thread; go on with a watch."""
    watch = watch or FiniteWatch()
    token = _current.set(watch)
    try:
        yield watch
    finally:
        _current.reset(token)


@contextmanager
def unwatched() -> Iterator[None]:
    """Make passes whose numbers may be anything, such as those that look for the cause."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def current_watch() -> FiniteWatch | None:
    """Return the watch that passes are made under, None outside of one."""
    return _current.get()


def see_states(states: Tensor, *, model: str, real: Tensor | None = None) -> None:
    """Watch states or logits of a pass made outside of `Model`; `real` is true where they count."""
    watch = current_watch()
    if watch is not None:
        is_finite = torch.isfinite(states).all(dim=-1)
        if real is not None:
            is_finite = is_finite | ~real.to(is_finite.device)
        dtype = str(states.dtype).removeprefix("torch.")
        watch.see({LOGITS: is_finite.all()}, model=model, dtype=dtype)


def report(broken: Broken) -> None:
    """Tell the watch that passes are made under of something that was not finite."""
    watch = current_watch()
    if watch is not None:
        watch.broken = watch.broken or broken


def pass_flags(
    captured: Mapping[Site, Tensor], logits: Tensor | None, mask: Bool[Tensor, "batch seen"]
) -> dict[str, Bool[Tensor, ""]]:
    """Return for every site and for the logits whether all real tokens have finite values."""
    flags = {str(site): finite_rows(x, site, mask).all() for site, x in captured.items()}
    if logits is not None:
        flags[LOGITS] = finite_rows(logits, None, mask).all()
    return flags


def head_flags(h: Tensor, logits: Tensor) -> dict[str, Bool[Tensor, ""]]:
    """Return whether finite states have finite logits; states that are not are seen elsewhere."""
    is_finite = torch.isfinite(logits).all(dim=-1)
    return {LOGITS: (is_finite | ~torch.isfinite(h).all(dim=-1).to(is_finite.device)).all()}


def finite_rows(
    x: Tensor, site: Site | None, mask: Bool[Tensor, "batch seen"]
) -> Bool[Tensor, " batch"]:
    """Return for every row whether all values at its real tokens are finite; None is the logits."""
    if site is not None and site.kind is Kind.ATTN_PATTERN:
        found = torch.isfinite(x).all(dim=-1).all(dim=1)
    else:
        found = torch.isfinite(x).flatten(2).all(dim=-1)
    if site is not None and site.positions is not None:
        return found.all(dim=1)
    is_real = mask[:, -found.shape[1] :].to(found.device)
    return (found | ~is_real).all(dim=1)
