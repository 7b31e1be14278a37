"""The same model with some of its layers left out, sharing every weight."""

from collections.abc import Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from torch import nn

from workbench.errors import BadOption, Unsupported
from workbench.model.backends.torch_hooks import HooksBackend
from workbench.model.backends.twin import twin
from workbench.model.model import Model
from workbench.model.policy import Host

_SHORTER: "WeakKeyDictionary[Model, dict[tuple[int, ...], Model]]" = WeakKeyDictionary()


def with_layers(model: Host, layers: Sequence[int]) -> Model:
    """Return the model with those layers alone; the first of all must be among them.

    Each layer writes to its own place in a cache, so one cache serves several of these as long
    as no layer lacks a position that it is to see. The model is made once and remembered.

    Raises:
        BadOption: a layer does not exist, or the first is missing.
        Unsupported: the backend is not `hooks`.
    """
    kept = tuple(sorted(set(layers)))
    n = model.spec.n_layers
    if not kept or kept[0] != 0 or kept[-1] >= n:
        raise BadOption(f"layers are {list(kept)}; expected some of 0 to {n - 1}, 0 among them")
    if not isinstance(model, Model) or not isinstance(model.backend, HooksBackend):
        raise Unsupported(
            f"layers are left out on backend hooks, not {model.backend.name}",
            hint='load_model(name, backend="hooks")',
        )
    if len(kept) == n:
        return model
    known = _SHORTER.setdefault(model, {})
    if kept not in known:
        known[kept] = _shorter(model, kept)
    return known[kept]


def _shorter(model: Model, kept: tuple[int, ...]) -> Model:
    paths, module = model.backend.paths, twin(model.backend.module)
    parent, _, name = paths.layers.rpartition(".")
    layers = module.get_submodule(paths.layers)
    setattr(module.get_submodule(parent), name, nn.ModuleList([layers[i] for i in kept]))
    for config in {id(c): c for c in (module.config, module.get_submodule(parent).config)}.values():
        config.num_hidden_layers = len(kept)
        if kinds := getattr(config, "layer_types", None):
            config.layer_types = [kinds[i] for i in kept]
    differing = {new: paths.differing[i] for new, i in enumerate(kept) if i in paths.differing}
    return Model(
        spec=replace(model.spec, name=f"{model.spec.name} ({len(kept)} layers)",
                     n_layers=len(kept)),
        tokenizer=model.tokenizer,
        backend=HooksBackend(
            module, model.tokenizer, replace(paths, n_layers=len(kept), differing=differing)
        ),
        checked_as=model,
    )  # fmt: skip
