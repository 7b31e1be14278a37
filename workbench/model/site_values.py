"""What an activation must equal: the plain model's own states, and the sums within a block."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from workbench.errors import Unsupported
from workbench.model.comparison import Comparison
from workbench.model.site_probe import Probe, plain_outputs
from workbench.model.sites import Kind

Compare = Callable[[Probe], Iterator[Comparison]]


def compared(kind: Kind, probe: Probe) -> list[Comparison]:
    """Compare an activation with everything that the plain model can say of it."""
    return list(_COMPARED[kind](probe)) if kind in _COMPARED else []


def sums(probe: Probe) -> Iterator[Comparison]:
    """Compare the parts that a block adds to the residual stream with the states between them."""
    pre, post = probe.read(Kind.RESID_PRE), probe.read(Kind.RESID_POST)
    attn, mid, mlp = (
        probe.read(kind) if probe.model.backend.layers_with(kind) else {}
        for kind in (Kind.ATTN_OUT, Kind.RESID_MID, Kind.MLP_OUT)
    )
    for layer, x in mid.items():
        if layer in attn and not any(edit.site.kind is Kind.RESID_MID for edit in probe.edits):
            what = f"resid_pre + attn_out against resid_mid in layer {layer}"
            yield Comparison(what=what, found=pre[layer] + attn[layer], wanted=x)
        what = f"resid_mid + mlp_out against resid_post in layer {layer}"
        yield Comparison(what=what, found=x + mlp[layer], wanted=post[layer])
    for layer in (i for i in attn if i in mlp and i not in mid):
        what = f"resid_pre + attn_out + mlp_out against resid_post in layer {layer}"
        total = pre[layer] + attn[layer] + mlp[layer]
        yield Comparison(what=what, found=total, wanted=post[layer])


def _embed(probe: Probe) -> Iterator[Comparison]:
    wanted = probe.model.embed(probe.tokens.ids)
    what = "embed against the input embedding"
    yield Comparison(what=what, found=probe.read(Kind.EMBED)[0], wanted=wanted)


def _logits(probe: Probe) -> Iterator[Comparison]:
    wanted = plain_outputs(probe).logits
    what = "logits against the plain model"
    yield Comparison(what=what, found=probe.read(Kind.LOGITS)[0], wanted=wanted)


def _resid_pre(probe: Probe) -> Iterator[Comparison]:
    found, post = probe.read(Kind.RESID_PRE), probe.read(Kind.RESID_POST)
    for layer in range(1, probe.model.spec.n_layers):
        what = f"resid_pre of layer {layer} against resid_post before it"
        yield Comparison(what=what, found=found[layer], wanted=post[layer - 1])


def _resid_post(probe: Probe) -> Iterator[Comparison]:
    found = probe.read(Kind.RESID_POST)
    states = _hidden_states(probe)
    if states is None:
        yield from _resid_pre(probe)
        return
    last = probe.model.spec.n_layers - 1
    for layer in range(last):
        what = f"resid_post of layer {layer} against output_hidden_states"
        yield Comparison(what=what, found=found[layer], wanted=states[layer + 1])
    what = f"resid_post of layer {last} through the final norm against output_hidden_states"
    yield Comparison(what=what, found=_normed(probe, found[last]), wanted=states[-1])


def _final_norm(probe: Probe) -> Iterator[Comparison]:
    found, states = probe.read(Kind.FINAL_NORM)[0], _hidden_states(probe)
    if states is not None:
        what = "final_norm against the last of output_hidden_states"
        yield Comparison(what=what, found=found, wanted=states[-1])
        return
    wanted = _normed(probe, probe.read(Kind.RESID_POST)[probe.model.spec.n_layers - 1])
    yield Comparison(what="final_norm against the norm", found=found, wanted=wanted)


def _pattern(probe: Probe) -> Iterator[Comparison]:
    module: Any = probe.model.backend.plain
    before = module.config._attn_implementation
    module.set_attn_implementation("eager")
    try:
        wanted = plain_outputs(probe, output_attentions=True).attentions
    finally:
        module.set_attn_implementation(before)
    found = probe.read(Kind.ATTN_PATTERN)
    shown = [x for x in wanted or () if isinstance(x, Tensor)]
    if len(shown) == probe.model.spec.n_layers:
        shown = [shown[layer] for layer in found]
    if len(shown) != len(found):
        raise Unsupported(f"the plain model shows {len(shown)} patterns, not {len(found)}")
    for (layer, x), y in zip(found.items(), shown, strict=True):
        what = f"attn_pattern of layer {layer} against output_attentions of eager attention"
        yield Comparison(what=what, found=x.transpose(1, 2), wanted=y.transpose(1, 2))


def _hidden_states(probe: Probe) -> tuple[Tensor, ...] | None:
    states = getattr(plain_outputs(probe, output_hidden_states=True), "hidden_states", None)
    fits = isinstance(states, tuple) and len(states) == probe.model.spec.n_layers + 1
    return states if fits else None


def _normed(probe: Probe, h: Tensor) -> Tensor:
    with torch.no_grad():
        normed: Tensor = probe.model.backend.plain.get_submodule(probe.model.backend.paths.norm)(h)
    return normed


_COMPARED: dict[Kind, Compare] = {
    Kind.EMBED: _embed,
    Kind.RESID_PRE: _resid_pre,
    Kind.ATTN_PATTERN: _pattern,
    Kind.ATTN_OUT: sums,
    Kind.RESID_MID: sums,
    Kind.MLP_OUT: sums,
    Kind.RESID_POST: _resid_post,
    Kind.FINAL_NORM: _final_norm,
    Kind.LOGITS: _logits,
}
