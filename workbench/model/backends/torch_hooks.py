"""The reference backend: plain forward hooks on the transformers model."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.model.backend import Inputs, Outputs, Wanted
from workbench.model.backends.attention import eager_attention, edited_pattern
from workbench.model.backends.twin import Ends, last_real, twin
from workbench.model.edits import Edit, apply
from workbench.model.module_paths import ModulePaths, Point, find_paths
from workbench.model.sites import Kind, Site
from workbench.model.trace import select


class HooksBackend:
    """Reads and edits through hooks that live for one forward pass.

    A whole site is captured by reference, without a copy; selected positions are copied out so
    that the rest is freed. Reading or editing an attention pattern runs that one pass with eager
    attention, which differs from the fused kernels by rounding (about 1e-5 relative).
    """

    name = "hooks"

    def __init__(self, module: nn.Module, tokenizer: Any, paths: ModulePaths | None = None) -> None:
        """Make a weight-sharing twin of the model and find its parts.

        Raises:
            Unsupported: the architecture is not known.
        """
        self.paths = paths or find_paths(module)
        self.module: Any = twin(module)
        self.tokenizer = tokenizer
        self._ends = Ends(module, self.paths)

    def supports(self, kind: Kind, *, edit: bool) -> bool:
        """Whether sites of that kind can be read (or edited) on this model."""
        return self.paths.supports(kind)

    def forward(
        self, inputs: Inputs, *, read: Sequence[Site], edits: Sequence[Edit], logits: Wanted
    ) -> Outputs:
        """Run once; reads see the state after the edits at the same site."""
        run = _Pass(inputs, read, edits)
        with ExitStack() as stack:
            for place in run.places():
                stack.enter_context(self._watch(run, place))
            if any(place.kind is Kind.ATTN_PATTERN for place in run.places()):
                stack.enter_context(eager_attention(self.module))
            given = run.embeds()
            found = self._call(run, given, logits)
        return Outputs(logits=found, captured={site: run.captured[site] for site in read})

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """Look token ids up in the input embedding."""
        return self._ends.embed(ids)

    def unembed(
        self, h: Float[Tensor, "*batch d_model"], *, normed: bool
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Map residual-stream states to logits, through the final norm unless `normed`."""
        return self._ends.unembed(h, normed=normed)

    @contextmanager
    def _watch(self, run: "_Pass", place: Site) -> Iterator[None]:
        if place.kind is Kind.LOGITS or (place.kind is Kind.EMBED and run.inputs.ids is None):
            yield
            return
        point = self.paths.point(place)
        module = self.module.get_submodule(point.path)
        if place.kind is Kind.ATTN_PATTERN and run.edits[place]:
            with edited_pattern(module, lambda x: run.visit(place, x)):
                yield
            return
        handle = _attach(module, point, run.batch, lambda x: run.visit(place, x))
        try:
            yield
        finally:
            handle.remove()

    def _call(self, run: "_Pass", embeds: Tensor | None, logits: Wanted) -> Tensor | None:
        arguments = run.arguments(embeds)
        whole = Site(Kind.LOGITS)
        if logits == "all" or whole in run.places():
            full = run.visit(whole, self.module(**arguments).logits)
            return _keep(full, run.inputs.mask, logits)
        if logits == "none":
            self.module.base_model(**arguments)
            return None
        head = self.module.get_submodule(self.paths.head)
        handle = head.register_forward_pre_hook(
            lambda _, args: (_keep(args[0], run.inputs.mask, "last"),)
        )
        try:
            found: Tensor = self.module(**arguments).logits
        finally:
            handle.remove()
        return found


class _Pass:
    """What one forward pass is asked for, and what it has found so far."""

    def __init__(self, inputs: Inputs, read: Sequence[Site], edits: Sequence[Edit]) -> None:
        self.inputs = inputs
        self.batch = inputs.mask.shape[0]
        self.captured: dict[Site, Tensor] = {}
        self.reads: dict[Site, list[Site]] = defaultdict(list)
        self.edits: dict[Site, list[Edit]] = defaultdict(list)
        for site in read:
            self.reads[site.whole()].append(site)
        for edit in edits:
            if edit.enabled:
                self.edits[edit.site.whole()].append(edit)
        self._masks = {inputs.mask.device: inputs.mask}

    def places(self) -> tuple[Site, ...]:
        return tuple(dict.fromkeys((*self.reads, *self.edits)))

    def visit(self, place: Site, x: Tensor) -> Tensor:
        """Edit the activation, keep what is read of it, and return it."""
        mask = self._masks.setdefault(x.device, self.inputs.mask.to(x.device))
        for edit in self.edits.get(place, ()):
            x = apply(edit, x, mask)
        for site in self.reads.get(place, ()):
            self.captured[site] = select(x, mask, site.positions).detach()
        return x

    def embeds(self) -> Tensor | None:
        """The given input vectors, after the edits at `embed`."""
        place = Site(Kind.EMBED)
        if self.inputs.embeds is None:
            return None
        return self.visit(place, self.inputs.embeds)

    def arguments(self, embeds: Tensor | None) -> dict[str, Any]:
        """The keyword arguments of the transformers model."""
        given = {"input_ids": self.inputs.ids} if embeds is None else {"inputs_embeds": embeds}
        return {
            **given,
            "attention_mask": None if _is_plain(self.inputs) else self.inputs.mask.long(),
            "position_ids": self.inputs.position_ids,
            "past_key_values": self.inputs.cache,
            "use_cache": self.inputs.cache is not None,
        }


def _is_plain(inputs: Inputs) -> bool:
    """Whether nothing is padded, cached or shifted, so that no mask is needed."""
    if inputs.cache is not None or not bool(inputs.mask.all()):
        return False
    count = torch.arange(inputs.mask.shape[1], device=inputs.position_ids.device)
    return bool((inputs.position_ids == count).all())


def _keep(x: Tensor, mask: Tensor, logits: Wanted) -> Tensor | None:
    if logits == "none":
        return None
    if logits == "all":
        return x
    column = last_real(mask.to(x.device), x.shape[1])
    return x[torch.arange(x.shape[0], device=x.device), column][:, None]


def _attach(
    module: nn.Module, point: Point, batch: int, visit: Callable[[Tensor], Tensor]
) -> torch.utils.hooks.RemovableHandle:
    def through(raw: Tensor) -> Tensor:
        x = point.view(raw, batch)
        changed = visit(x)
        return raw if changed is x else point.write(raw, changed)

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (through(args[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": through(kwargs["hidden_states"])}

    def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, Tensor):
            return through(output)
        found = list(output)
        found[point.element] = through(found[point.element])
        return tuple(found)

    if point.side == "input":
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(after)
