"""Checks of what generation builds on: padding, caches, and rows that share a prefix."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import ModelError
from workbench.model.apart_run import plain_inputs
from workbench.model.backend import Inputs
from workbench.model.caches import fork_cache, has_attention_alone, new_cache, select_cache
from workbench.model.capabilities import check, verdict
from workbench.model.model import Model
from workbench.model.narrow_windows import narrowed, smallest_window
from workbench.model.shared_prefix import SharedPrefixCache, branching, shared_prefix
from workbench.model.subject import Subject
from workbench.model.tokens import Tokens, pad
from workbench.model.verdict import Verdict

_SHORT, _LONG, _STEPS = 3, 12, 4
_ORDER = (1, 0, 1)


@check("padding left")
def padding_left(model: Subject) -> Verdict:
    """Whether a row padded on the left gives what it gives alone, with a cache and without."""
    near = narrowed(model)
    tokens = _two_rows(near, "left")
    errors = [_padded_error(near, tokens)]
    if verdict(model, "cache").works:
        errors.append(_padded_steps_error(near, tokens))
    return _verdict(model, "padding left", errors, "rows padded on the left differ from alone")


@check("padding right")
def padding_right(model: Subject) -> Verdict:
    """Whether a row padded on the right gives what it gives alone."""
    near = narrowed(model)
    errors = [_padded_error(near, _two_rows(near, "right"))]
    return _verdict(model, "padding right", errors, "rows padded on the right differ from alone")


@check("cache")
def cache(model: Subject) -> Verdict:
    """Whether steps with a cache give what one pass over everything gives.

    The steps leave every window. Before them the cache is branched, and its rows are reordered.
    """
    near = narrowed(model)
    start = _start(near)
    whole = _rows(near, (start + _STEPS,) * 2).ids[list(_ORDER)]
    kept = new_cache(near.backend.module)
    head = whole[[1, 0], :start]  # rows 0 and 1, whatever the order
    _logits(near, plain_inputs(head, None, kept))
    where = torch.tensor(_ORDER)
    branch = fork_cache(kept)
    _logits(near, plain_inputs(head[:, :1], None, branch, start))
    select_cache(kept, where)
    steps = [
        _logits(near, plain_inputs(whole[:, at : at + 1], None, kept, at))
        for at in range(start, start + _STEPS)
    ]
    wanted = _logits(near, plain_inputs(whole, None), every=True)[:, start:]
    errors = [_error(torch.cat(steps, dim=1), wanted)]
    return _verdict(model, "cache", errors, "steps with a cache differ from one pass without")


@check("cache, several tokens at once")
def several_at_once(model: Subject) -> Verdict:
    """Whether several tokens added to a cache at once give what one pass over everything gives."""
    near = narrowed(model)
    start = _start(near)
    whole = _rows(near, (start + _STEPS,)).ids
    kept = new_cache(near.backend.module)
    _logits(near, plain_inputs(whole[:, :start], None, kept))
    found = _logits(near, plain_inputs(whole[:, start:], None, kept, start), every=True)
    wanted = _logits(near, plain_inputs(whole, None), every=True)[:, start:]
    name = "cache, several tokens at once"
    return _verdict(model, name, [_error(found, wanted)], "they differ from one pass without cache")


@check("shared prefix")
def rows_behind_a_prefix(model: Subject) -> Verdict:
    """Whether rows behind one shared prefix give what plain passes over each of them give."""
    near = narrowed(model)
    module = near.backend.module
    if not has_attention_alone(module):
        reason = "some layers have a state that is not keys and values"
        return Verdict(capability="shared prefix", works=False, reason=reason)
    start = _start(near) + _STEPS
    prefix = _rows(near, (start,)).ids
    kept = new_cache(module)
    _logits(near, plain_inputs(prefix, None, kept))
    lengths = (start, start // 2, 2)
    with shared_prefix(shared := SharedPrefixCache(kept, rows=3, limit=_STEPS)):
        for row, length in enumerate(lengths):
            shared.place(row, length)
        found = _shared_steps(branching(near), shared, tail := _rows(near, (_STEPS,) * 3).ids)
    errors = [
        _error(
            found[row],
            _logits(
                near,
                plain_inputs(torch.cat([prefix[:, :length], tail[row : row + 1]], dim=1), None),
                every=True,
            )[0, length:],
        )
        for row, length in enumerate(lengths)
    ]
    return _verdict(model, "shared prefix", errors, "rows behind a prefix differ from alone")


def _shared_steps(
    model: Model, shared: SharedPrefixCache, tail: Int[Tensor, "row step"]
) -> Float[Tensor, "row step d_vocab"]:
    found = []
    for step in range(tail.shape[1]):
        ids = tail[:, step : step + 1]
        mask = torch.ones_like(ids, dtype=torch.bool)
        inputs = Inputs(ids=ids, mask=mask, position_ids=shared.position_ids(), cache=shared)
        found.append(_logits(model, inputs))
        shared.grow()
    return torch.cat(found, dim=1)


def _padded_error(model: Model, tokens: Tokens) -> float:
    inputs = Inputs(ids=tokens.ids, mask=tokens.mask, position_ids=tokens.position_ids)
    found = _logits(model, inputs, every=True)
    return max(_error(found[i][tokens.mask[i]], _alone(model, tokens.row(i))) for i in range(2))


def _padded_steps_error(model: Model, tokens: Tokens) -> float:
    """Prefill all but the last tokens of padded rows, then feed these one by one."""
    steps = 2
    width = tokens.ids.shape[1] - steps
    kept = new_cache(model.backend.module)
    found = []
    for end in range(width, width + steps + 1):
        begin = 0 if end == width else end - 1
        inputs = Inputs(
            ids=tokens.ids[:, begin:end],
            mask=tokens.mask[:, :end],
            position_ids=tokens.position_ids[:, begin:end],
            cache=kept,
        )
        found.append(_logits(model, inputs)[:, -1:])
    joined = torch.cat(found, dim=1)
    return max(_error(joined[i], _alone(model, tokens.row(i))[-steps - 1 :]) for i in range(2))


def _alone(model: Model, ids: Sequence[int]) -> Float[Tensor, "pos d_vocab"]:
    row = torch.tensor([list(ids)], device=model.device)
    return _logits(model, plain_inputs(row, None), every=True)[0]


def _logits(
    model: Model, inputs: Inputs, *, every: bool = False
) -> Float[Tensor, "row pos d_vocab"]:
    found = model.forward(inputs, logits="all" if every else "last").logits
    if found is None:
        raise ModelError("the forward pass returned no logits")
    return found


def _start(model: Model) -> int:
    """Return a length from which a few steps leave the smallest window and cross no switch."""
    window = smallest_window(model.backend.module)
    start = _LONG if window is None else max(window - 2, _SHORT)
    switch = model.switch
    if switch is not None and switch.divides([1, start + 2 * _STEPS]):
        start = max((*switch.long, *switch.gradual)) + 1
    return start


def _two_rows(model: Model, side: str) -> Tokens:
    long = _start(model) + 2 * _STEPS
    short = _SHORT if model.switch is None or not model.switch.divides([1, long]) else long - 2
    return _rows(model, (short, long), side=side)


def _rows(model: Model, lengths: Sequence[int], side: str = "right") -> Tokens:
    """Return rows of token ids without a pattern, each row others."""
    rows = [
        [(7 + 31 * i * i + 17 * i + 101 * row) % model.spec.d_vocab for i in range(length)]
        for row, length in enumerate(lengths)
    ]
    return pad(rows, pad_id=1, side="left" if side == "left" else "right").to(model.device)


def _error(found: Float[Tensor, "*n d_vocab"], wanted: Float[Tensor, "*n d_vocab"]) -> float:
    gap = torch.linalg.vector_norm((found - wanted).double(), dim=-1)
    return float((gap / torch.linalg.vector_norm(wanted.double(), dim=-1)).max())


def _verdict(model: Subject, name: str, errors: Sequence[float], reason: str) -> Verdict:
    # Half formats round by so much that other kernels for padded rows move logits by 10 steps.
    allowed = max(1e-4, 32 * torch.finfo(getattr(torch, model.spec.dtype)).eps)
    largest = float(torch.tensor(list(errors)).max())  # NaN stays NaN, and fails
    works = largest <= allowed
    return Verdict(
        capability=name,
        works=works,
        largest=largest,
        allowed=allowed,
        reason="" if works else f"{reason} by {largest:.2g}, where {allowed:.2g} is allowed",
    )
