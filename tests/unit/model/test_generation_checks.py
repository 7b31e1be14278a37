"""The capabilities that generation builds on are found where they are and missed where not."""

import pytest

from workbench.model.capabilities import verdict
from workbench.model.model import Model

CAPABILITIES = ("padding left", "padding right", "cache", "shared prefix")


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_ordinary_models_have_every_capability(tiny: Model, capability: str) -> None:
    found = verdict(tiny, capability)
    assert found.works, found.reason
    assert found.largest is not None
    assert found.largest < 1e-5
