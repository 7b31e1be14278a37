"""Whether the backends agree with a plain Hugging Face forward pass, and with each other."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.errors import Unsupported, WorkbenchError
from workbench.model.backends import BACKENDS
from workbench.model.backends.implementations import implementations
from workbench.model.capabilities import known_checks, verdict
from workbench.model.comparison import across, rounding
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.module_paths import find_paths
from workbench.model.parity_row import ParityRow
from workbench.model.parity_runs import RUNS, Difference, relative_errors
from workbench.model.sites import Kind, every_layer
from workbench.model.tokens import Tokens, pad
from workbench.model.wrap import wrap_model
from workbench.progress import Progress, silent

_TEXTS = (
    "The quick brown fox jumps over the lazy dog, and nobody who saw it was surprised.",
    "Water boils at one hundred degrees.",
    "If a train leaves at noon and travels for three hours, it arrives at three.",
    "Yes, of course.",
)


def parity_table(
    model: Model | str,
    *,
    texts: Sequence[str] = _TEXTS,
    device: str = "auto",
    dtype: str = "auto",
    sites: bool = True,
    progress: Progress = silent,
) -> list[ParityRow]:
    """Compare every backend and attention implementation with plain forward, and with each other.

    With `sites`, every site of every backend is tried, one row each, whether it works or why it
    is refused.
    Under the same attention implementation the difference may be 16 times the precision of the
    number format, across implementations at most 1e-4, or that much in half precision. Where
    transformers' own implementations differ by more, nothing is demanded across them. The last
    layer is compared after the final norm. Patching, ablation, steered generation and a latent
    loop are compared with the hooks backend.

    Raises:
        Unsupported: the model is not on the hooks backend.
        BadOption: no such device or number format.
        ModelNotFound: no model of that name.
    """
    if isinstance(model, str):
        model = load_model(model, device=device, dtype=dtype)
    if model.backend.name != "hooks":
        raise Unsupported(
            f"parity starts from the plain model, got backend {model.backend.name}",
            hint="load it with backend='hooks'",
        )
    return _compare(model, _batches(model, texts), progress, sites=sites)


def _compare(
    model: Model, batches: Mapping[str, Tokens], progress: Progress, *, sites: bool
) -> list[ParityRow]:
    known = implementations(model.backend.module)
    references = {name: _Plain(module, batches) for name, module in known.items()}
    rows = _between_plain(references, batches)
    demanded = all(row.largest is None or row.largest <= _across(model) for row in rows)
    pairs = [
        (attention, backend)
        for attention in known
        for backend in BACKENDS
        if backend != "transformer-lens" or attention == "eager" or len(known) == 1
    ]
    hooks = {attention: _on(model, module, "hooks") for attention, module in known.items()}
    for done, (attention, backend) in enumerate(pairs):
        progress(done, len(pairs), f"{backend}, {attention} attention")
        reference = hooks[attention]
        try:
            ours = reference if backend == "hooks" else _on(model, known[attention], backend)
        except WorkbenchError as error:
            rows.append(_refused(backend, attention, "loads", error.message))
            continue
        rows += capability_rows(ours, attention) if sites else []
        rows += _against_plain(ours, batches, references, attention, demanded=demanded)
        rows += _against_hooks(ours, reference, batches, attention)
    progress(len(pairs), len(pairs), "compared")
    return rows


def capability_rows(model: Model, attention: str) -> list[ParityRow]:
    """Return one row for each site that can be read or edited, and one for `unembed`."""
    rows = []
    for capability in known_checks():
        found = verdict(model, capability)
        rows.append(
            ParityRow(
                backend=model.backend.name,
                attention=attention,
                check=capability,
                reference="its check on a few tokens",
                largest=found.largest,
                allowed=found.allowed,
                note=found.reason,
                refused=not found.works,
            )
        )
    return rows


def _between_plain(
    references: Mapping[str, "_Plain"], batches: Mapping[str, Tokens]
) -> list[ParityRow]:
    """Compare transformers with itself: its attention implementations among each other."""
    names = list(references)
    rows = []
    for batch, tokens in batches.items() if len(names) > 1 else ():
        kept = _but_first(tokens)
        a, b = (references[name].logits[batch] for name in names[:2])
        errors = _errors(a, b, kept)
        rows.append(
            ParityRow(
                backend="transformers",
                attention=names[0],
                check="logits",
                batch=batch,
                reference=f"plain forward, {names[1]} attention",
                largest=float(errors.max()),
                mean=float(errors.mean()),
                n_tokens=int(kept.sum()),
                note="transformers beside itself",
            )
        )
    return rows


def _batches(model: Model, texts: Sequence[str]) -> dict[str, Tokens]:
    ids = [row[:32] for t in texts if len(row := model.tokenize(t).row(0)) > 1]
    shortest = min(len(row) for row in ids)
    return {
        "even": pad([row[:shortest] for row in ids]).to(model.device),
        "left": pad(ids, side="left").to(model.device),
        "right": pad(ids, side="right").to(model.device),
    }


def _on(model: Model, module: nn.Module, backend: str) -> Model:
    spec = model.spec
    return wrap_model(
        module, model.tokenizer, name=spec.name, backend=backend, weights_hash=spec.weights_hash
    )


def _refused(backend: str, attention: str, check: str, reason: str) -> ParityRow:
    return ParityRow(backend=backend, attention=attention, check=check, note=reason, refused=True)


class _Plain:
    """What a plain forward pass returns on each batch: logits and hidden states."""

    def __init__(self, module: Any, batches: Mapping[str, Tokens]) -> None:
        paths = find_paths(module)
        self.norm = module.get_submodule(paths.norm)
        self.logits: dict[str, Tensor] = {}
        self.states: dict[str, tuple[Tensor, ...]] = {}
        for name, tokens in batches.items():
            padding = (
                {"attention_mask": tokens.mask.long(), "position_ids": tokens.position_ids}
                if tokens.is_padded
                else {}
            )
            with torch.no_grad():
                out = module(tokens.ids, use_cache=False, output_hidden_states=True, **padding)
            self.logits[name] = out.logits
            states = getattr(out, "hidden_states", None) or ()
            # Some models record no states, or others than those between the blocks.
            self.states[name] = states if len(states) == paths.n_layers + 1 else ()


def _against_plain(
    ours: Model,
    batches: Mapping[str, Tokens],
    references: Mapping[str, _Plain],
    attention: str,
    *,
    demanded: bool,
) -> Iterator[ParityRow]:
    layers = every_layer(Kind.RESID_POST, ours.spec)
    for batch, tokens in batches.items():
        try:
            trace = ours.run(tokens, read=layers, logits="all")
        except WorkbenchError as error:
            yield _refused(ours.backend.name, attention, f"{batch} batch", error.message)
            continue
        for name, plain in references.items():
            allowed = _rounding(ours) if name == attention else _across(ours)
            pairs = {"logits": ([cast(Tensor, trace.logits)], [plain.logits[batch]])}
            if plain.states[batch]:
                states = [trace.activations[site] for site in layers]
                with torch.no_grad():
                    states[-1] = plain.norm(states[-1])
                pairs["resid_post, every layer"] = states, list(plain.states[batch][1:])
            for check, (found, wanted) in pairs.items():
                yield ParityRow(
                    backend=ours.backend.name,
                    attention=attention,
                    check=check,
                    batch=batch,
                    reference=f"plain forward, {name} attention",
                    allowed=allowed if demanded or name == attention else None,
                    **_distance(found, wanted, _but_first(tokens)),
                )


def _distance(
    found: Sequence[Tensor], wanted: Sequence[Tensor], kept: Bool[Tensor, "batch pos"]
) -> dict[str, Any]:
    errors = [_errors(a, b, kept) for a, b in zip(found, wanted, strict=True)]
    worst = max(range(len(errors)), key=lambda i: float(errors[i].max()))
    return {
        "largest": float(errors[worst].max()),
        "mean": float(torch.stack(errors).mean()),
        "n_tokens": int(kept.sum()),
        "note": f"largest in layer {worst}" if len(errors) > 1 and errors[worst].any() else "",
    }


def _against_hooks(
    ours: Model, hooks: Model, batches: Mapping[str, Tokens], attention: str
) -> Iterator[ParityRow]:
    if ours is hooks:
        return
    for name, run in RUNS.items():
        batch = "even" if name == "latent loop" else "left"
        try:
            found: Difference = run(ours, hooks, batches[batch])
        except WorkbenchError as error:
            yield _refused(ours.backend.name, attention, name, error.message)
            continue
        yield ParityRow(
            backend=ours.backend.name,
            attention=attention,
            check=name,
            batch=batch,
            reference=f"hooks, {attention} attention",
            largest=found.largest,
            mean=found.mean,
            allowed=_rounding(ours),
            n_tokens=found.n,
            note=found.note,
        )


def _rounding(model: Model) -> float:
    return rounding(getattr(torch, model.spec.dtype))


def _across(model: Model) -> float:
    return across(getattr(torch, model.spec.dtype))


def _but_first(tokens: Tokens) -> Bool[Tensor, "batch pos"]:
    return tokens.mask & (tokens.mask.long().cumsum(dim=1) > 1)


def _errors(
    a: Float[Tensor, "batch pos width"],
    b: Float[Tensor, "batch pos width"],
    kept: Bool[Tensor, "batch pos"],
) -> Float[Tensor, " n"]:
    return relative_errors(a[kept], b[kept])
