"""What every backend does in one forward pass: what is asked, what is found, what is called."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.errors import Unsupported
from workbench.model.backend import Inputs, Wanted
from workbench.model.edits import Edit, apply
from workbench.model.places import Places
from workbench.model.points import ModulePaths
from workbench.model.sites import Kind, Site

_EMBED = Site(Kind.EMBED)
_LOGITS = Site(Kind.LOGITS)


class Pass:
    """What one forward pass is asked for, and what it has found so far."""

    def __init__(self, inputs: Inputs, read: Sequence[Site], edits: Sequence[Edit]) -> None:
        """Sort reads and edits by place: a site at all its positions."""
        self.inputs = inputs
        self.batch = inputs.mask.shape[0]
        self.captured: dict[Site, Tensor] = {}
        self.edits: dict[Site, list[Edit]] = defaultdict(list)
        self._reads: dict[Site, list[Site]] = defaultdict(list)
        self._visits: Counter[Site] = Counter()
        self._masks = {inputs.mask.device: inputs.mask}
        self._chosen = Places(inputs.mask, inputs.host_mask)
        for site in read:
            self._reads[site.whole()].append(site)
        for edit in edits:
            if edit.enabled:
                self.edits[edit.site.whole()].append(edit)

    @cached_property
    def places(self) -> tuple[Site, ...]:
        """Every place that is read or edited."""
        return tuple(dict.fromkeys((*self._reads, *self.edits)))

    @property
    def inside(self) -> tuple[Site, ...]:
        """The places that are met inside the model, not at its two ends."""
        ends = {_LOGITS} if self.inputs.embeds is None else {_LOGITS, _EMBED}
        return tuple(place for place in self.places if place not in ends)

    @property
    def patterns(self) -> tuple[Site, ...]:
        """The attention patterns that are read or edited."""
        return tuple(place for place in self.places if place.kind is Kind.ATTN_PATTERN)

    def visit(self, place: Site, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Edit the activation, keep what is read of it, and return it."""
        self._visits[place] += 1
        for edit in self.edits.get(place, ()):
            x = apply(edit, x, self._mask_on(x.device))
        for site in self._reads.get(place, ()):
            self.captured[site] = self._chosen.select(x, site).detach()
        return x

    def _mask_on(self, device: torch.device) -> Tensor:
        if device not in self._masks:
            self._masks[device] = self.inputs.mask.to(device)
        return self._masks[device]

    def found(self, read: Sequence[Site]) -> dict[Site, Tensor]:
        """Return what was read, once every place is known to have been met exactly once.

        Raises:
            Unsupported: a hook never fired, so that an edit did nothing, or fired repeatedly.
        """
        wrong = {place: self._visits[place] for place in self.places if self._visits[place] != 1}
        if wrong:
            said = ", ".join(f"{place} {n} times" for place, n in wrong.items())
            raise Unsupported(
                f"one forward pass met {said}; expected once each",
                hint="choose another kind of site, or another backend",
            )
        return {site: self.captured[site] for site in read}

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the transformers model.

        The mask is left out when nothing is padded, cached or shifted; otherwise it must be
        given, or positions with jumps would be taken for several texts in one row.
        """
        given: dict[str, Any] = {"input_ids": self.inputs.ids}
        if self.inputs.embeds is not None:
            given = {"inputs_embeds": self.visit(_EMBED, self.inputs.embeds)}
        return given | {
            "attention_mask": self.inputs.mask.long() if _needs_mask(self.inputs) else None,
            "position_ids": self.inputs.position_ids,
            "past_key_values": self.inputs.cache,
            "use_cache": self.inputs.cache is not None,
        }

    def finish(
        self, logits: Float[Tensor, "batch pos d_vocab"] | None, wanted: Wanted
    ) -> Float[Tensor, "batch kept d_vocab"] | None:
        """Visit the logits and keep what was wanted of them."""
        if logits is None:
            return None
        if _LOGITS in self.places:
            logits = self.visit(_LOGITS, logits)
        if wanted == "last" and logits.shape[1] > 1:
            return at_last(logits, self.inputs.mask).clone()
        return logits if wanted != "none" else None

    @contextmanager
    def stop_after(self, model: nn.Module, paths: ModulePaths) -> Iterator[None]:
        """Leave the forward pass after the last block in question, unless a cache is filled."""
        beyond = any(place.kind is Kind.FINAL_NORM for place in self.places)
        if self.inputs.cache is not None or beyond or not self.places:
            yield
            return

        def leave(*_: object) -> None:
            raise _Enough

        deepest = max(place.layer or 0 for place in self.places)
        block = model.get_submodule(f"{paths.layers}.{deepest}")
        with suppress(_Enough), block.register_forward_hook(leave):
            yield

    def logits_needed(self, wanted: Wanted) -> Wanted:
        """Return which logits have to be computed, reads and edits of logits considered."""
        return "all" if _LOGITS in self.places else wanted


class Caller(nn.Module):
    """Calls a transformers model and computes no more of it than is wanted."""

    def __init__(self, model: nn.Module, paths: ModulePaths) -> None:
        """Hold the model and where its parts are."""
        super().__init__()
        self.model: Any = model
        self._paths = paths

    def forward(self, wanted: Wanted, run: Pass) -> Float[Tensor, "batch pos d_vocab"] | None:
        """Run the model; without logits, only as far as the last read or edit."""
        with _mask_built(run.inputs):
            return self._called(wanted, run)

    def _called(self, wanted: Wanted, run: Pass) -> Float[Tensor, "batch pos d_vocab"] | None:
        arguments = run.arguments()
        if run.inputs.visible is not None:
            arguments["attention_mask"] = self._written(run.inputs.visible)
        if wanted == "none":
            with run.stop_after(self.model, self._paths):
                self.model.base_model(**arguments)
            return None
        if wanted == "all":
            return cast(Tensor, self.model(**arguments).logits)
        head = self.model.get_submodule(self._paths.head)
        mask = run.inputs.mask
        with head.register_forward_pre_hook(lambda _, args: (at_last(args[0], mask),)):
            return cast(Tensor, self.model(**arguments).logits)

    def _written(self, visible: Bool[Tensor, "batch pos seen"]) -> Tensor:
        """Write who sees whom as the attention of the model reads it, which then adds nothing."""
        seen = visible[:, None]
        # The library hands a mask of four axes on as it is: kernels read truth, sums numbers.
        if "sdpa" in self.model.config._attn_implementation:
            return seen
        added = torch.zeros(seen.shape, dtype=self.model.dtype, device=seen.device)
        return added.masked_fill(~seen, torch.finfo(added.dtype).min)


class _Enough(Exception):
    """Everything that is read has been read."""


def at_last(
    x: Float[Tensor, "batch pos width"], mask: Bool[Tensor, "batch seen"]
) -> Float[Tensor, "batch one width"]:
    """Keep each row's last real position, whichever side is padded."""
    if x.shape[1] == 1:
        return x
    recent = mask[:, -x.shape[1] :].to(x.device)
    if bool(recent[:, -1].all()):
        return x[:, -1:]
    column = x.shape[1] - 1 - recent.long().flip(1).argmax(dim=1)
    return x[torch.arange(x.shape[0], device=x.device), column][:, None]


@contextmanager
def _mask_built(inputs: Inputs) -> Iterator[None]:
    """Keep transformers from asking the device whether the mask of one padded step can be left out.

    It does not ask where a cache can be compiled, which it looks at for this alone.
    """
    is_step = inputs.needs_mask and inputs.cache is not None and inputs.position_ids.shape[1] == 1
    layers = list(getattr(inputs.cache, "layers", ())) if is_step else []
    before = [getattr(layer, "is_compileable", False) for layer in layers]
    for layer in layers:
        layer.is_compileable = True
    try:
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.is_compileable = was


def _needs_mask(inputs: Inputs) -> bool:
    if inputs.needs_mask is not None:
        return inputs.needs_mask
    if inputs.cache is not None or not bool(inputs.mask.all()):
        return True
    count = torch.arange(inputs.mask.shape[1], device=inputs.position_ids.device)
    is_counted = inputs.position_ids.shape[1] == len(count)
    return not (is_counted and bool((inputs.position_ids == count).all()))
