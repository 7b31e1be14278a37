"""Isotropy of arrays and of texts, measured the way every front end measures it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from probes.isotropy import Isotropy
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.result.result import Result
from workbench.runs.activation_file import CHUNK_ROWS, open_activations

Measure = Callable[..., Result]


@pytest.fixture
def measure(tmp_path: Path) -> Measure:
    """Write vectors to a file and measure them."""

    def run(
        x: Tensor, text: Tensor | None = None, *, chunk_rows: int = CHUNK_ROWS, **options: Any
    ) -> Result:
        tensors = {"x": x.contiguous()} | ({} if text is None else {"text": text})
        path = tmp_path / "cloud.safetensors"
        save_file(tensors, path)
        source = open_activations(path)
        context = Context(spec=source.spec, resamples=200)
        accumulator = Isotropy(**options).start(context)
        for trace, examples in source.batches(chunk_rows=chunk_rows):
            accumulator.add(trace, examples)
        return accumulator.result(context)

    return run


@pytest.fixture
def measure_row(measure: Measure) -> Callable[..., dict[str, Any]]:
    """Measure vectors and return the one row of the table `layers`."""

    def run(x: Tensor, text: Tensor | None = None, **options: Any) -> dict[str, Any]:
        return measure(x, text, **options).tables["layers"].rows()[0]

    return run


@pytest.fixture
def measure_texts() -> Measure:
    """Run a model over texts, some at a time, and measure it."""

    def run(
        model: Model,
        texts: Sequence[str],
        *,
        batch: int = 4,
        groups: Sequence[str] = (),
        **options: Any,
    ) -> Result:
        context = Context(spec=model.spec, decode=model.decode, resamples=200)
        probe = Isotropy(**options)
        accumulator = probe.start(context)
        examples = [
            Example(text=text, source=f"text {i}", group=groups[i] if groups else "")
            for i, text in enumerate(texts)
        ]
        for start in range(0, len(texts), batch):
            some = examples[start : start + batch]
            trace = model.run([e.text for e in some], read=probe.sites(model.spec))
            accumulator.add(trace, some)
        return accumulator.result(context)

    return run


@pytest.fixture
def cloud(generator: torch.Generator) -> Callable[[int, int], Tensor]:
    """Draw standard Gaussian vectors."""
    return lambda n, d: torch.randn(n, d, generator=generator)
