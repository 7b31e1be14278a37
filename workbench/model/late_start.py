"""Forward passes that begin at a block in the middle, and behind a beginning that is kept.

What an edit at one layer changes stands above that layer and behind its first position, so that
many edits of one text need neither the blocks below nor the tokens before.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadOption
from workbench.model.apart_run import plain_inputs
from workbench.model.caches import fork_cache, new_cache, select_cache
from workbench.model.capabilities import check, verdict
from workbench.model.company import CACHE, CACHE_SEVERAL
from workbench.model.comparison import Comparison, across
from workbench.model.edits import Edit, Op
from workbench.model.finite import current_watch, pass_flags
from workbench.model.model import Model
from workbench.model.narrow_windows import narrowed
from workbench.model.site_checks import check_sites, judged
from workbench.model.site_probe import equal_rows
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.subject import Subject
from workbench.model.tokens import Tokens
from workbench.model.verdict import Verdict

LATE_START = "late start"


@dataclass(frozen=True, kw_only=True, eq=False)
class Beginning:
    """A batch of equally long rows that was run once, to be run again from any block on.

    `captured` are whole sites from column `cut` on, the stream before every block among them;
    `cache` holds the keys and values of the columns before, None where there are none.
    """

    tokens: Tokens
    cut: int
    captured: Mapping[Site, Float[Tensor, "batch late *shape"]]
    logits: Float[Tensor, "batch d_vocab"]
    cache: Any = None
    blocks_return_tuples: bool = False


def begin(
    model: Model,
    tokens: Tokens,
    *,
    cut: int = 0,
    read: Sequence[Site] = (),
    edits: Sequence[Edit] = (),
) -> Beginning:
    """Run a batch once and keep what later passes begin with.

    Columns before `cut` are not run again later; none are kept where this model notices it.

    Raises:
        BadOption: rows differ in length, or nothing would be left to run.
        Unsupported: a site cannot be read or edited.
    """
    if tokens.is_padded or not 0 <= cut < tokens.ids.shape[1]:
        raise BadOption(
            f"rows of {sorted(set(tokens.lengths))} tokens, {cut} of them kept; expected rows of "
            "one length that is longer",
            hint="run rows of each length by themselves",
        )
    ids = tokens.ids.to(model.device)
    keeps = all(verdict(model, capability).works for capability in (CACHE, CACHE_SEVERAL))
    # Edits say how values lie over positions, and would have to be cut with them.
    cut = cut if keeps and not edits else 0
    cache = new_cache(model.backend.module) if cut else None
    if cut:
        model.forward(plain_inputs(ids[:, :cut], None, cache), logits="none")
    inputs = plain_inputs(ids[:, cut:], None, fork_cache(cache) if cut else None, cut)
    sites = tuple(dict.fromkeys((*every_layer(Kind.RESID_PRE, model.spec), *read)))
    returned: list[object] = []
    first = model.backend.module.get_submodule(f"{model.backend.paths.layers}.0")
    with model.lock, first.register_forward_hook(lambda *seen: returned.append(seen[2])):
        out = model.forward(inputs, read=sites, edits=edits, logits="last")
    return Beginning(
        tokens=tokens,
        cut=cut,
        captured=out.captured,
        logits=torch.as_tensor(out.logits)[:, -1],
        cache=cache,
        blocks_return_tuples=isinstance(returned[-1], tuple),
    )


def run_from(
    model: Model,
    start: Beginning,
    layer: int,
    states: Float[Tensor, "row late d_model"],
    *,
    rows: Sequence[int],
    edits: Sequence[Edit] = (),
) -> Float[Tensor, "row d_vocab"]:
    """Run from the block of that layer on, with those states before it; return the last logits.

    Row i continues row `rows[i]` of the beginning. Positions of edits count over the whole text;
    values of one entry per position cover the columns from the cut on. Edits below the layer
    have no effect.

    Raises:
        Unsupported: this model cannot start late, or a site cannot be edited.
    """
    resolved = [replace(edit, site=edit.site.resolve(model.spec)) for edit in edits]
    check_sites(model, [(edit.site, True) for edit in resolved])
    where = torch.tensor(list(rows), device=model.device)
    cache = None if start.cache is None else select_cache(fork_cache(start.cache), where)
    ids = start.tokens.ids.to(model.device)[where, start.cut :]
    inputs = plain_inputs(ids, None, cache, start.cut)
    known = Edit(site=Site(Kind.RESID_PRE, layer), op=Op.SET, value=states)
    with model.lock, torch.no_grad(), _bypassed(model, layer, start):
        if model.switch is not None:
            model.switch.forget()
        # Not `Model.forward`: a check must never run on a model without its first blocks.
        out = model.backend.forward(inputs, read=(), edits=[known, *resolved], logits="last")
    watch = current_watch()
    if watch is not None and not model.is_checked:
        flags = pass_flags(out.captured, out.logits, inputs.mask)
        watch.see(flags, model=model.spec.name, dtype=model.spec.dtype)
    return torch.as_tensor(out.logits)[:, -1]


def starts_late(model: Model) -> bool:
    """Whether passes from the middle give what whole passes give, tried on first use."""
    return verdict(model, LATE_START).works


@check(LATE_START)
def late_start(model: Subject) -> Verdict:
    """Whether passes that begin at the second, the middle and the last block give the same."""
    near = narrowed(model)
    start = begin(near, equal_rows(near, 2).tokens, cut=2)
    n, wanted = near.spec.n_layers, start.logits[[1, 0]]
    compared = []
    for layer in sorted({min(1, n - 1), n // 2, n - 1}):
        states = start.captured[Site(Kind.RESID_PRE, layer)][[1, 0]]
        found = run_from(near, start, layer, states, rows=(1, 0))
        what = f"logits of a pass from layer {layer} against those of a whole one"
        compared.append(Comparison(what=what, found=found[:, None], wanted=wanted[:, None]))
    return judged(LATE_START, compared, across(getattr(torch, near.spec.dtype)))


@contextmanager
def _bypassed(model: Model, layer: int, start: Beginning) -> Iterator[None]:
    """Let every block below a layer hand on what it is given."""
    module, path = model.backend.module, model.backend.paths.layers

    def hand_on(hidden_states: Tensor, *_: object, **__: object) -> Any:
        return (hidden_states,) if start.blocks_return_tuples else hidden_states

    with ExitStack() as stack:
        for i in range(layer):
            stack.enter_context(_replaced(module.get_submodule(f"{path}.{i}"), hand_on))
        yield


@contextmanager
def _replaced(block: Any, forward: Callable[..., Any]) -> Iterator[None]:
    own = vars(block).get("forward")
    block.forward = forward
    try:
        yield
    finally:
        del block.forward
        if own is not None:
            block.forward = own
