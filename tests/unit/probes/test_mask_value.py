"""A prompt read in both directions: nothing without one, and by hand otherwise."""

import pytest
import torch

from probes.mask_value import MaskValue
from workbench.methods.contracts import Context, Example
from workbench.model.tiny import tiny_model


def measured(share):
    model, probe = tiny_model("gpt2"), MaskValue(share=share)
    trace = model.run(["the king saw the queen and ran", "so he sat"], read=probe.sites(model.spec))
    return probe.measure(trace, [Example(text=""), Example(text="")], Context.of(model)).values


def test_a_prompt_of_one_token_moves_no_bit_and_a_longer_one_moves_its_first_token():
    nothing, half = measured(0.2), measured(0.5)
    assert not nothing["divergence"].any()
    assert nothing["gain"][:1, :-1].nan_to_num().abs().sum() == 0
    assert float(half["divergence"][0, :, 0].min()) > 1e-3
    # Three of seven tokens are the prompt: the third predicts the first one behind it.
    assert half["kl"][0].isfinite().tolist() == [False, False, True, True, True, True, True]
    assert float(half["kl"][0, 2:].nanmean()) > 1e-3


def test_the_gain_is_that_of_the_mask_alone():
    from workbench.model.masks import prefix_visible

    model = tiny_model("gpt2")
    tokens = model.tokenize(["the king saw the queen and ran", "so he sat"])
    layout = prefix_visible(tokens, (3, 1))
    logp = [
        model.run(tokens, layout=one, logits="all").logits.double().log_softmax(-1)
        for one in (None, layout)
    ]
    change = (logp[1] - logp[0])[0, 2, tokens.ids[0, 3]]
    assert float(measured(0.5)["gain"][0, 2]) == pytest.approx(float(change), abs=1e-4)
    real = tokens.mask[1]
    assert torch.allclose(logp[0][1, real], logp[1][1, real], atol=1e-5)
