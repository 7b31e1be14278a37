"""GGUF files, dequantised once into safetensors and kept by the hash of the file."""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError

from workbench.config import settings
from workbench.errors import EnvironmentProblem, ModelError, Unsupported, WorkbenchError
from workbench.model.hashing import quick_digest
from workbench.model.quiet import dequantising, no_bars
from workbench.progress import Progress, silent

_RECIPE = 1
"""Raised whenever the conversion writes something else for the same file."""

_MANIFEST = "converted.json"
_log = logging.getLogger(__name__)


def cache_folder(file_hash: str, stem: str) -> Path:
    """Return where the conversion of a GGUF file is kept, whether it exists or not."""
    return settings().cache / "models" / f"{stem}-{file_hash[:16]}-r{_RECIPE}"


def damage(folder: Path) -> str:
    """Return what is wrong with a kept conversion, or nothing when it is whole."""
    try:
        files = json.loads((folder / _MANIFEST).read_text())["files"]
        wrong = [name for name, digest in files.items() if quick_digest(folder / name) != digest]
    except FileNotFoundError as error:
        return f"{error.filename} is missing"
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        return f"{_MANIFEST} cannot be read ({error})"
    return f"{', '.join(wrong)} changed since it was written" if wrong else ""


def kept_conversion(file_hash: str, stem: str) -> Path | None:
    """Return a whole conversion of that file, or None; a damaged one is named in the log."""
    folder = cache_folder(file_hash, stem)
    if not folder.is_dir():
        return None
    problem = damage(folder)
    if problem:
        _log.warning("converted model in %s is damaged: %s; building it again", folder, problem)
        return None
    return folder


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A GGUF file that was converted here: its path then, its hash, and where it is kept."""

    source: str
    file_hash: str
    folder: Path
    n_bytes: int


def conversions() -> tuple[Conversion, ...]:
    """List what the cache keeps; a folder whose manifest cannot be read is left out."""
    found = []
    for manifest in sorted((settings().cache / "models").glob(f"*/{_MANIFEST}")):
        try:
            about = json.loads(manifest.read_text())
            found.append(
                Conversion(
                    source=str(about["source"]),
                    file_hash=str(about["sha256"]),
                    folder=manifest.parent,
                    n_bytes=(manifest.parent / "model.safetensors").stat().st_size,
                )
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return tuple(found)


def convert(path: Path, *, file_hash: str, progress: Progress = silent) -> Path:
    """Return the safetensors folder of a GGUF file, converting it if no whole one is kept.

    Two processes that ask at once convert once: the second waits for the first.

    Raises:
        ModelError: the file is not a readable GGUF file.
        Unsupported: transformers cannot read that architecture from GGUF.
        EnvironmentProblem: the cache cannot be written, or the disk is full.
    """
    found = kept_conversion(file_hash, path.stem)
    if found is not None:
        return found
    folder = cache_folder(file_hash, path.stem)
    header = _read_header(path)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not damage(folder):
                return folder
            _need_room(folder.parent, header.n_values * 4)
            module, tokenizer = _read_gguf(path, header, progress)
            progress(0, 1, f"keeping {path.stem} in the cache")
            _write(module, tokenizer, folder, {"source": str(path), "sha256": file_hash})
            progress(1, 1, f"keeping {path.stem} in the cache")
            return folder
    except WorkbenchError:
        raise
    except (OSError, SafetensorError) as error:
        raise EnvironmentProblem(
            f"cannot keep the converted {path.name} in {folder.parent}: {error}",
            hint="free some disk space, or set WORKBENCH_CACHE to another folder",
        ) from error


def _need_room(parent: Path, needed: int) -> None:
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise OSError(f"about {needed >> 20} MiB are needed, {free >> 20} MiB are free")


def _write(module: Any, tokenizer: Any, folder: Path, about: dict[str, Any]) -> None:
    """Write under another name, then rename: a folder of the final name is always whole."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with no_bars():
            module.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
        _seal(partial, {"recipe": _RECIPE, **about})
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _seal(folder: Path, about: dict[str, Any]) -> None:
    """Flush every file to disk and write the digests that later loads compare."""
    digests = {}
    for file in sorted(folder.iterdir()):
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
        digests[file.name] = quick_digest(file)
    (folder / _MANIFEST).write_text(json.dumps({**about, "files": digests}, indent=1))


def _read_gguf(path: Path, header: "_Header", progress: Progress) -> tuple[Any, Any]:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    try:
        with (
            _alone(path) as folder,
            no_bars(),
            dequantising(progress, f"dequantising {path.stem}"),
        ):
            config = AutoConfig.from_pretrained(folder, **where)
            # transformers counts the file's tokens; its embedding may have more rows, or fewer.
            if header.n_embedded:
                config.get_text_config(decoder=True).vocab_size = header.n_embedded
            module: Any = AutoModelForCausalLM.from_pretrained(
                folder, config=config, dtype=torch.float32, **where
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, **where)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise Unsupported(
            f"transformers cannot read {path.name}: {error}",
            hint="use the safetensors version of this model",
        ) from error
    except RuntimeError as error:
        raise ModelError(
            f"the weights in {path.name} do not fit the settings beside them: {error}",
            hint="fetch the file again, or use the safetensors version of this model",
        ) from error
    _forget_quantisation(module)
    _restore_pre_tokenizer(tokenizer, header.pre_tokenizer)
    return module, tokenizer


@contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """Show a file in a folder of its own: what lies beside it (adapters, settings) is not read."""
    with TemporaryDirectory() as folder:
        link = Path(folder) / path.name
        link.symlink_to(path.resolve())
        yield link.parent


def _forget_quantisation(module: Any) -> None:
    """The weights are plain numbers now; with these left in place saving or offload fails."""
    module.hf_quantizer = None
    if hasattr(module.config, "quantization_config"):
        del module.config.quantization_config
    module.config.architectures = [type(module).__name__]


_DIGITS_FIRST = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"}


def _restore_pre_tokenizer(tokenizer: Any, pre: str) -> None:
    """Split digits before anything else where the file says so.

    transformers 5 reads every GPT-2-like GGUF vocabulary as if it were GPT-2's own, which
    tokenizes blank lines and double spaces in front of a digit differently from training.
    """
    from tokenizers import pre_tokenizers

    if pre in _DIGITS_FIRST:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class _Header:
    """What a GGUF file says of itself: how texts are split before merging, and its sizes."""

    pre_tokenizer: str
    n_values: int
    n_embedded: int


def _read_header(path: Path) -> _Header:
    """Read the header of a GGUF file.

    Raises:
        ModelError: the file is not a readable GGUF file.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        pre = reader.get_field("tokenizer.ggml.pre")
        n_values = sum(int(tensor.n_elements) for tensor in reader.tensors)
        rows = {tensor.name: int(tensor.shape[-1]) for tensor in reader.tensors}
        n_embedded = rows.get("token_embd.weight", 0)
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise ModelError(
            f"{path} is not a whole GGUF file: {error}", hint="fetch the file again"
        ) from error
    return _Header(
        pre_tokenizer=str(pre.contents()) if pre else "",
        n_values=n_values,
        n_embedded=n_embedded,
    )
