"""Activations of one shard, put back into the order of the rows and written as safetensors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from workbench.errors import BadSite, DataError, StoreError
from workbench.methods.contracts import Example
from workbench.model.sites import Kind, Site
from workbench.model.trace import Trace

VECTORS = "activations.safetensors"
INDEX = "activations.parquet"


class ActivationWriter:
    """Collects the sites asked for; one row of the index per text."""

    def __init__(self, sites: Sequence[Site], dtype: str) -> None:
        """Name the sites.

        Raises:
            BadSite: an attention pattern, which has no row per token.
        """
        for site in sites:
            if site.kind is Kind.ATTN_PATTERN:
                raise BadSite(f"{site} cannot be kept", hint="keep z or attn_out instead")
        self.sites = tuple(sites)
        self.dtype: torch.dtype = getattr(torch, dtype)
        self._numbers: Mapping[int, int] = {}
        self._parts: dict[Site, dict[int, Tensor]] = {site: {} for site in self.sites}
        self._rows: dict[int, tuple[str, int]] = {}

    def number(self, numbers: Mapping[int, int]) -> None:
        """Say which row of the data each example is that comes next, by its identity."""
        self._numbers = numbers

    def add(self, trace: Trace, examples: Sequence[Example]) -> None:
        """Keep one batch.

        Raises:
            DataError: a value does not fit the number format.
        """
        if not self.sites:
            return
        lengths = trace.tokens.lengths
        numbers = [self._numbers[id(example)] for example in examples]
        for number, example, length in zip(numbers, examples, lengths, strict=True):
            self._rows[number] = (example.source, length)
        here = {site: trace.activations[site].to(self.dtype).cpu() for site in self.sites}
        moved = replace(trace, tokens=trace.tokens.to("cpu"), activations=here)
        for site in self.sites:
            for i, number in enumerate(numbers):
                # A copy, since a part would keep the whole batch in memory, padding included.
                kept = moved.row(i, site).clone()
                if not bool(torch.isfinite(kept).all()):
                    raise DataError(
                        f"{examples[i].source}: {site} does not fit {self.dtype}",
                        hint='set keep.dtype = "bfloat16" or "float32"',
                    )
                self._parts[site][number] = kept

    def write(self, folder: Path) -> None:
        """Write the tensors and their index; nothing when no site was asked for.

        Raises:
            OSError: the disk is full or not writable.
        """
        if not self._rows:
            return
        order = sorted(self._rows)
        tensors = {
            str(site): torch.cat([parts[i] for i in order]).contiguous()
            for site, parts in self._parts.items()
        }
        try:
            save_file(tensors, folder / VECTORS)
        except SafetensorError as error:
            raise StoreError(f"the activations cannot be stored: {error}") from error
        sources, lengths = zip(*(self._rows[i] for i in order), strict=True)
        n_tokens = pd.Series(lengths, dtype="int64")
        pd.DataFrame(
            {
                "row": pd.Series(order, dtype="int64"),
                "source": [s.encode(errors="backslashreplace").decode() for s in sources],
                "n_tokens": n_tokens,
                "start": n_tokens.cumsum() - n_tokens,
            }
        ).to_parquet(folder / INDEX, index=False)
