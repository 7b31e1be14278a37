"""How every process of the suite begins; what tests share is in `tests/fixtures.py`."""

# beartype must come before anything that imports nnsight, which changes every object.
import beartype  # noqa: F401  isort: skip

# The packages are checked as this says from their first import on.
import tests.checked_types  # noqa: F401  isort: skip

import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Every run that is stored waits for the disk; where folders can be kept in memory it does not.
_MEMORY, _ENOUGH = Path("/dev/shm"), 4 * 1024**3
if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ENOUGH:
    tempfile.tempdir = os.environ.setdefault("TMPDIR", str(_MEMORY))
# Imports leave no garbage, and to look for it again and again takes seconds.
gc.disable()


def pytest_configure(config: pytest.Config) -> None:
    """Bring the fixtures in, but not where other processes run the tests: torch takes seconds."""
    if not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("tests.fixtures")


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collection, which Streamlit asks for at every run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()
