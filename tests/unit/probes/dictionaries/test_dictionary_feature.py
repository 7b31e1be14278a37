"""A feature's texts, and what taking it away and adding it does, on planted dictionaries."""

import json

import pytest
import torch
from safetensors.torch import save_file

from probes.dictionaries.dictionary import Dictionary
from probes.dictionaries.files import as_tensors, config_of
from probes.dictionary_feature import DictionaryFeature
from workbench.errors import BadOption
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.model.site_patterns import SitePattern
from workbench.model.sites import Kind, Site

TEXTS = ["the king saw the cat", "the dog ran and sat", "the queen saw the man"]


def longest(model: Model) -> tuple[int, int, torch.Tensor]:
    """Return text, token and state of the longest state but those of first tokens."""
    site = Site(Kind.RESID_POST, 1)
    states = [model.run(text, read=[site]).row(0, site)[1:] for text in TEXTS]
    norms = torch.cat([x.norm(dim=1) for x in states])
    places = [(i, at + 1, state) for i, x in enumerate(states) for at, state in enumerate(x)]
    return places[int(norms.argmax())]


@pytest.fixture
def folder(tiny_llama: Model, tmp_path) -> str:
    """Feature 0 points to the longest state; the others are random and never there."""
    state = longest(tiny_llama)[2]
    others = torch.randn(7, 32, generator=torch.Generator().manual_seed(0))
    decoder = torch.nn.functional.normalize(torch.cat([state[None], others]), dim=1)
    found = Dictionary(
        site=SitePattern.parse("resid_post.1"), encoder=decoder.T.contiguous(), decoder=decoder,
        bias=torch.tensor([0.0] + [-1e3] * 7), centre=torch.zeros(32), k=2,
    )  # fmt: skip
    save_file(as_tensors(found), tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps(config_of(found, "tiny")))
    return str(tmp_path)


def test_its_text_is_found_and_its_effects_stand_beside_random_ones(folder, tiny_llama) -> None:
    rows = [Example(text=text, number=i) for i, text in enumerate(TEXTS)]
    probe = DictionaryFeature(dictionary=folder, features=(0, 3), top=2)
    result = probe.study(tiny_llama, rows, Context.of(tiny_llama))
    texts = result.tables["texts"].frame
    first = texts[(texts["feature"] == 0) & (texts["rank"] == 1)].iloc[0]
    text, at, _ = longest(tiny_llama)
    ids = tiny_llama.tokenize(TEXTS[text]).row(0)
    assert first["text"] == text
    assert first["token"] == tiny_llama.decode(ids[at : at + 1])
    assert first["before"] == tiny_llama.decode(ids[:at])
    effects = result.tables["effects"].frame.set_index("feature")
    assert effects.loc[0, "ablated"] > 0
    assert effects.loc[0, "added"] > 0
    # A feature that is nowhere changes nothing, and neither does its control.
    for column in ("ablated", "added", "ablated_random", "added_random"):
        assert effects.loc[3, column] == 0
    assert result.arrays["add.0"].shape == (32,)


def test_a_feature_that_there_is_not_is_named(folder, tiny_llama) -> None:
    with pytest.raises(BadOption, match=r"\[8\] of a dictionary of 8"):
        DictionaryFeature(dictionary=folder, features=(8,)).study(
            tiny_llama, [Example(text="a")], Context.of(tiny_llama)
        )
