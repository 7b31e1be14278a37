"""Sharing the common beginning of prompts changes nothing but the time."""

import pytest
import torch

from probes.contrast.sequences import (
    Row,
    common_length,
    response_logits,
    shared_prefill,
    token_logprobs,
)
from workbench.model.generation import GenerationOptions
from workbench.model.tokens import pad
from workbench.training.adapter import Adapter, LoraShape

SHARED = (5, 9, 12, 30)
ROWS = [
    Row(prompt=(*SHARED, 7, 8, 20), response=(3, 4)),
    Row(prompt=(*SHARED, 11), response=(6, 7, 8, 9, 10)),
    Row(prompt=(*SHARED, 7, 9), response=(40,)),
]
APART = [
    Row(prompt=(5, 6, 7), response=(8, 9)),
    Row(prompt=(9,), response=(3, 4, 5)),
]


def test_the_common_beginning_leaves_every_prompt_a_token():
    assert common_length([row.prompt for row in ROWS]) == 4
    assert common_length([(1, 2, 3), (1, 2, 3)]) == 2
    assert common_length([(1,), (1, 2)]) == 0
    assert common_length([(1, 2), (3, 2)]) == 0


@pytest.mark.parametrize("rows", [ROWS, APART])
def test_log_probabilities_equal_those_of_each_row_alone(tiny, rows):
    with torch.no_grad():
        together = token_logprobs(tiny, rows)
    for row, found in zip(rows, together, strict=True):
        ids = torch.tensor([[*row.prompt, *row.response]])
        logits = tiny.run(pad(ids.tolist()), logits="all").logits[0].float()
        at = torch.arange(len(row.prompt) - 1, ids.shape[1] - 1)
        alone = logits.log_softmax(-1)[at, torch.tensor(row.response)]
        assert torch.allclose(found[: len(row.response)], alone, atol=1e-4)
        assert torch.equal(found[len(row.response) :], torch.zeros(together.shape[1] - len(alone)))


@pytest.mark.parametrize("rows", [ROWS, APART])
def test_gradients_flow_through_the_shared_beginning(tiny_llama, rows):
    adapter = Adapter(tiny_llama, LoraShape(rank=2), generator=torch.Generator().manual_seed(0))
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in adapter.parameters().values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=noise))
    parameters = list(adapter.parameters().values())
    together = torch.autograd.grad(token_logprobs(adapter.model, rows).sum(), parameters)
    alone = [torch.zeros_like(p) for p in parameters]
    for row in rows:
        ids = torch.tensor([[*row.prompt, *row.response]])
        logprobs = adapter.module(ids).logits[0].log_softmax(-1)
        at = torch.arange(len(row.prompt) - 1, ids.shape[1] - 1)
        loss = logprobs[at, torch.tensor(row.response)].sum()
        for total, gradient in zip(alone, torch.autograd.grad(loss, parameters), strict=True):
            total += gradient
    for mine, wanted in zip(together, alone, strict=True):
        assert torch.isfinite(mine).all()
        assert torch.allclose(mine, wanted, atol=1e-4)


def test_one_logit_row_per_response_token(tiny_llama):
    with torch.no_grad():
        assert response_logits(tiny_llama, ROWS).shape[:2] == (3, 5)


@pytest.mark.parametrize("rows", [ROWS, APART])
def test_generation_continues_a_shared_beginning_as_any_other(tiny_llama, rows):
    prompts = [row.prompt for row in rows]
    endless = GenerationOptions(stop_ids=())
    wanted = tiny_llama.generate(pad(prompts, side="left"), limit=6, options=endless)
    found = tiny_llama.generate(shared_prefill(tiny_llama, prompts), limit=6, options=endless)
    assert [list(ids) for ids in found.generated] == [list(ids) for ids in wanted.generated]
