"""Devices and number formats: the words people use, and what `auto` means."""

from pathlib import Path

import pytest
import torch

from workbench.config import settings
from workbench.errors import BadOption
from workbench.model import placement
from workbench.model.placement import best_device, choose_placement


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that two CUDA devices are there; nothing is placed on them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize(
    ("word", "expected"), [("fp32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_words_for_number_formats(word: str, expected: torch.dtype) -> None:
    assert choose_placement("cpu", word).dtype == expected


def test_auto_is_float32_on_a_cpu_and_the_checkpoint_s_own_elsewhere(cuda: None) -> None:
    assert choose_placement("cpu").dtype == torch.float32
    chosen = choose_placement()
    assert (chosen.device, chosen.dtype) == (torch.device("cuda:0"), None)
    assert chosen.arguments() == {"dtype": "auto"}


def test_the_environment_chooses_when_nobody_else_does(
    cuda: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_DEVICE", "cuda:1")
    settings.cache_clear()
    try:
        assert choose_placement().device == torch.device("cuda:1")
        assert choose_placement("cpu").device == torch.device("cpu")
    finally:
        settings.cache_clear()


def test_apple_is_second_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert best_device() == torch.device("mps")


def test_a_device_map_brings_its_offload_folder(empty_cache: Path) -> None:
    arguments = choose_placement(device_map="auto", attention="eager").arguments()
    assert arguments == {
        "dtype": "auto",
        "attn_implementation": "eager",
        "device_map": "auto",
        "offload_folder": str(empty_cache / "offload"),
    }


def test_every_problem_is_named() -> None:
    with pytest.raises(BadOption) as caught:
        choose_placement("gpu", "int4", "spread", "fast")
    for word in ("'gpu'", "'int4'", "'spread'", "'fast'", "both given"):
        assert word in caught.value.message


def test_the_lists_of_words_hold_no_doubles() -> None:
    for words in (placement.ATTENTION, placement.DEVICE_MAPS):
        assert len(set(words)) == len(words)
