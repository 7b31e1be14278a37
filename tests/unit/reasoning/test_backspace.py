"""A backspace leaves the folded text, and the model as after a fresh run of it."""

import numpy as np
import pytest
import torch

from reasoning.policy_backspace import Backspace, fold
from workbench.errors import BadOption
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.model.tokens import pad

PROMPTS = ([5, 9, 11], [7])
FREE = GenerationOptions(stop_ids=(), keep_logprobs=True, seeds=3)
HOT = Sampling(temperature=1.5)
BACK, RIGHT, WRONG = 9, 1, 2


def test_edits_fold_and_one_on_nothing_does_nothing() -> None:
    assert fold([1, 2, BACK, 3], BACK) == [1, 3]
    assert fold([BACK, BACK, 1, BACK, 2], BACK) == [2]


def test_mass_off_the_right_path_is_that_of_the_walk() -> None:
    """Errors at rate ε, repairs at rate b, a wrong token more otherwise: ε/(ε + 2b − 1)."""
    error, repair, n = 0.1, 0.8, 100_000
    text, off = [RIGHT], 0
    for x in np.random.default_rng(0).random(n):
        if text[-1] == WRONG:
            text = fold([*text, BACK if x < repair else WRONG], BACK)
        elif x < error:
            text = fold([RIGHT, WRONG], BACK)
        off += text[-1] == WRONG
    assert off / n == pytest.approx(error / (error + 2 * repair - 1), abs=0.01)


@pytest.mark.parametrize("tiny", ["llama", "gpt2"], indirect=True)
def test_cache_and_positions_go_back_with_the_text(tiny: Model) -> None:
    policy = Backspace(token=BACK, bias=6.0, base=HOT)
    found = tiny.generate(pad(PROMPTS), limit=16, policy=policy, options=FREE)
    for row, prompt in enumerate(PROMPTS):
        records = [one.record for one in found.records if one.row == row]
        assert sum(one.is_back for one in records) > 3
        written = fold([one.token for one in records], BACK)
        assert tuple(written) == found.generated[row]
        assert [one.length for one in records][-1] == len(written) == 16
        logits = tiny.run(pad([[*prompt, *written]]), logits="all").logits
        assert logits is not None
        told = logits[0, len(prompt) - 1 : -1].log_softmax(dim=-1)
        wanted = told.gather(1, torch.tensor(written)[:, None])[:, 0]
        assert found.logprobs[row] == pytest.approx(wanted.tolist(), abs=1e-4)


def test_without_a_backspace_it_is_the_base_to_the_bit(tiny_llama: Model) -> None:
    a, b = (
        tiny_llama.generate(pad(PROMPTS), limit=9, policy=one, options=FREE)
        for one in (HOT, Backspace(base=HOT))
    )
    assert (a.generated, a.logprobs) == (b.generated, b.logprobs)


def test_a_text_of_backspaces_ends(tiny_llama: Model) -> None:
    policy = Backspace(token=BACK, bias=1000.0)
    found = tiny_llama.generate(pad(PROMPTS), limit=3, policy=policy, options=FREE)
    assert found.generated == ((), ())
    assert found.ended == ("policy", "policy")
    with pytest.raises(BadOption):
        Backspace(actions=0)
