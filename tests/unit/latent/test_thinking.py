"""The loop: identity with plain generation, phases, rows alone, and what is recorded."""

from dataclasses import replace

import pytest
import torch

from workbench.errors import BadOption
from workbench.latent.inputs import (
    GatedMixture,
    HiddenFeedback,
    MixtureOfInputs,
    SoftTokens,
    TokenInput,
)
from workbench.latent.interventions import Intervened, Intervention
from workbench.latent.phase import PhaseMachine
from workbench.latent.thinking import ColdStop, LatentThinking
from workbench.model.generation import GenerationOptions
from workbench.model.policy import GREEDY, Sampling
from workbench.model.sites import Kind, Site

WARM = Sampling(temperature=0.7)
FREE = GenerationOptions(seeds=[3, 4, 5], stop_ids=())


def _all(model, gate):
    return (
        GatedMixture(gate=gate),
        SoftTokens(),
        SoftTokens(noise=0.5),
        MixtureOfInputs(),
        HiddenFeedback(),
    )


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("greedy", [True, False])
def test_a_closed_gate_is_plain_generation(tiny_llama, batch, gate, closed, greedy):
    gated = GatedMixture(gate=gate)
    inputs = Intervened(inner=gated, change=Intervention(gate=1.0)) if closed else gated
    policy = LatentThinking(inputs=inputs, sampling=WARM, greedy=greedy)
    plain = tiny_llama.generate(batch, policy=GREEDY if greedy else WARM, limit=40, options=FREE)
    found = tiny_llama.generate(batch, policy=policy, limit=40, options=FREE)
    assert (found.generated == plain.generated) is closed


def test_one_soft_token_is_greedy(tiny_llama, batch):
    policy = LatentThinking(inputs=SoftTokens(n=1), sampling=WARM)
    plain = tiny_llama.generate(batch, policy=GREEDY, limit=40, options=FREE)
    assert tiny_llama.generate(batch, policy=policy, limit=40, options=FREE).generated == (
        plain.generated
    )


def test_a_row_is_as_it_would_be_alone(tiny_llama, batch, gate):
    for inputs in _all(tiny_llama, gate):
        policy = LatentThinking(inputs=inputs, sampling=WARM)
        together = tiny_llama.generate(batch, policy=policy, limit=10, options=FREE).generated
        for i in range(3):
            options = replace(FREE, seeds=[3 + i])
            alone = tiny_llama.generate(batch.take([i]), policy=policy, limit=10, options=options)
            assert alone.generated[0] == together[i], type(inputs).__name__


def test_methods_differ_from_plain_sampling(tiny_llama, batch, gate):
    plain = tiny_llama.generate(batch, policy=WARM, limit=12, options=FREE).generated
    for inputs in _all(tiny_llama, gate):
        policy = LatentThinking(inputs=inputs, sampling=WARM)
        assert tiny_llama.generate(batch, policy=policy, limit=12, options=FREE).generated != plain


def test_the_answer_is_fed_as_tokens_bit_for_bit(tiny_llama, batch, gate):
    plain = tiny_llama.generate(batch, policy=WARM, limit=30, options=FREE).generated
    delimiter = tiny_llama.decode([plain[0][4]])
    policy = LatentThinking(
        inputs=GatedMixture(gate=gate), sampling=WARM, delimiter=delimiter, keep=4, vectors=True
    )
    site = Site(Kind.EMBED)
    found = tiny_llama.generate(batch, policy=policy, limit=30, options=FREE, read=(site,))
    fed = found.activations[site]
    tokens = tiny_llama.embed(found.tokens.ids)
    width = batch.ids.shape[1]
    assert found.latent is not None
    answering = ~found.latent[:, width:]
    assert bool(answering.any())
    assert torch.equal(fed[:, width:][answering], tokens[:, width:][answering])
    thought = found.latent[:, width:]
    assert not torch.equal(fed[:, width:][thought], tokens[:, width:][thought])
    for step, record in enumerate(found.records[:-1]):
        rows = record.latent & record.live
        assert torch.equal(fed[:, width + step][rows], record.vector[rows])


def _phases(pieces, delimiter):
    machine = PhaseMachine(lambda ids: pieces[ids[0]], 1, delimiter)
    found = []
    for i in range(len(pieces)):
        machine.see([i], [True])
        found.append(machine.thinking[0])
    return found


@pytest.mark.parametrize(
    ("pieces", "thinks"),
    [
        (["a", " ####", "7"], [True, False, False]),
        (["a", "#", "#", "#", "#", "7"], [True, True, True, True, False, False]),
        (["a##", "##7", "b"], [True, False, False]),
        (["a", "######", "b"], [True, False, False]),
        (["##", " ##", "# #", "x"], [True, True, True, True]),
        (["a ###", "b#", "###", "c"], [True, True, False, False]),
    ],
)
def test_the_delimiter_is_seen_however_it_is_cut(pieces, thinks):
    assert _phases(pieces, "####") == thinks


def test_without_a_delimiter_rows_think_to_the_end():
    assert _phases(["a", "####"], "") == [True, True]
    with pytest.raises(BadOption, match="blank"):
        PhaseMachine(str, 1, " ")


def test_the_cold_stop_injects_the_closing_tokens(tiny_llama, batch):
    certain = Sampling(temperature=0.01)
    closing = (7, 11)
    policy = LatentThinking(
        inputs=SoftTokens(),
        sampling=certain,
        delimiter=tiny_llama.decode([11]),
        closing=closing,
        cold=ColdStop(below=2.0, steps=5),
        keep=1,
    )
    found = tiny_llama.generate(batch, policy=policy, limit=12, options=FREE)
    for row in found.generated:
        assert row[4:6] == closing
    latent = torch.stack([record.latent for record in found.records])
    assert bool(latent[:4].all())
    assert not bool(latent[4:].any())
    patient = replace(policy, cold=ColdStop(below=2.0, steps=50))
    later = tiny_llama.generate(batch, policy=patient, limit=12, options=FREE)
    assert later.generated != found.generated
    with pytest.raises(BadOption, match="closing"):
        LatentThinking(cold=ColdStop())


def test_a_moved_delimiter_and_a_script(tiny_llama, batch, gate):
    base = LatentThinking(inputs=GatedMixture(gate=gate), sampling=WARM, keep=2)
    moved = replace(base, closing=(8,), close_at=3, delimiter=tiny_llama.decode([8]))
    found = tiny_llama.generate(batch, policy=moved, limit=8, options=FREE)
    assert [row[3] for row in found.generated] == [8, 8, 8]
    scripted = replace(base, script=[(9, 10, 11)] * 3)
    found = tiny_llama.generate(batch, policy=scripted, limit=8, options=FREE)
    assert {row[:3] for row in found.generated} == {(9, 10, 11)}


def test_interventions_act_in_their_window_only(tiny_llama, batch, gate):
    def run(inputs):
        policy = LatentThinking(inputs=inputs, sampling=WARM, greedy=True, keep=3, vectors=True)
        return tiny_llama.generate(batch, policy=policy, limit=6, options=FREE).records

    gated = GatedMixture(gate=gate)
    own = run(gated)
    late = run(Intervened(inner=gated, change=Intervention(gate=1.0, first=2)))
    assert all(torch.equal(own[t].vector, late[t].vector) for t in (0, 1))
    assert torch.equal(late[2].vector, tiny_llama.embed(late[2].tokens[:, None])[:, 0])
    for change in (
        Intervention(mixture="top-1"),
        Intervention(mixture="mean"),
        Intervention(mixture="noise"),
        Intervention(drawn=True),
        Intervention(without=int(own[0].mixture.ids[0, 0])),
    ):
        found = run(Intervened(inner=gated, change=change))
        assert not torch.equal(found[0].vector[0], own[0].vector[0]), change
    idle = run(Intervened(inner=gated, change=Intervention()))
    assert all(torch.equal(a.vector, b.vector) for a, b in zip(own, idle, strict=True))
    with pytest.raises(BadOption, match="steps"):
        Intervention(first=3, last=2)


def test_plain_thinking_feeds_tokens(tiny_llama, batch):
    policy = LatentThinking(inputs=TokenInput(), sampling=WARM, keep=2)
    found = tiny_llama.generate(batch, policy=policy, limit=5, options=FREE)
    assert found.latent is None
    assert not any(bool(record.latent.any()) for record in found.records)
