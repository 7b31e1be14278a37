"""Small trained weights with the story of where they come from."""

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from workbench.errors import ModelError, ModelNotFound, NotFinite, Unsupported
from workbench.model.spec import ModelSpec

SCHEMA = 1
WEIGHTS = "weights.safetensors"
MANIFEST = "manifest.json"

_PICKLED = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib"}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Where weights come from.

    `base_hash` is the hash of the model they were trained on and belong to; `data_hash` that of
    the training texts; `scores` what was measured on held-out data, with the control beside it;
    `weights_hash` the sha256 of the weight file.
    """

    recipe: str
    options: Mapping[str, Any]
    base_model: str
    base_hash: str
    seed: int
    data_hash: str
    data: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)
    hardware: Mapping[str, Any] = field(default_factory=dict)
    weights_hash: str = ""
    schema: int = SCHEMA

    @classmethod
    def of(
        cls,
        recipe: str,
        spec: ModelSpec,
        *,
        options: Mapping[str, Any],
        seed: int,
        texts: Iterable[str],
        data: str,
    ) -> "Manifest":
        """Return the manifest of weights that are trained on a model, here and now."""
        return cls(
            recipe=recipe,
            options=options,
            base_model=spec.name,
            base_hash=spec.weights_hash,
            seed=seed,
            data_hash=texts_hash(texts),
            data=data,
            hardware=hardware(),
        )

    def identity(self, *stage: str) -> str:
        """Return the sha256 of all that decides the weights, of one stage where it is named."""
        decides = (
            *(self.recipe, *stage, dict(self.options)),
            *(self.base_hash, self.seed, self.data_hash),
        )
        return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """Named tensors and their manifest, kept as one folder of two files."""

    manifest: Manifest
    tensors: Mapping[str, Tensor]

    def save(self, folder: Path, *, dtype: torch.dtype = torch.float32) -> "Checkpoint":
        """Write `weights.safetensors`, then `manifest.json`; return what was written.

        Whole numbers keep their format.

        Raises:
            NotFinite: a tensor holds NaN or infinity, or does not fit the number format.
        """
        tensors = {n: _stored(t, dtype) for n, t in self.tensors.items()}
        broken = [n for n, t in tensors.items() if not bool(torch.isfinite(t).all())]
        if broken:
            raise NotFinite(
                f"{', '.join(broken)} hold NaN, infinity or values too large for {dtype}",
                hint="save in float32, or train with a lower learning rate",
            )
        data = save(tensors)
        manifest = replace(self.manifest, weights_hash=hashlib.sha256(data).hexdigest())
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / WEIGHTS, data)
        text = json.dumps(asdict(manifest), indent=1, sort_keys=True, ensure_ascii=False)
        write_whole(folder / MANIFEST, text.encode())
        return Checkpoint(manifest=manifest, tensors=tensors)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors behind a prefix, by their names without it."""
        named = self.tensors.items()
        return {n.removeprefix(prefix): t for n, t in named if n.startswith(prefix)}

    def rescored(self, scores: Mapping[str, Any], folder: Path) -> "Checkpoint":
        """Write a checkpoint that was saved or loaded once more, with what was measured of it."""
        kept = (t.dtype for t in self.tensors.values() if t.is_floating_point())
        dtype = next(kept, torch.float32)
        manifest = replace(self.manifest, scores=scores)
        return Checkpoint(manifest=manifest, tensors=self.tensors).save(folder, dtype=dtype)

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint":
        """Read a checkpoint, checking the weights against the manifest.

        Raises:
            ModelNotFound: the folder or one of its files does not exist.
            ModelError: the manifest is damaged, or the weights do not match it.
            Unsupported: pickled weights, which can run code when opened.
        """
        _refuse_pickles(folder)
        manifest = read_manifest(folder)
        weights = folder / WEIGHTS
        if not weights.is_file():
            raise ModelNotFound(f"no {WEIGHTS} in {folder}", hint="train it again")
        data = weights.read_bytes()
        if hashlib.sha256(data).hexdigest() != manifest.weights_hash:
            raise ModelError(
                f"{weights} does not match the hash in its manifest",
                hint="the file is damaged or was exchanged; train it again",
            )
        try:
            return cls(manifest=manifest, tensors=load(data))
        except SafetensorError as error:
            raise ModelError(f"{weights} is not a safetensors file: {error}") from error

    def check(self, spec: ModelSpec, *, recipe: str) -> None:
        """Refuse weights of another recipe or another model.

        Raises:
            ModelError: they do not belong together.
        """
        mine = self.manifest
        if mine.recipe != recipe:
            raise ModelError(f"the checkpoint was made by {mine.recipe!r}; expected {recipe!r}")
        if mine.base_hash != spec.weights_hash:
            raise ModelError(
                f"the checkpoint belongs to {mine.base_model} ({mine.base_hash[:12]}); this model "
                f"is {spec.name} ({spec.weights_hash[:12]})",
                hint=f"train {recipe} on {spec.name}",
            )


def read_manifest(folder: Path) -> Manifest:
    """Read only the manifest of a checkpoint.

    Raises:
        ModelNotFound: there is none.
        ModelError: it is damaged or of a newer schema.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelNotFound(f"no checkpoint at {folder}: {MANIFEST} is missing")
    try:
        values = json.loads(path.read_bytes())
        schema = values.get("schema")
        if schema != SCHEMA:
            raise ModelError(f"{path} has schema {schema!r}; this version reads {SCHEMA}")
        return Manifest(**values)
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is damaged: {error}", hint="train it again") from error


def texts_hash(texts: Iterable[str]) -> str:
    """Return the sha256 over the texts in order."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def hardware() -> dict[str, Any]:
    """Describe what trains: processor, accelerator, threads and library versions."""
    return {
        "platform": platform.platform(),
        "cpu_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "torch": str(torch.__version__),
        "transformers": _version("transformers"),
        "latent-workbench": _version("latent-workbench"),
    }


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of one."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(data)
    draft.replace(path)


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    kept = tensor.detach().cpu()
    return (kept.to(dtype) if kept.is_floating_point() else kept).contiguous()


def _refuse_pickles(folder: Path) -> None:
    names = [folder] if folder.is_file() else list(folder.glob("*"))
    pickled = sorted(p.name for p in names if p.suffix.lower() in _PICKLED)
    if pickled and not (folder / WEIGHTS).is_file():
        raise Unsupported(
            f"{', '.join(pickled)} may hold pickled objects, which run code when opened",
            hint=f"a checkpoint is a folder with {WEIGHTS} and {MANIFEST}",
        )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
