"""Activations a user already has: a safetensors file read in chunks, as traces."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from workbench.errors import DataError, NotFinite
from workbench.methods.contracts import Example
from workbench.model.sites import Kind, Site
from workbench.model.spec import ARRAY, ModelSpec
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace
from workbench.progress import Progress, silent

CHUNK_ROWS = 8192
ROW_BLOCKS = 64

_FLOATS = ("F16", "BF16", "F32", "F64")
_INTS = ("I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64")


@dataclass(frozen=True, kw_only=True)
class ActivationFile:
    """A file with `x` [n, d] and, if `has_text`, `text` [n], the text each row belongs to.

    Without texts the rows are one text, and `unit` numbers 64 contiguous blocks of them.
    """

    path: Path
    n: int
    d_model: int
    dtype: str
    has_text: bool

    @cached_property
    def spec(self) -> ModelSpec:
        """A one-layer stand-in for the model: the array is its residual stream."""
        return ModelSpec(
            name=self.path.name,
            architecture=ARRAY,
            n_layers=1,
            n_heads=0,
            n_key_value_heads=0,
            d_model=self.d_model,
            d_head=0,
            d_mlp=0,
            d_vocab=0,
            n_parameters=0,
            max_positions=self.n,
            backend="file",
            device="cpu",
            dtype=self.dtype,
            attention="",
            weights_hash="",
        )

    def batches(
        self, progress: Progress = silent, *, chunk_rows: int = CHUNK_ROWS
    ) -> Iterator[tuple[Trace, tuple[Example, ...]]]:
        """Yield the rows in order; a text may go on in the next trace, with the same source.

        Memory does not grow with the number of rows: the file is mapped anew for each chunk.

        Raises:
            NotFinite: a row holds NaN or infinity.
            DataError: the rows of a text are not contiguous.
        """
        seen: set[int] = set()
        last: int | None = None
        for start in range(0, self.n, chunk_rows):
            progress(start, self.n, "rows")
            x, labels = self._read(start, min(start + chunk_rows, self.n))
            self._check(x, start)
            if self.has_text:
                self._check_contiguous(labels, start, seen - {last})
                seen.update(labels.tolist())
                last = int(labels[-1])
            for low, high, runs in _tiles(labels):
                yield self._trace(x[low:high], runs, labels[low:high], start + low)
        progress(self.n, self.n, "rows")

    def _read(self, start: int, stop: int) -> tuple[Float[Tensor, "n d_model"], NDArray[np.int64]]:
        with safe_open(self.path, framework="pt") as file:
            x = file.get_slice("x")[start:stop].clone()
            if self.has_text:
                labels = file.get_slice("text")[start:stop].to(torch.int64).numpy().copy()
            else:
                labels = np.arange(start, stop) // -(-self.n // ROW_BLOCKS)
        return x, labels

    def _check(self, x: Float[Tensor, "n d_model"], start: int) -> None:
        if bool(torch.isfinite(x.sum())):
            return
        bad = torch.nonzero(~torch.isfinite(x).all(dim=1)).flatten()
        if len(bad):
            row = int(bad[0])
            column = int(torch.nonzero(~torch.isfinite(x[row]))[0])
            raise NotFinite(
                f"{self.path.name}: x[{start + row}, {column}] is {float(x[row, column])}; "
                "expected finite numbers",
                hint="leave such rows out of the file",
            )

    def _check_contiguous(
        self, labels: Int64[np.ndarray, " n"], start: int, ended: Set[int]
    ) -> None:
        """Refuse a text that comes back after others."""
        ended = set(ended)
        for first in (0, *(np.flatnonzero(np.diff(labels)) + 1).tolist()):
            label = int(labels[first])
            if label in ended:
                raise DataError(
                    f"{self.path.name}: text {label} comes back at row {start + first} after "
                    "other texts; expected the rows of a text to be contiguous",
                    hint="sort the rows by text",
                )
            if first:
                ended.add(int(labels[first - 1]))

    def _trace(
        self,
        x: Float[Tensor, "n d_model"],
        runs: list[int],
        labels: Int64[np.ndarray, " n"],
        start: int,
    ) -> tuple[Trace, tuple[Example, ...]]:
        """Lay runs of rows out as a padded batch, one example each."""
        sizes = np.diff(runs)
        mask = torch.arange(int(sizes.max()))[None] < torch.from_numpy(sizes)[:, None]
        padded = x.new_zeros(*mask.shape, x.shape[1])
        padded[mask] = x
        tokens = Tokens(ids=torch.zeros(mask.shape, dtype=torch.long), mask=mask)
        activations = {Site(Kind.RESID_POST, 0): padded}
        examples = tuple(self._example(int(labels[r]), start + r) for r in runs[:-1])
        return Trace(spec=self.spec, tokens=tokens, activations=activations), examples

    def _example(self, label: int, row: int) -> Example:
        name = self.path.name
        if self.has_text:
            fields: dict[str, Any] = {"row": row}
            return Example(text="", group=str(label), source=f"{name} text {label}", fields=fields)
        return Example(text="", source=name, fields={"row": row, "unit": label})


def open_activations(path: Path) -> ActivationFile:
    """Check the names, shapes and types of an activation file without reading its rows.

    Raises:
        DataError: the file cannot be read, or its tensors are not `x` [n, d] of floating
            numbers and, optionally, `text` [n] of integers; all problems at once.
    """
    expected = "`x` [n, d] of floating numbers and, optionally, `text` [n] of integers"
    try:
        with safe_open(path, framework="pt") as file:
            found = {
                name: (file.get_slice(name).get_shape(), str(file.get_slice(name).get_dtype()))
                for name in file.keys()  # noqa: SIM118 - not a mapping
            }
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path} is not a readable safetensors file: {error}",
            hint='safetensors.torch.save_file({"x": x}, "FILE.safetensors") writes one',
        ) from error
    problems = _problems(found)
    if problems:
        raise DataError(f"{path.name}: {'; '.join(problems)}; expected {expected}")
    (n, d_model), dtype = found["x"]
    return ActivationFile(path=path, n=n, d_model=d_model, dtype=dtype, has_text="text" in found)


def _problems(found: dict[str, tuple[list[int], str]]) -> list[str]:
    problems = []
    if "x" not in found:
        return [f"no tensor `x`, only {', '.join(found) or 'nothing'}"]
    shape, dtype = found["x"]
    if len(shape) != 2 or 0 in shape:
        problems.append(f"`x` has shape {shape}")
    if dtype not in _FLOATS:
        problems.append(f"`x` holds {dtype}, not one of {', '.join(_FLOATS)}")
    if "text" in found:
        of_text, text_dtype = found["text"]
        if of_text != shape[:1]:
            problems.append(f"`text` has shape {of_text} beside `x` {shape}")
        if text_dtype not in _INTS:
            problems.append(f"`text` holds {text_dtype}, not integers")
    return problems


def _tiles(labels: Int64[np.ndarray, " n"]) -> Iterator[tuple[int, int, list[int]]]:
    """Cut runs of equal labels into batches that padding at most doubles.

    Yields the first row, the last-plus-one, and the bounds of the runs counted from the first.
    """
    changes = (np.flatnonzero(np.diff(labels)) + 1).tolist()
    runs = list(pairwise([0, *changes, len(labels)]))
    low, bounds, longest = 0, [0], 0
    for start, stop in runs:
        wider = max(longest, stop - start)
        if len(bounds) > 1 and len(bounds) * wider > 2 * (stop - low):
            yield low, start, bounds
            low, bounds, wider = start, [0], stop - start
        bounds.append(stop - low)
        longest = wider
    yield low, len(labels), bounds
