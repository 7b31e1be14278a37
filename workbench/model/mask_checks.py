"""Whether a model honours attention masks and positions of the caller's own."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import ModelError
from workbench.model.apart_run import plain_inputs
from workbench.model.backend import Inputs
from workbench.model.caches import new_cache
from workbench.model.capabilities import check, verdict
from workbench.model.company import CACHE
from workbench.model.comparison import Comparison, across
from workbench.model.masks import MASKS, Layout, Parallel, Piece, causal, lay_out
from workbench.model.model import Model
from workbench.model.narrow_windows import narrowed, smallest_window
from workbench.model.site_checks import judged
from workbench.model.subject import Subject
from workbench.model.tokens import Tokens
from workbench.model.verdict import Verdict

_LENGTHS = (3, 3, 5, 4)


@check(MASKS)
def masks(model: Subject) -> Verdict:
    """Whether branches that are blind to each other give what each gives alone, in any order."""
    near = narrowed(model)
    if near.switch is not None:
        reason = "its rotary frequencies depend on the length of the text"
        return Verdict(capability=MASKS, works=False, reason=reason)
    a, b, c, d = _runs(near)
    found = [_as_plain(near, [*a, *b, *c, *d])]
    one, other = ((*a, Parallel(branches=parts), *d) for parts in ((b, c), (c, b)))
    tokens, layout = lay_out([one, a])
    logits = _logits(near, _inputs(near, tokens, layout))
    alone = _logits(near, plain_inputs(_row(near, [*a, *c]), None))
    columns = slice(len(a) + len(b), len(a) + len(b) + len(c))
    found += [
        Comparison(what="a branch beside another against alone", found=logits[:1, columns],
                   wanted=alone[:, len(a) :]),
        Comparison(what="what follows branches against the same in other order",
                   found=logits[:1, -len(d) :],
                   wanted=_logits(near, _inputs(near, *lay_out([other])))[:, -len(d) :]),
        Comparison(what="a padded row against alone", found=logits[1:, -len(a) :],
                   wanted=_logits(near, plain_inputs(_row(near, a), None))),
    ]  # fmt: skip
    if verdict(model, CACHE).works:
        stepped = _stepped(near, tokens, layout, len(d) - 1)
        what = "steps behind branches with a cache against one pass"
        found.append(Comparison(what=what, found=stepped, wanted=logits[:1, -len(d) :]))
    return judged(MASKS, found, across(getattr(torch, near.spec.dtype)))


def _as_plain(model: Model, ids: Sequence[Piece]) -> Comparison:
    row = _row(model, ids)
    tokens = Tokens(ids=row, mask=torch.ones_like(row, dtype=torch.bool))
    return Comparison(
        what="a causal mask against none",
        found=_logits(model, _inputs(model, tokens, causal(tokens))),
        wanted=_logits(model, plain_inputs(row, None)),
    )


def _stepped(
    model: Model, tokens: Tokens, layout: Layout, steps: int
) -> Float[Tensor, "one step d_vocab"]:
    """Prefill the first row but for its last tokens, and feed these one by one."""
    first = torch.zeros(1, dtype=torch.long)
    layout, tokens = layout.take(first).to(model.device), tokens.take([0]).to(model.device)
    kept, found = new_cache(model.backend.module), []
    width = tokens.ids.shape[1]
    for end in range(width - steps, width + 1):
        begin = 0 if end == width - steps else end - 1
        inputs = Inputs(
            ids=tokens.ids[:, begin:end],
            mask=tokens.mask[:, :end],
            position_ids=layout.position_ids[:, begin:end],
            cache=kept,
            visible=layout.visible[:, :end, :end] if begin == 0 else None,
        )
        found.append(_logits(model, inputs)[:, -1:])
    return torch.cat(found, dim=1)


def _inputs(model: Model, tokens: Tokens, layout: Layout) -> Inputs:
    tokens, layout = tokens.to(model.device), layout.to(model.device)
    return Inputs(
        ids=tokens.ids,
        mask=tokens.mask,
        position_ids=layout.position_ids,
        visible=layout.visible,
    )


def _runs(model: Model) -> list[tuple[Piece, ...]]:
    """Return runs of token ids without a pattern, together longer than the smallest window."""
    first = smallest_window(model.backend.module) or _LENGTHS[0]
    lengths = (first, *_LENGTHS[1:])
    d_vocab = model.spec.d_vocab
    ids = iter([(7 + 31 * i * i + 17 * i) % d_vocab for i in range(sum(lengths))])
    return [tuple(next(ids) for _ in range(n)) for n in lengths]


def _row(model: Model, ids: Sequence[Piece]) -> Tensor:
    return torch.tensor([list(ids)], device=model.device)


def _logits(model: Model, inputs: Inputs) -> Float[Tensor, "row pos d_vocab"]:
    found = model.forward(inputs, logits="all").logits
    if found is None:
        raise ModelError("the forward pass returned no logits")
    return found
