"""Whether sites of each kind can be read and edited, and whether states map to logits."""

from collections.abc import Iterable
from functools import partial
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from workbench.errors import Unsupported
from workbench.model.capabilities import CHECKS, check, verdict
from workbench.model.comparison import Comparison, across, rounding, worst
from workbench.model.edits import Edit, Op
from workbench.model.site_edits import moved_too_little, row_edits
from workbench.model.site_heads import owned
from workbench.model.site_probe import Probe, different_rows, equal_rows, on_hooks, sizes_of
from workbench.model.site_values import compared
from workbench.model.sites import Kind, Site
from workbench.model.subject import Subject
from workbench.model.verdict import Verdict

_HOOKS = "hooks"
# What was allowed before is asked again at every pass and every generated token.
_ALLOWED: WeakKeyDictionary[Subject, set[tuple[tuple[Site, bool], ...]]] = WeakKeyDictionary()
_REMEMBERED = 64


def capability_of(kind: Kind, *, edit: bool) -> str:
    """Return the name under which reading or editing a kind of site is judged."""
    return f"{'edit' if edit else 'read'} {kind}"


def site_problem(model: Subject, site: Site, *, edit: bool) -> str:
    """Return why a site cannot be read or edited on that model; empty when it can."""
    backend, kind = model.backend, site.kind
    capability = capability_of(kind, edit=edit)
    if not backend.supports(kind, edit=edit):
        return f"{capability.split()[0]} {site}: {_absent(model, kind, edit=edit)}"
    if site.layer is not None and site.layer not in backend.layers_with(kind):
        layers = ", ".join(map(str, backend.layers_with(kind)))
        return f"{capability.split()[0]} {site}: only layers {layers} have {kind}"
    if model.is_checked:
        return ""
    found = verdict(model, capability)
    return "" if found.works else f"{capability.split()[0]} {site}: {found.reason}"


def check_sites(model: Subject, wanted: Iterable[tuple[Site, bool]]) -> None:
    """Refuse sites that cannot be read, or edited where the second is true.

    Raises:
        Unsupported: the message names every one of them.
    """
    asked = tuple(wanted)
    allowed = _ALLOWED.setdefault(model, set())
    if asked in allowed:
        return
    problems = [
        problem for site, edit in asked if (problem := site_problem(model, site, edit=edit))
    ]
    if not problems and not model.is_checked and len(allowed) < _REMEMBERED:
        allowed.add(asked)
    if problems:
        told = "; ".join(_together(problems))
        raise Unsupported(
            f"{model.spec.name} on backend {model.backend.name} cannot {told}",
            hint="`workbench models show NAME` lists the sites that can be read and edited",
        )


def _together(problems: Iterable[str]) -> list[str]:
    """Say a reason once for all layers that have it."""
    places: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        what, _, reason = problem.partition(": ")
        verb, _, place = what.partition(" ")
        places.setdefault((verb, reason), []).append(place)
    return [f"{verb} {', '.join(some)}: {reason}" for (verb, reason), some in places.items()]


def _check_read(kind: Kind, model: Subject) -> Verdict:
    capability = capability_of(kind, edit=False)
    _claimed(model, kind, edit=False)
    probe = different_rows(model)
    _check_shapes(probe, kind)
    allowed = across(_dtype(model)) if kind is Kind.ATTN_PATTERN else rounding(_dtype(model))
    if model.backend.name == _HOOKS:
        found = compared(kind, probe)
        if kind in (Kind.Q, Kind.K, Kind.V, Kind.Z):
            found += owned(probe, kind)
        return judged(capability, found, allowed)
    _on_hooks(model, capability)
    wanted = Probe(on_hooks(model), probe.tokens).read(kind)
    found = [
        Comparison(what=f"layer {layer} against the hooks backend", found=x, wanted=wanted[layer])
        for layer, x in probe.read(kind).items()
    ]
    return judged(capability, found, across(_dtype(model)))


def _check_edit(kind: Kind, model: Subject) -> Verdict:
    capability = capability_of(kind, edit=True)
    _claimed(model, kind, edit=True)
    readable = verdict(model, capability_of(kind, edit=False))
    if not readable.works:
        return Verdict(capability=capability, works=False, reason=readable.reason)
    layers = model.backend.layers_with(kind) if kind.has_layer else (0,)
    few, rows = equal_rows(model, 2), equal_rows(model, len(layers) + 1)
    edits = row_edits(few, kind)
    changed, same = rows.edited(edits), few.edited([_unchanged(edit) for edit in edits])
    is_summed = model.backend.name == _HOOKS and kind in _IN_SUMS
    changed.read_together(_of_sums(model) if is_summed else ())
    still = [layers[row] for row in moved_too_little(rows.logits(), changed.logits())]
    if still:
        where = f" in layers {', '.join(map(str, still))}" if kind.has_layer else ""
        return Verdict(
            capability=capability,
            works=False,
            reason=f"an edit{where} left the logits as they were",
        )
    found = [
        Comparison(what="logits under an edit that changes nothing", found=same.logits(),
                   wanted=few.logits()),
        Comparison(what="logits of a row beside edited ones", found=changed.logits()[-1:],
                   wanted=rows.logits()[-1:]),
    ]  # fmt: skip
    allowed = rounding(_dtype(model))
    if model.backend.name == _HOOKS:
        found += compared(kind, changed) if is_summed else []
    else:
        allowed = across(_dtype(model))
        _on_hooks(model, capability)
        wanted = Probe(on_hooks(model), rows.tokens, edits).logits()
        what = "logits under an edit against the hooks backend"
        found.append(Comparison(what=what, found=changed.logits(), wanted=wanted))
    return judged(capability, found, allowed)


_IN_SUMS = (Kind.ATTN_OUT, Kind.RESID_MID, Kind.MLP_OUT)


@check("unembed")
def _check_unembed(model: Subject) -> Verdict:
    probe = different_rows(model)
    last = probe.read(Kind.RESID_POST)[model.spec.n_layers - 1]
    normed, wanted = probe.read(Kind.FINAL_NORM)[0], probe.logits()
    found = [
        Comparison(what="unembed(last resid_post) against the logits",
                   found=model.backend.unembed(last, normed=False), wanted=wanted),
        Comparison(what="unembed(final_norm) against the logits",
                   found=model.backend.unembed(normed, normed=True), wanted=wanted),
    ]  # fmt: skip
    return judged("unembed", found, rounding(_dtype(model)))


@check("input vectors")
def _check_input_vectors(model: Subject) -> Verdict:
    probe = different_rows(model)
    vectors = model.backend.embed(probe.tokens.ids)
    found = model.run(probe.tokens, embeds=vectors, logits="all").logits
    what = "logits from embed(ids) against logits from ids"
    comparison = Comparison(what=what, found=cast(Tensor, found), wanted=probe.logits())
    return judged("input vectors", [comparison], rounding(_dtype(model)))


def _claimed(model: Subject, kind: Kind, *, edit: bool) -> None:
    if not model.backend.supports(kind, edit=edit):
        raise Unsupported(_absent(model, kind, edit=edit))


def _absent(model: Subject, kind: Kind, *, edit: bool) -> str:
    offered = ", ".join(k for k in Kind if model.backend.supports(k, edit=edit)) or "nothing"
    return (
        f"no part of {model.spec.architecture} gives {kind} by itself; "
        f"parts were found for {offered}"
    )


def _on_hooks(model: Subject, capability: str) -> None:
    found = verdict(on_hooks(model), capability)
    if not found.works:
        raise Unsupported(f"the hooks backend, its reference, cannot: {found.reason}")


def _check_shapes(probe: Probe, kind: Kind) -> None:
    rows, n_pos = probe.tokens.ids.shape
    expected = (rows, *sizes_of(probe.model.spec, kind, n_pos))
    for layer, x in probe.read(kind).items():
        if tuple(x.shape) != expected:
            where = f" in layer {layer}" if kind.has_layer else ""
            raise Unsupported(f"{kind}{where} has shape {tuple(x.shape)}; expected {expected}")


def judged(capability: str, found: Iterable[Comparison], allowed: float) -> Verdict:
    """Return the verdict that the farthest comparison gives."""
    farthest = worst(found)
    if farthest is None:
        return Verdict(capability=capability, works=True)
    largest = farthest.largest
    works = largest <= allowed
    reason = (
        "" if works else f"{farthest.what}: relative error {largest:.2g}, allowed {allowed:.2g}"
    )
    return Verdict(
        capability=capability, works=works, largest=largest, allowed=allowed, reason=reason
    )


def _unchanged(edit: Edit) -> Edit:
    return Edit(site=edit.site, op=Op.SCALE, value=1.0, rows=(1,))


def _of_sums(model: Subject) -> list[Kind]:
    kinds = (Kind.RESID_PRE, *_IN_SUMS, Kind.RESID_POST)
    return [kind for kind in kinds if model.backend.layers_with(kind)]


def _dtype(model: Subject) -> torch.dtype:
    found: torch.dtype = getattr(torch, model.spec.dtype)
    return found


for _kind in Kind:
    CHECKS[capability_of(_kind, edit=False)] = partial(_check_read, _kind)
    CHECKS[capability_of(_kind, edit=True)] = partial(_check_edit, _kind)
