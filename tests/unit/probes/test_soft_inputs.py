"""Soft inputs: the least error without a backbone, inputs by hand, a text that is swapped."""

import numpy as np
import pytest
import torch

from probes.soft.adapter import Entry, Head, cosines
from probes.soft.backbones import backbone
from probes.soft_inputs import SoftInputs, verdict
from workbench.errors import BadOption, DataError, TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.model.edits import Edit, Op
from workbench.model.sites import Kind, every_layer
from workbench.model.tiny import tiny_model
from workbench.result.estimate import Estimate

TEXT = [Example(text="the king saw a dog")]


def study(**options):
    model = tiny_model("llama")
    small = {"text": "a cat", "patch": 3, "fitted": 16, "held": 8, "steps": 0, "patches": 2}
    return SoftInputs(**{**small, **options}).study(model, TEXT, Context.of(model, resamples=10))


@pytest.mark.parametrize("enter", ["patches", "anchors"])
def test_without_a_backbone_the_error_is_the_noise_of_the_series(enter):
    found = study(series="ar", backbones="removed", fitted=2000, held=4000, enter=enter)
    row = found.table("backbones").frame.iloc[0]
    # Nine lags of which two count: 1 + 9/2000, with a standard error of √(2/4000) = 0.022.
    least = row["error"] - row["excess"]
    assert row["error"] / least == pytest.approx(1.0045, abs=0.05)
    # The last value as the forecast errs by 1 + Var(0.2·x − 0.5·x₋₁) of the noise.
    gamma = np.array([1.5 / 0.5 / (1.5**2 - 1.2**2), 0])
    gamma[1] = gamma[0] * 1.2 / 1.5
    expected = 1 + (0.2**2 + 0.5**2) * gamma[0] - 2 * 0.2 * 0.5 * gamma[1]
    assert row["error_last"] / least == pytest.approx(expected, rel=0.08)
    assert row["swap"] == 0


def test_a_backbone_reads_the_text_and_gradients_train_the_map():
    table = study(series="ar,season", steps=2).table("backbones").frame
    assert table["backbone"].tolist() == ["pretrained", "random", "attention", "removed"] * 2
    text = table.set_index(["series", "backbone"])["swap"].abs()
    assert (text.drop("removed", level=1) > 0).all()
    assert (text.xs("removed", level=1) == 0).all()
    assert table["error"].nunique() == 8
    alone = table["error"].to_numpy().reshape(2, 4)
    assert table["worth"].to_numpy().reshape(2, 4) == pytest.approx(alone[:, 3:] - alone)


def test_the_first_sentence_says_whether_the_model_helps():
    told = {"name": "worth", "unit": "variance", "n": 9}
    for low, high, word in ((0.1, 0.5, "helps"), (-0.5, -0.1, "harms"), (-0.1, 0.1, "not shown")):
        found = Estimate(value=(low + high) / 2, low=low, high=high, **told)
        assert word in verdict(found, "ar")
    assert study(backbones="removed", steps=2).summary.startswith("error")


def test_intervals_take_blocks_of_neighbouring_windows_as_one():
    found = study(series="ar", backbones="removed", held=10, block=4)
    rows = found.table("backbones").frame
    assert rows["n_blocks"].tolist() == [3]
    alone = study(series="ar", backbones="removed", held=12, block=1).table("backbones").frame
    whole = study(series="ar", backbones="removed", held=12, block=4).table("backbones").frame
    assert whole["error"].iloc[0] == pytest.approx(alone["error"].iloc[0])


def test_backbones_are_the_model_its_shuffled_weights_and_attention_alone():
    model = tiny_model("llama")
    tokens = model.tokenize("the king saw a dog")
    embeds = model.embed(tokens.ids)
    generator = torch.Generator().manual_seed(0)
    silent = [
        Edit(site=site, op=Op.SCALE, value=0.0) for site in every_layer(Kind.MLP_OUT, model.spec)
    ]
    for name, edits in (("pretrained", ()), ("attention", silent)):
        found = backbone(name, model, generator)(embeds)
        again = model.run(tokens, read=["final_norm"], edits=edits)
        torch.testing.assert_close(found, again["final_norm"][:, -1])
    mixed = backbone("random", model, generator)(embeds)
    assert not torch.allclose(mixed, backbone("pretrained", model, generator)(embeds))
    assert torch.equal(backbone("removed", model, generator)(embeds), embeds[:, -1])


def test_inputs_are_text_anchors_and_patches():
    vocabulary = torch.eye(4)
    entry = Entry(name="anchors", text=vocabulary[:1], vocabulary=vocabulary,
                  weights={"map": torch.tensor([[0.0, 0.0, 2.0, 1.0]])})  # fmt: skip
    found = entry.inputs(torch.ones(1, 2, 1))
    patch = torch.tensor([0.0, 0.0, 2.0, 1.0])
    assert torch.equal(found[0], torch.stack([vocabulary[0], *vocabulary[2:], patch, patch]))
    generator = torch.Generator().manual_seed(0)
    mixture = Entry.start("prototypes", vocabulary[:0], vocabulary, 1, generator)
    own = mixture.vectors(torch.randn(3, 2, 1, generator=generator))
    assert torch.allclose(own.sum(dim=-1), torch.ones(3, 2))
    assert float(cosines(vocabulary[1], vocabulary).max()) == 1


def test_a_head_recovers_linear_weights_and_wrong_series_are_named(tmp_path):
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).double()
    y = x @ torch.tensor([1.0, -2.0, 0.5]).double() + 3
    assert float(Head.fit(x, y, 30).errors(x, y).max()) < 1e-9
    (tmp_path / "few.txt").write_text("1, 2\n3")
    (tmp_path / "bad.txt").write_text("time value")
    for name, error in (("few", TooLittleData), ("bad", DataError), ("gone", BadOption)):
        with pytest.raises(error):
            study(series=str(tmp_path / f"{name}.txt"))
    with pytest.raises(BadOption, match="sideways"):
        study(backbones="sideways")
