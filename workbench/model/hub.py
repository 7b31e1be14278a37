"""Models on the Hugging Face hub: from its local cache first, then over the network."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from workbench.errors import ModelError, ModelNotFound, first_line
from workbench.model.quiet import no_bars
from workbench.progress import Progress, silent

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]
_UNWANTED = ["*/*", "*.onnx", "training_args*"]


def is_hub_id(name: str) -> bool:
    """Whether a name has the shape `owner/model` or `model`."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if not _HUB_ID.fullmatch(name) or name.endswith((".gguf", ".safetensors", ".bin")):
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def cached_snapshot(name: str, revision: str | None = None) -> Path | None:
    """Return the folder of a model that was fetched before, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def cached_names() -> tuple[str, ...]:
    """Return the ids of every model in the hub's local cache."""
    from huggingface_hub import constants

    home = Path(constants.HF_HUB_CACHE)
    if not home.is_dir():
        return ()
    folders = sorted(
        p.name for p in home.glob("models--*") if any(p.glob("snapshots/*/config.json"))
    )
    return tuple(name.removeprefix("models--").replace("--", "/") for name in folders)


def fetch_snapshot(name: str, revision: str | None = None, progress: Progress = silent) -> Path:
    """Bring a model's configuration, tokenizer and safetensors files into the local cache.

    Raises:
        ModelNotFound: the hub has no such model, or cannot be reached.
        ModelError: the model is there but may not be read.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    # The bases hold what the client's transport raises, which is no OSError everywhere.
    failures = cast(tuple[type[Exception], ...], (OSError, *HfHubHTTPError.__bases__))
    try:
        with no_bars():
            files = snapshot_download(
                name,
                revision=revision,
                allow_patterns=_WANTED,
                ignore_patterns=_UNWANTED,
                dry_run=True,
            )
            for done, file in enumerate(files):
                progress(done, len(files), f"fetching {file.filename}")
                hf_hub_download(name, file.filename, revision=revision)
    except failures as error:
        raise _explained(error, name, revision) from error
    progress(len(files), len(files), f"fetched {name}")
    folder = cached_snapshot(name, revision)
    if folder is None:
        raise ModelNotFound(f"{name} has no config.json, so it is not a transformers model")
    return folder


def fetch_files(name: str, files: Sequence[str], progress: Progress = silent) -> Path:
    """Bring single files of a repository into the local cache and return where the last one is.

    Raises:
        ModelNotFound: the name is no hub id, or the hub has no such file or cannot be reached.
        ModelError: the repository is there but may not be read.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    if not is_hub_id(name):
        raise ModelNotFound(f"{name!r} is neither a folder nor the id of a hub repository")
    failures = cast(tuple[type[Exception], ...], (OSError, *HfHubHTTPError.__bases__))
    found = ""
    try:
        with no_bars():
            for done, file in enumerate(files):
                progress(done, len(files), f"fetching {file}")
                found = hf_hub_download(name, file)
    except EntryNotFoundError as error:
        raise ModelNotFound(f"{name} has no {file}; expected {', '.join(files)}") from error
    except failures as error:
        raise _explained(error, name, None) from error
    return Path(found)


def _explained(error: BaseException, name: str, revision: str | None) -> ModelError:
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    chain = (error, error.__cause__)
    if any(isinstance(one, GatedRepoError) for one in chain):
        return ModelError(
            f"{name} is gated: its owner asks for a licence to be accepted first",
            hint="accept it on the model's page, then run `hf auth login`",
        )
    if any(isinstance(one, RevisionNotFoundError) for one in chain):
        return ModelNotFound(f"{name} has no revision {revision!r}")
    if any(isinstance(one, RepositoryNotFoundError) for one in chain):
        return ModelNotFound(
            f"the hub has no model {name!r} that can be read",
            hint="check the spelling; for a private model run `hf auth login`",
        )
    return ModelNotFound(
        f"{name!r} is not kept here and the hub cannot be reached "
        f"({first_line(error.__cause__ or error)})",
        hint="give a local folder or a GGUF file, or use the embedded model `default`",
    )
