"""From a name to a model that runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from workbench.errors import BadOption, ModelError, Unsupported, WorkbenchError, first_line
from workbench.model.adapter_files import attach_adapter
from workbench.model.checkpoint_files import CheckpointFiles
from workbench.model.default_model import DEFAULT_NAME, is_default
from workbench.model.hashing import weights_hash
from workbench.model.identity import content_hash
from workbench.model.locate import locate
from workbench.model.model import Model
from workbench.model.placement import DeviceMap, Placement, choose_placement
from workbench.model.quiet import no_bars
from workbench.model.tiny import TINY_PREFIX, parse_tiny, tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.model.wrap import check_backend, wrap_model
from workbench.progress import Progress, silent

_TOKENIZER = "tokenizer_config.json"


def load_model(  # noqa: PLR0913 - the one door for every way a model is loaded
    name: str | Path,
    *,
    backend: str = "hooks",
    device: str = "auto",
    dtype: str = "auto",
    device_map: DeviceMap = None,
    attention: str | None = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
    progress: Progress = silent,
) -> Model:
    """Load a causal language model and its tokenizer behind one hook backend.

    `name` is `default` (the embedded SmolLM2-135M-Instruct), a local folder, a `.gguf` file, a
    Hugging Face id, or `tiny:FAMILY` for a random model. Only safetensors weights are read.
    `device_map="auto"` spreads a model over several devices, host memory and disk.

    Raises:
        BadOption: a backend, device, number format or attention that does not exist.
        ModelNotFound: nothing of that name exists or can be reached.
        ModelError: the files are damaged or incomplete.
        Unsupported: not a causal language model of a known architecture, or pickled weights.
        EnvironmentProblem: the device is absent, or the cache cannot be written.
    """
    name = str(name)
    placement = _checked(backend, device, dtype, device_map, attention)
    if name.startswith(TINY_PREFIX):
        return _load_tiny(name, backend, placement)
    files = locate(name, revision=revision, trust_remote_code=trust_remote_code, progress=progress)
    module = _load_weights(files, placement, trust_remote_code=trust_remote_code)
    tokenizer = _load_tokenizer(files, trust_remote_code=trust_remote_code)
    adapter, own = files.adapter, weights_hash(files.weights)
    shown = DEFAULT_NAME if is_default(name) else name
    known = adapter.on(own) if adapter else own
    try:
        model = wrap_model(module, tokenizer, name=shown, backend=backend, weights_hash=known)
    except WorkbenchError:
        raise
    except Exception as error:  # an architecture that nobody here has seen
        raise Unsupported(
            f"{shown} ({type(module).__name__}) is not a model the workbench can run: "
            f"{type(error).__name__}: {first_line(error)}",
            hint="check its config.json",
        ) from error
    model.spec = replace(
        model.spec,
        adapter=adapter.summary if adapter else "",
        files_hash=content_hash(name, revision),
    )
    return model


def _checked(
    backend: str, device: str, dtype: str, device_map: DeviceMap, attention: str | None
) -> Placement:
    problems = []
    try:
        check_backend(backend)
    except BadOption as error:
        problems.append(error.message)
    try:
        placement = choose_placement(device, dtype, device_map, attention)
    except BadOption as error:
        problems.append(error.message)
    if problems:
        raise BadOption("; ".join(problems))
    return placement


def _load_tiny(name: str, backend: str, placement: Placement) -> Model:
    if placement.device_map is not None:
        raise BadOption(f"device_map does nothing for {name}", hint="leave it out")
    family, seed = parse_tiny(name)
    module: Any = tiny_module(family, seed=seed)
    if placement.attention:
        module.set_attn_implementation(placement.attention)
    module = module.to(device=placement.device, dtype=placement.dtype)
    return wrap_model(module, tiny_tokenizer(), name=name, backend=backend)


def _load_weights(
    files: CheckpointFiles, placement: Placement, *, trust_remote_code: bool
) -> nn.Module:
    from transformers import AutoModelForCausalLM

    try:
        with no_bars():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                files.folder,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                **placement.arguments(),
            )
        module, found = loaded
        _refuse_gaps(files, found)
        if files.adapter is not None:
            attach_adapter(module, files.adapter, is_beside=files.adapter.folder == files.folder)
        if placement.device_map is None:
            module = module.to(placement.device)
    except WorkbenchError:
        raise
    except Exception as error:  # whatever transformers makes of files that anyone wrote
        raise ModelError(
            f"transformers cannot load {files.folder}: {first_line(error)}", hint=_advice(error)
        ) from error
    ready: nn.Module = module.eval()
    return ready


def _refuse_gaps(files: CheckpointFiles, found: dict[str, Any]) -> None:
    """A parameter the files do not hold would silently be random."""
    gaps = sorted(found.get("missing_keys") or ())
    wrong = sorted(map(str, found.get("mismatched_keys") or ()))
    if gaps or wrong:
        named = ", ".join([*gaps, *wrong][:3])
        raise ModelError(
            f"{files.folder} does not fit its configuration: {len(gaps)} parameters are missing "
            f"and {len(wrong)} have another shape ({named})",
            hint="fetch the model again, or load the checkpoint with its language-model head",
        )


def _load_tokenizer(files: CheckpointFiles, *, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    folder = files.folder
    if files.adapter is not None and (files.adapter.folder / _TOKENIZER).exists():
        folder = files.adapter.folder
    try:
        with no_bars():
            tokenizer: Any = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=trust_remote_code
            )
            # Some settings that make no sense are met only when a text is read.
            tokenizer("a", add_special_tokens=True)
    except Exception as error:  # as above
        raise ModelError(
            f"{folder} has no tokenizer that can be read: {first_line(error)}",
            hint="copy tokenizer.json and tokenizer_config.json into the folder",
        ) from error
    return tokenizer


def _advice(error: BaseException) -> str:
    if "out of memory" in str(error).lower():
        return 'use device_map="auto", or dtype="bfloat16"'
    return "see `workbench doctor`"
