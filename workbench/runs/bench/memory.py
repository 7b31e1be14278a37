"""Peak memory of one way of reading, measured in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from workbench.errors import EnvironmentProblem

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def peak_memory(name: str, way: str, *, batch: int, length: int, device: str) -> float:
    """Run one batch in a fresh process and return the peak above the loaded model, in megabytes.

    On CUDA it is the memory of the device, elsewhere the memory of the process, whose allocator
    gives large blocks back at once: the peak is what was held, not how the heap broke up.

    Raises:
        EnvironmentProblem: the process failed.
    """
    given = {"name": name, "way": way, "batch": batch, "length": length, "device": device}
    return measured_apart(
        "workbench.runs.bench.memory",
        given,
        what=f"the memory of {way!r}",
        hint="try a smaller batch",
    )


def measured_apart(module: str, given: Mapping[str, Any], *, what: str, hint: str) -> float:
    """Run a module that prints a number of megabytes, in a process of its own.

    Raises:
        EnvironmentProblem: the process failed.
    """
    return float(said_apart(module, given, what=what, hint=hint))


def said_apart(module: str, given: Mapping[str, Any], *, what: str, hint: str) -> str:
    """Run a module in a process of its own and return the last line it prints.

    Raises:
        EnvironmentProblem: the process failed.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, json.dumps(given)],
        capture_output=True,
        # Large blocks are given back at once, so that the peak is what was held.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line[:1].strip()]
        raise EnvironmentProblem(
            f"measuring {what} failed: {said[-1] if said else 'no message'}",
            hint=hint,
        )
    return done.stdout.strip().splitlines()[-1]


def measure(name: str, way: str, *, batch: int, length: int, device: str) -> float:
    """Load the model, run once on a few tokens, then measure the peak of one batch."""
    from workbench.model.loading import load_model
    from workbench.runs.bench.capture import capture_method, random_tokens

    model = load_model(name, device=device)
    run = capture_method(way, model)
    for parameter in model.backend.module.parameters():
        parameter.sum()  # weights that lie in a mapped file count once they have been touched
    run(random_tokens(model, batch=1, length=8))
    tokens = random_tokens(model, batch=batch, length=length)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        allocated = torch.cuda.memory_allocated()
        kept = run(tokens)
        del kept
        return float(torch.cuda.max_memory_allocated() - allocated) / 1e6
    before = _resident("VmRSS")
    _reset_peak()
    kept = run(tokens)
    del kept
    return (_resident("VmHWM") - before) / 1e6


def _resident(field: str) -> float:
    if not _STATUS.exists():
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak * (1 if sys.platform == "darwin" else 1024))
    lines = _STATUS.read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{field}:"))) * 1024


def _reset_peak() -> None:
    if _RESET.exists():
        _RESET.write_text("5")


def main(argument: str) -> None:
    """Measure what the argument describes and write the number to standard output."""
    asked: dict[str, Any] = json.loads(argument)
    sys.stdout.write(f"{measure(**asked)}\n")


if __name__ == "__main__":
    main(sys.argv[1])
