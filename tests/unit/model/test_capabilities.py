"""Capabilities are found out by checks that run once, are remembered, and never raise."""

from pathlib import Path

import pytest
import torch

from workbench.errors import TooLittleData, Unsupported
from workbench.model import capabilities
from workbench.model.capabilities import CHECKS, check, require, verdict
from workbench.model.model import Model
from workbench.model.tiny import tiny_model
from workbench.model.verdict import Verdict


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> list[str]:
    """Checks of this test alone; each writes its name down when it runs."""
    for name in tuple(CHECKS):
        monkeypatch.delitem(CHECKS, name)
    monkeypatch.setattr(capabilities, "_HOMES", ())
    called: list[str] = []

    def fair(model: Model) -> Verdict:
        called.append("fair")
        require(model, "absent")  # within a check nothing is refused
        model.run("a b c", logits="last")
        return Verdict(capability="fair", works=True, largest=0.0, allowed=1e-4)

    def poor(model: Model) -> Verdict:
        called.append("poor")
        return Verdict(capability="poor", works=False, reason="it is off by 0.3", hint="sit down")

    def broken(model: Model) -> Verdict:
        called.append("broken")
        raise KeyError("resid_post.0")

    def short(model: Model) -> Verdict:
        raise TooLittleData("a text is too short")

    def full(model: Model) -> Verdict:
        called.append("full")
        raise torch.OutOfMemoryError("no room")

    for function in (fair, poor, broken, short, full):
        check(function.__name__)(function)
    return called


def test_a_check_runs_once_and_is_remembered_by_the_next_process(calls: list[str]) -> None:
    model, again = tiny_model("llama"), tiny_model("llama")
    for one in (model, model, again):
        require(one, "fair")
        with pytest.raises(Unsupported, match=r"tiny:llama on backend hooks .*'poor': it is off"):
            require(one, "poor")
    assert calls == ["fair", "poor"]
    assert verdict(again, "fair") == verdict(model, "fair")


@pytest.mark.parametrize("change", [{"seed": 1}, {"backend": "nnsight"}])
def test_other_weights_and_another_backend_are_checked_anew(
    calls: list[str], change: dict[str, object]
) -> None:
    verdict(tiny_model("llama"), "poor")
    verdict(tiny_model("llama", **change), "poor")  # type: ignore[arg-type]
    assert calls == ["poor", "poor"]


def test_other_settings_of_the_same_weights_are_checked_anew(calls: list[str]) -> None:
    model, other = tiny_model("llama"), tiny_model("llama")
    other.backend.module.config.rope_theta = 5.0
    for one in (model, other):
        verdict(one, "poor")
    assert calls == ["poor", "poor"]


def test_an_error_within_a_check_is_a_verdict_with_its_reason(calls: list[str]) -> None:
    model = tiny_model("llama")
    found = verdict(model, "broken")
    assert not found.works
    assert "KeyError" in found.reason
    assert verdict(model, "short").reason == "a text is too short"
    assert model.is_checked is False
    require(model, "fair")
    assert calls == ["broken", "fair"]


def test_what_no_check_knows_is_refused(calls: list[str]) -> None:
    with pytest.raises(Unsupported, match=r"'telepathy'.*not allowed"):
        require(tiny_model("llama"), "telepathy")


def test_lack_of_memory_is_not_remembered_on_disk(calls: list[str]) -> None:
    for _ in range(2):
        assert "no room" in verdict(tiny_model("llama"), "full").reason
    assert calls == ["full", "full"]


def test_a_cache_that_cannot_be_written_or_read_costs_only_time(
    calls: list[str], empty_cache: Path
) -> None:
    empty_cache.mkdir()
    (empty_cache / "capabilities").write_text("not a folder")
    for _ in range(2):
        require(tiny_model("llama"), "fair")
    assert calls == ["fair", "fair"]
