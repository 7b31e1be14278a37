"""Whether the backends agree with a plain Hugging Face forward pass, and with each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.errors import Unsupported
from workbench.model.backends import BACKENDS
from workbench.model.backends.twin import twin
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.module_paths import find_paths
from workbench.model.parity_runs import RUNS, Difference, relative_errors
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.tokens import Tokens, pad
from workbench.model.wrap import wrap_model
from workbench.progress import Progress, silent

_ATTENTION = ("eager", "sdpa")
_ACROSS = 1e-4
_TEXTS = (
    "The quick brown fox jumps over the lazy dog, and nobody who saw it was surprised.",
    "Water boils at one hundred degrees.",
    "If a train leaves at noon and travels for three hours, it arrives at three.",
    "Yes, of course.",
)


@dataclass(frozen=True, kw_only=True)
class ParityRow:
    """One comparison: how far a backend is from its reference.

    `largest` and `mean` are relative errors per token, ‖a − b‖ / ‖b‖, over real tokens but the
    first of each text, whose states are so large that they would hide the others; for generated
    text, the share of tokens that differ. `largest` is None where the backend cannot take part.
    `allowed` is None where nothing is demanded.
    """

    backend: str
    attention: str
    check: str
    batch: str
    reference: str
    largest: float | None
    mean: float | None
    allowed: float | None
    n_tokens: int
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the difference is within what is allowed."""
        return self.largest is None or self.allowed is None or self.largest <= self.allowed


def parity_table(
    model: Model | str,
    *,
    texts: Sequence[str] = _TEXTS,
    device: str = "auto",
    dtype: str = "auto",
    progress: Progress = silent,
) -> list[ParityRow]:
    """Compare every backend and attention implementation with plain forward, and with each other.

    Under the same attention implementation the difference must be exactly 0, across
    implementations at most 1e-4 in float32; half precision across implementations is only
    reported. The last layer is compared after the final norm. Patching, ablation, steered
    generation and a latent loop are compared with the hooks backend.

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
    return _compare(model, _batches(model, texts), progress)


def _compare(model: Model, batches: Mapping[str, Tokens], progress: Progress) -> list[ParityRow]:
    plain = {name: _switched(model.backend.module, name) for name in _ATTENTION}
    known = {name: module for name, module in plain.items() if module is not None}
    references = {name: _Plain(module, batches) for name, module in known.items()}
    pairs = [
        (attention, backend)
        for attention in known
        for backend in BACKENDS
        if backend != "transformer-lens" or attention == "eager"
    ]
    hooks = {attention: _on(model, module, "hooks") for attention, module in known.items()}
    rows: list[ParityRow] = []
    for done, (attention, backend) in enumerate(pairs):
        progress(done, len(pairs), f"{backend}, {attention} attention")
        reference = hooks[attention]
        try:
            ours = reference if backend == "hooks" else _on(model, known[attention], backend)
        except Unsupported as error:
            rows.append(_absent(backend, attention, error))
            continue
        rows += _against_plain(ours, batches, references, attention)
        rows += _against_hooks(ours, reference, batches, attention)
    progress(len(pairs), len(pairs), "compared")
    return rows


def _batches(model: Model, texts: Sequence[str]) -> dict[str, Tokens]:
    ids = [row[:32] for t in texts if len(row := model.tokenize(t).row(0)) > 1]
    shortest = min(len(row) for row in ids)
    return {
        "even": pad([row[:shortest] for row in ids]).to(model.device),
        "left": pad(ids, side="left").to(model.device),
        "right": pad(ids, side="right").to(model.device),
    }


def _switched(module: nn.Module, attention: str) -> Any:
    found = twin(module)
    try:
        found.set_attn_implementation(attention)
    except ValueError:
        return None
    return found if found.config._attn_implementation == attention else None


def _on(model: Model, module: nn.Module, backend: str) -> Model:
    spec = model.spec
    return wrap_model(
        module, model.tokenizer, name=spec.name, backend=backend, weights_hash=spec.weights_hash
    )


def _absent(backend: str, attention: str, error: Unsupported) -> ParityRow:
    return ParityRow(
        backend=backend,
        attention=attention,
        check="loads",
        batch="",
        reference="",
        largest=None,
        mean=None,
        allowed=None,
        n_tokens=0,
        note=error.message,
    )


class _Plain:
    """What a plain forward pass returns on each batch: logits and hidden states."""

    def __init__(self, module: Any, batches: Mapping[str, Tokens]) -> None:
        self.norm = module.get_submodule(find_paths(module).norm)
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
            self.logits[name], self.states[name] = out.logits, out.hidden_states


def _against_plain(
    ours: Model, batches: Mapping[str, Tokens], references: Mapping[str, _Plain], attention: str
) -> Iterator[ParityRow]:
    layers = every_layer(Kind.RESID_POST, ours.spec)
    for batch, tokens in batches.items():
        trace = ours.run(tokens, read=layers, logits="all")
        kept = _but_first(tokens)
        for name, plain in references.items():
            same = name == attention
            states = [trace.activations[Site(Kind.RESID_POST, s.layer)] for s in layers]
            with torch.no_grad():
                states[-1] = plain.norm(states[-1])
            pairs: list[tuple[str, list[Tensor], list[Tensor]]] = [
                ("logits", [cast(Tensor, trace.logits)], [plain.logits[batch]]),
                ("resid_post, every layer", states, list(plain.states[batch][1:])),
            ]
            for check, found, wanted in pairs:
                errors = [_errors(a, b, kept) for a, b in zip(found, wanted, strict=True)]
                worst = max(range(len(errors)), key=lambda i: float(errors[i].max()))
                yield ParityRow(
                    backend=ours.backend.name,
                    attention=attention,
                    check=check,
                    batch=batch,
                    reference=f"plain forward, {name} attention",
                    largest=float(errors[worst].max()),
                    mean=float(torch.stack(errors).mean()),
                    allowed=0.0 if same else _across(ours),
                    n_tokens=int(kept.sum()),
                    note=f"largest in layer {worst}"
                    if len(errors) > 1 and errors[worst].any()
                    else "",
                )


def _against_hooks(
    ours: Model, hooks: Model, batches: Mapping[str, Tokens], attention: str
) -> Iterator[ParityRow]:
    if ours is hooks:
        return
    for name, run in RUNS.items():
        batch = "even" if name == "latent loop" else "left"
        tokens = batches[batch]
        found: Difference = run(ours, hooks, tokens)
        yield ParityRow(
            backend=ours.backend.name,
            attention=attention,
            check=name,
            batch=batch,
            reference=f"hooks, {attention} attention",
            largest=found.largest,
            mean=found.mean,
            allowed=0.0,
            n_tokens=found.n,
            note=found.note,
        )


def _across(model: Model) -> float | None:
    return _ACROSS if model.spec.dtype in ("float32", "float64") else None


def _but_first(tokens: Tokens) -> Bool[Tensor, "batch pos"]:
    return tokens.mask & (tokens.mask.long().cumsum(dim=1) > 1)


def _errors(
    a: Float[Tensor, "batch pos width"],
    b: Float[Tensor, "batch pos width"],
    kept: Bool[Tensor, "batch pos"],
) -> Float[Tensor, " n"]:
    return relative_errors(a[kept], b[kept])
