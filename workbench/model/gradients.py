"""Gradients of a number that the logits give, with respect to the activations they came from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadEdit, BadOption, Unsupported
from workbench.model.apart_run import Joined, plain_inputs
from workbench.model.backend import Inputs, Outputs
from workbench.model.backends.one_pass import Pass
from workbench.model.backends.torch_hooks import HooksBackend
from workbench.model.company import runs_together
from workbench.model.edits import Edit, selection_problems
from workbench.model.model import Model
from workbench.model.places import select
from workbench.model.row_groups import equal_rows
from workbench.model.site_checks import check_sites
from workbench.model.sites import Kind, Site
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace

Score = Callable[[Tensor, Sequence[int]], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Gradients:
    """What each row of a batch scored, the activations behind it, and the slope by each of them.

    `slopes` have the layout of the activations in `trace`; both are cut off from any graph.
    """

    trace: Trace
    scores: Float[Tensor, " batch"]
    slopes: Mapping[Site, Tensor]


def gradients(
    model: Model,
    tokens: Tokens | str | Sequence[str],
    score: Score,
    *,
    at: Sequence[Site | str],
    edits: Sequence[Edit] = (),
) -> Gradients:
    """Run once and differentiate each row's score by its own activations at the sites.

    `score(logits, rows)` gives one number for each of those rows of the batch, from its logits
    after its last token, `row d_vocab`. A slope is the total one: through everything that stands
    between the site and the logits, after the edits at the site. Parameters gather no gradient.

    Raises:
        BadSite: a site does not exist in this model.
        BadEdit: an edit names rows or heads that there are not.
        BadOption: the score is not one number per row, or does not depend on the logits.
        Unsupported: the backend is not `hooks`, the model has no such site, or it is a pattern.
    """
    batch = (tokens if isinstance(tokens, Tokens) else model.tokenize(tokens)).to(model.device)
    sites = model.sites(at)
    edits = [replace(edit, site=edit.site.resolve(model.spec)) for edit in edits]
    _check(model, sites, edits, len(batch.ids))
    found, slopes = Joined("last"), Joined("last")
    whole = [Outputs(), Outputs()]
    if runs_together(model, batch):
        inputs = Inputs(ids=batch.ids, mask=batch.mask, position_ids=batch.position_ids)
        rows = range(len(batch.ids))
        whole = list(_differentiated(model, inputs, lambda x: score(x, rows), sites, edits))
    else:
        for place in equal_rows(batch):
            inputs = plain_inputs(place.take(batch.ids), None)
            mine = place.edits(edits)
            parts = _differentiated(model, inputs, _on(score, place.rows), sites, mine)
            for joined, part in zip((found, slopes), parts, strict=True):
                joined.add(place, part)
        whole = [found.outputs(), slopes.outputs()]
    trace = Trace(spec=model.spec, tokens=batch, activations=whole[0].captured)
    scores = torch.as_tensor(whole[0].logits)[:, 0, 0]
    return Gradients(trace=trace, scores=scores, slopes=whole[1].captured)


class _GraphPass(Pass):
    """A forward pass that keeps what is read in the graph."""

    def __init__(self, inputs: Inputs, read: Sequence[Site], edits: Sequence[Edit]) -> None:
        super().__init__(inputs, read, edits)
        self.nodes: dict[Site, Tensor] = {site.whole(): Tensor() for site in read}

    def visit(self, place: Site, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Edit and read as always, then let the rest of the pass go through a node of its own."""
        x = super().visit(place, x)
        if place not in self.nodes:
            return x
        # What was seen is a view of the module's tensor, which the graph does not pass through.
        self.nodes[place] = x.clone() if x.requires_grad else x.clone().requires_grad_()
        return self.nodes[place]


def _differentiated(
    model: Model,
    inputs: Inputs,
    score: Callable[[Tensor], Tensor],
    sites: Sequence[Site],
    edits: Sequence[Edit],
) -> tuple[Outputs, Outputs]:
    """Return the activations with the scores as `row 1 1` in place of logits, and the slopes."""
    backend = model.backend
    if not isinstance(backend, HooksBackend):
        raise _only_hooks(model)
    step = _GraphPass(inputs, sites, edits)
    with model.lock, torch.enable_grad():
        if model.switch is not None:
            model.switch.forget()
        logits = step.finish(backend.run(step, step.logits_needed("last")), "last")
        if logits is None:
            raise BadOption("the backend returned no logits")
        last = logits[:, -1]
        scores = score(last.to(torch.promote_types(last.dtype, torch.float32)))
        _check_scores(scores, len(logits))
        # The rows are independent, so the slope of the sum holds that of every row.
        slopes = torch.autograd.grad(
            scores.sum(), [step.nodes[s.whole()] for s in sites], allow_unused=True
        )
    captured = step.found(sites)
    graded = {}
    for site, slope in zip(sites, slopes, strict=True):
        node = step.nodes[site.whole()]
        slope = torch.zeros_like(node) if slope is None else slope
        graded[site] = select(slope, inputs.mask.to(slope.device), site)
    return Outputs(logits=scores.detach()[:, None, None], captured=captured), Outputs(
        captured=graded
    )


def _on(score: Score, rows: Sequence[int]) -> Callable[[Tensor], Tensor]:
    return lambda logits: score(logits, rows)


def _check(model: Model, sites: Sequence[Site], edits: Sequence[Edit], n: int) -> None:
    if not isinstance(model.backend, HooksBackend):
        raise _only_hooks(model)
    if patterns := [str(site) for site in sites if site.kind is Kind.ATTN_PATTERN]:
        # Kernels form no pattern: the one that is read stands beside the graph.
        raise Unsupported(
            f"nothing is differentiated by {', '.join(patterns)}",
            hint="take q, k, z or attn_out for an attention pattern",
        )
    check_sites(model, [*((site, False) for site in sites), *((e.site, True) for e in edits)])
    if problems := selection_problems(edits, model.spec, n):
        raise BadEdit("; ".join(problems), hint="rows and heads are counted from 0")


def _only_hooks(model: Model) -> Unsupported:
    return Unsupported(
        f"gradients are computed on backend hooks, not {model.backend.name}",
        hint='load_model(name, backend="hooks")',
    )


def _check_scores(scores: Tensor, n: int) -> None:
    if scores.shape != (n,) or not scores.requires_grad:
        raise BadOption(
            f"the score has the shape {tuple(scores.shape)} and "
            f"{'depends' if scores.requires_grad else 'does not depend'} on the logits; "
            f"expected {n} numbers computed from them",
            hint="score=lambda logits, rows: logits[:, 5] - logits[:, 7]",
        )
