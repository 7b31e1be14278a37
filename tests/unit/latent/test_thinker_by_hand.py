"""The loop step by step: cold steps in a row, and the distribution of the noise."""

import math

import pytest
import torch

from workbench.latent.thinking import ColdStop, LatentThinking
from workbench.model.policy import Step
from workbench.model.tokens import pad

COLD, WARM = 3, 0


def _step(index, logits, live, seed=0):
    return Step(
        index=index,
        logits=logits,
        captured={},
        history=[],
        live=live,
        generators=[torch.Generator().manual_seed(seed + i) for i in range(len(live))],
        look=lambda ids: pytest.fail("nothing is looked at"),
    )


def test_a_warm_step_starts_the_count_of_cold_ones_again(tiny_llama):
    policy = LatentThinking(greedy=True, closing=(7, 8), cold=ColdStop(below=0.5, steps=3))
    thinker = policy.begin(pad([(5,), (5,)]), tiny_llama)
    cold = torch.tensor(
        [
            [True, True, False, True, True, True, True],
            [False, False, True, True, False, False, True],
        ]
    )
    written = []
    for t in range(cold.shape[1]):
        logits = torch.zeros(2, tiny_llama.spec.d_vocab)
        logits[cold[:, t], COLD] = 50.0
        written.append(thinker.choose(_step(t, logits, [True, True])).tokens.tolist())
    first, second = zip(*written, strict=True)
    assert first == (COLD, COLD, WARM, COLD, COLD, 7, 8)
    assert second == (WARM, WARM, COLD, COLD, WARM, WARM, COLD)


class _Kept:
    """Feeds the tokens and keeps the noise it was given."""

    needs_hidden = False
    needs_noise = True

    def visible(self, now):
        self.noise = now.noise

    def next_input(self, now):
        return None


def test_the_noise_is_standard_gumbel_in_rows_that_live(tiny_llama):
    n, size = 200, tiny_llama.spec.d_vocab
    kept = _Kept()
    thinker = LatentThinking(inputs=kept, greedy=True).begin(pad([(5,)] * n), tiny_llama)
    live = [i != 1 for i in range(n)]
    thinker.choose(_step(0, torch.zeros(n, size), live))
    uniform = torch.rand(size, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(
        kept.noise[0].double(), -torch.log(-torch.log(uniform)), atol=1e-4, rtol=1e-4
    )
    found = kept.noise[live]
    for x in (-1.0, 0.0, 1.0, 2.0):
        share = float((found <= x).float().mean())
        assert share == pytest.approx(math.exp(-math.exp(-x)), abs=0.02)
