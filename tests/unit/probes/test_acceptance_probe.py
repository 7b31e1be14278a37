"""Acceptance of exits, skips, latent steps and drafts against direct computation."""

import pytest
import torch

from probes.acceptance import Acceptance, per_call
from workbench.errors import BadOption
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.model.tiny import tiny_model
from workbench.model.tokens import pad
from workbench.sampling.acceptance import tokens_per_call

ROWS = ([5, 9, 11, 3, 17, 8], [7, 4, 30, 12])


def measured(model: Model, probe: Acceptance) -> dict[str, torch.Tensor]:
    context = Context.of(model)
    tokens = pad(ROWS)
    probe = probe.loaded(context)  # type: ignore[assignment]
    trace = model.run(tokens, read=probe.sites(model.spec))
    examples = [Example(text="", number=i) for i in range(len(ROWS))]
    found = probe.measure(trace, examples, context)
    return {name: torch.as_tensor(x) for name, x in found.values.items()}


def test_constant_acceptance_gives_the_geometric_sum() -> None:
    found = per_call(torch.full((1, 1, 9), 0.8), torch.ones(1, 9, dtype=torch.bool), 4)
    assert found[0, 0, :6].tolist() == pytest.approx([tokens_per_call(0.8, 4)] * 6)
    assert found[0, 0, 6:].isnan().all()


@pytest.mark.parametrize("tiny", ["llama", "gpt2"], indirect=True)
def test_every_way_is_one_minus_total_variation(tiny: Model) -> None:
    other = tiny_model(tiny.spec.name.split(":")[1], seed=4)
    found = measured(tiny, Acceptance(draft=other.spec.name, skips=True, latent=True, length=2))
    trace = tiny.run(pad(ROWS), read=["resid_post.0"], logits="all")
    theirs = other.run(pad(ROWS), logits="all")
    assert trace.logits is not None
    assert theirs.logits is not None
    seen = trace.tokens.mask
    p = trace.logits.softmax(dim=-1)
    first = tiny.unembed(trace["resid_post.0"]).softmax(dim=-1)
    for name, q in (("exit", first), ("draft", theirs.logits.softmax(dim=-1))):
        one = found[name][:, 0] if name == "exit" else found[name]
        wanted = 1 - (p - q).abs().sum(dim=-1) / 2
        assert torch.allclose(one[seen].float(), wanted[seen], atol=1e-5)
    assert found["exit"][:, -1].min() == pytest.approx(1, abs=1e-6)
    skipped = found["skip"].transpose(1, 2)[seen]
    assert skipped.min() > 0
    assert skipped.max() < 1
    assert found["latent"].min() > 0
    assert found["latent"].max() < 1


def test_another_vocabulary_is_refused(tiny_llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context.of(tiny_llama)
    with pytest.raises(BadOption, match="the same vocabulary"):
        Acceptance(draft="default").loaded(context)
