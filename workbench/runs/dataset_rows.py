"""Rows of a Hugging Face dataset: from the hub, pinned to one commit, or from a folder."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from workbench.errors import BadOption, DataError, first_line

PREFIX = "dataset:"
_KEYS = ("config", "split", "revision")
_FORM = "dataset:OWNER/NAME or dataset:FOLDER, then ?config=…&split=…&revision=…"


@dataclass(frozen=True, kw_only=True)
class DatasetAddress:
    """A dataset of the hub or a folder of one, its configuration, its split and its commit."""

    name: str
    config: str = ""
    split: str = "train"
    revision: str = ""

    @classmethod
    def parse(cls, text: str) -> "DatasetAddress":
        """Take an address apart.

        Raises:
            BadOption: it names no dataset, or what follows the question mark does not fit.
        """
        name, _, query = text.removeprefix(PREFIX).partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        found = dict(pairs)
        if not name or len(found) < len(pairs) or not found.keys() <= set(_KEYS):
            raise BadOption(
                f"{text!r} is no dataset; expected {_FORM}", hint="dataset:openai/gsm8k?config=main"
            )
        return cls(name=name, **found)

    def __str__(self) -> str:
        """Return the address as text."""
        given = {key: getattr(self, key) for key in _KEYS if getattr(self, key)}
        return f"{PREFIX}{self.name}?{urlencode(given)}"

    @property
    def folder(self) -> Path | None:
        """The folder it is read from, None where it comes from the hub."""
        path = Path(self.name)
        try:
            return path if path.is_dir() else None
        except OSError:  # a name too long for a file
            return None

    def pinned(self) -> tuple["DatasetAddress", str]:
        """Return the address with its commit, and a hash of what it stands for.

        Raises:
            DataError: the hub does not know it or cannot be reached, or a file cannot be read.
        """
        folder = self.folder
        if folder is not None:
            return self, _folder_hash(folder)
        known = replace(self, revision=_commit(self))
        return known, hashlib.sha256(str(known).encode()).hexdigest()


def dataset_rows(address: DatasetAddress) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows in order, streamed, each with the place it stands at.

    Raises:
        DataError: the dataset, its configuration or its split cannot be read.
    """
    from datasets.exceptions import DatasetsError

    label = f"{Path(address.name).name or address.name}[{address.split}]"
    try:
        for number, row in enumerate(_stream(address), start=1):
            yield f"{label}:{number}", cast(Mapping[str, Any], row)
    except (OSError, ValueError, KeyError, DatasetsError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"cannot read {address}: {said}", hint="check its configuration and its split"
        ) from error


def _stream(address: DatasetAddress) -> Any:
    import datasets

    datasets.disable_progress_bars()
    folder = address.folder
    if folder is None:
        known = address if address.revision else address.pinned()[0]
        return datasets.load_dataset(
            known.name, known.config or None,
            split=known.split, revision=known.revision, streaming=True,
        )  # fmt: skip
    if (folder / "dataset_dict.json").is_file():
        return datasets.load_from_disk(str(folder))[address.split]
    if (folder / "state.json").is_file():
        saved = datasets.load_from_disk(str(folder))
        if (own := str(saved.split or "train")) != address.split:
            raise ValueError(f"it holds the split {own!r} only")
        return saved
    return datasets.load_dataset(
        str(folder), address.config or None, split=address.split, streaming=True
    )


def _commit(address: DatasetAddress) -> str:
    """Return the commit the hub has now, or has under the revision named."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    hint = "name a folder (dataset:FOLDER), or save the rows as JSONL or Parquet"
    try:
        info = HfApi().dataset_info(address.name, revision=address.revision or None)
    except (HfHubHTTPError, HFValidationError) as error:
        raise DataError(
            f"no dataset {address.name!r} on the hub: {first_line(error)}", hint=hint
        ) from error
    # The hub's client exchanges its network errors from release to release.
    except Exception as error:
        raise DataError(
            f"{address.name!r} is no folder here, and the hub cannot be reached: {error}", hint=hint
        ) from error
    return str(info.sha)


def _folder_hash(folder: Path) -> str:
    total = hashlib.sha256()
    try:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            total.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    except OSError as error:
        raise DataError(f"cannot read {folder}: {error.strerror or error}") from error
    return total.hexdigest()
