"""Whatever is offered of any model type equals plain transformers; the rest is refused by name."""

from collections.abc import Callable
from typing import Any

import pytest

from workbench.model.backends import BACKENDS
from workbench.model.zoo import zoo_names

FEW = (
    "bloom",
    "deepseek_v3",
    "falcon:alibi",
    "gpt_neo",
    "gpt_oss",
    "granitemoehybrid",
    "jamba",
    "llama4_text",
    "mistral",
    "phi3:longrope",
)
"""What windows, switches of the rotary base, recurrence and attention of its own look like."""

Examination = Callable[..., tuple[Any, ...]]


def faults(outcomes: tuple[Any, ...]) -> list[str]:
    bad = [o for o in outcomes if o.outcome in ("differs", "unexpected")]
    return [f"{o.name} on {o.backend}: {o.capability} {o.outcome} ({o.detail})" for o in bad]


@pytest.mark.parametrize("name", FEW)
def test_what_a_few_model_types_offer_is_what_transformers_computes(
    name: str, examination: Examination
) -> None:
    found = examination(name, "hooks", sites=False)
    assert faults(found) == []
    works = {o.capability for o in found if o.outcome == "works"}
    assert {"alone", "padding left", "padding right", "generate", "fork", "rollouts"} <= works


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", zoo_names())
def test_what_every_model_type_offers_is_what_transformers_computes(
    name: str, backend: str, examination: Examination
) -> None:
    found = examination(name, backend)
    assert faults(found) == []
    refused = [o for o in found if o.outcome == "refused"]
    assert all(len(o.detail) > 20 for o in refused)  # a reason, not a word


@pytest.mark.slow
def test_most_model_types_load_on_plain_hooks(examination: Examination) -> None:
    loaded = [n for n in zoo_names() if examination(n, "hooks")[0].outcome == "works"]
    assert len(loaded) >= 75
