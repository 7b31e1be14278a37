"""The stage before reinforcement: a model that writes answers in the form that is rewarded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reasoning.hybrid.ablation_run import HybridOptions
from reasoning.hybrid.demonstrations import demonstrations
from reasoning.hybrid.format_objective import FormatObjective
from reasoning.hybrid.workers import BaseAddress
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.model.quiet import no_bars
from workbench.training.adapter import Adapter
from workbench.training.checkpoint import Checkpoint, Manifest
from workbench.training.loop import History, Plan, train

FORMAT, MODEL = "format", "model"


def learn_format(
    model: Model, options: HybridOptions, context: Context
) -> tuple[BaseAddress, History]:
    """Train all weights of a network from nothing, or an adapter on a model; return the base.

    The network from nothing becomes a model folder of its own; the adapter stays apart, and is
    both where every ablation starts and what its distance is measured to. Without steps the model
    is the base as it is.
    """
    folder = context.folder
    if options.preset.format_steps == 0:
        return _address(model), History(losses=(), rates=(), validations=())
    task, rows, held_out = options.problems()
    module, trained, adapter = _trained(model, options, context)
    objective = FormatObjective(
        module,
        trained,
        demonstrations(model, task, rows, options.mark),
        demonstrations(model, task, held_out[:64], options.mark),
    )
    history = train(
        objective,
        _plan(options),
        folder=folder / FORMAT,
        identity=options.identity(FORMAT, model.spec.weights_hash),
        context=context,
    )
    if adapter is None:
        module.requires_grad_(False).to("cpu")
        return _as_folder(module, model, folder / MODEL), history
    manifest = _manifest(options, model, [one.question for one in rows])
    dtype = torch.float16 if options.half else torch.float32
    Checkpoint(manifest=manifest, tensors=adapter.tensors()).save(folder / FORMAT, dtype=dtype)
    return _address(model, start=str(folder / FORMAT)), history


def _address(model: Model, **more: str) -> BaseAddress:
    spec = model.spec
    return BaseAddress(name=spec.name, device=model.device.type, dtype=spec.dtype, **more)


def _trained(
    model: Model, options: HybridOptions, context: Context
) -> tuple[Any, Mapping[str, nn.Parameter], Adapter | None]:
    """Return the module and its weights to train: all of them, or those of an adapter."""
    if options.preset.scratch:
        module: Any = model.backend.module
        module.requires_grad_(True)
        # A small network is quick to teach where there is an accelerator; its ablations are not.
        module.to("cuda" if torch.cuda.is_available() else "cpu")
        return module, dict(module.named_parameters()), None
    adapter = Adapter(
        model, options.preset.lora, generator=context.torch_stream("format adapter"), suffix=FORMAT
    )
    return adapter.module, adapter.parameters(), adapter


def _plan(options: HybridOptions) -> Plan:
    preset = options.preset
    steps, rows, rate = preset.format_steps, preset.format_batch, preset.format_rate
    return Plan.looked_at(8, steps=steps, rows=rows, rate=rate, warmup=20, weight_decay=0.01)


def _as_folder(module: Any, model: Model, folder: Path) -> BaseAddress:
    with no_bars():
        module.save_pretrained(folder, safe_serialization=True)
    model.tokenizer.save_pretrained(folder)
    return BaseAddress(name=str(folder), device=model.device.type, dtype="float32")


def _manifest(options: HybridOptions, model: Model, questions: list[str]) -> Manifest:
    return Manifest.of(
        f"hybrid {FORMAT}",
        model.spec,
        options={"adapter": options.preset.lora.as_dict(), "mark": options.mark},
        seed=options.seed,
        texts=questions,
        data=f"{len(questions)} problems of {options.task}",
    )
