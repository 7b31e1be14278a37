"""Inside hybrid chains: the off-switch is exact, ratios by hand, interventions change the chain."""

from itertools import count

import pytest
import torch

from probes.hybrid.changes import Trial, try_changes
from probes.hybrid.report import _change_words
from probes.hybrid.steps import atlas_rows, gate_facts
from probes.hybrid.thoughts import Limits, distances, divergences, run_again, think_once
from probes.hybrid_trace import HybridTrace
from workbench.errors import BadOption, ModelNotFound
from workbench.latent.gate import Gate, GateShape
from workbench.latent.inputs import GatedMixture
from workbench.latent.mixture import EmbeddingTable
from workbench.latent.named_changes import CHANGES, named_changes
from workbench.latent.thinking import LatentThinking
from workbench.methods.contracts import Context, Example, Stopped
from workbench.model.policy import Sampling
from workbench.progress import stoppable

TEXT = "the king saw a dog in paris . 1 + 2 ="
LIMITS = Limits(tokens=12, stop_ids=())


@pytest.fixture(scope="module")
def traced(tiny_llama):
    gate = Gate(32, GateShape(r_min=0.1, r_max=0.2), generator=torch.Generator().manual_seed(0))
    policy = LatentThinking(
        inputs=GatedMixture(gate=gate),
        sampling=Sampling(temperature=0.7),
        greedy=True,
        delimiter="####",
        closing=(5, 6),
        keep=50,
    )
    table = EmbeddingTable(tiny_llama)
    return policy, table, gate, think_once(tiny_llama, table, TEXT, policy, LIMITS)


def test_one_pass_is_the_generation_and_token_inputs_are_exactly_plain(tiny_llama, traced):
    _, table, _, thought = traced
    hybrid = run_again(tiny_llama, table, thought, thought.fed)
    for t, record in enumerate(thought.records):
        scaled = (hybrid.logprobs[t] / 0.7).log_softmax(dim=-1)
        found = float(scaled[thought.response[t]])
        assert found == pytest.approx(float(record.logprob[0]), abs=1e-4)
    plain = run_again(tiny_llama, table, thought, thought.token)
    ids = torch.tensor([[*thought.prompt, *thought.response[:-1]]])
    logits = tiny_llama.backend.module(input_ids=ids).logits[0, len(thought.prompt) - 1 :]
    torch.testing.assert_close(plain.logprobs, logits.float().log_softmax(-1).detach())
    kl, flips = divergences(plain, plain)
    assert not kl.any()
    assert not flips.any()
    assert not distances(plain, plain).any()
    assert float(divergences(hybrid, plain)[0].max()) > 1e-3
    # The first token is predicted from the prompt alone.
    assert float(divergences(hybrid, plain)[0][0]) < 1e-9


def test_the_control_is_as_far_from_the_tokens(traced):
    *_, thought = traced
    noise = thought.with_random_deviations(torch.Generator().manual_seed(1))
    far = (thought.fed - thought.token).norm(dim=-1)
    torch.testing.assert_close((noise - thought.token).norm(dim=-1), far)


def test_ratios_by_hand(traced):
    _, table, gate, thought = traced
    found = gate_facts(gate, table, thought, 2)
    opening = gate.opening(thought.token[2])
    a = opening.a.detach().double()
    assert found["ratio_of_mean"] == pytest.approx(float((1 - a.mean() ** 2).sqrt()), rel=1e-5)
    assert found["mean_ratio"] == pytest.approx(float((1 - a**2).sqrt().mean()), rel=1e-5)
    assert found["ratio_of_mean"] >= found["mean_ratio"]
    latent = (thought.fed[2] - opening.a.detach() * thought.token[2]).norm()
    rest = (opening.a.detach() * thought.token[2]).norm()
    assert found["norm_share"] == pytest.approx(float(latent / (latent + rest)), rel=1e-3)


def test_the_atlas_ranks_the_vocabulary(tiny_llama, traced):
    _, table, gate, _ = traced
    rows = atlas_rows(tiny_llama, table, gate, shown=3)
    ratios = [row["mean_ratio"] for row in rows]
    assert ratios == sorted(ratios, reverse=True)
    assert [row["rank"] for row in rows] == [1, 2, 3, 62, 63, 64]


def test_interventions_change_the_chain_from_where_they_act(tiny_llama, traced):
    policy, _, _, thought = traced
    trial = Trial(names=tuple(CHANGES), step=5, limits=LIMITS)
    rows = {r["intervention"]: r for r in try_changes(tiny_llama, policy, thought, trial)}
    assert set(rows) == set(CHANGES)
    assert rows["closed"]["response"] == rows["tokens"]["response"]
    assert rows["answer-now"]["first_change"] == 5
    splice = rows["tokens-after"]
    assert not splice["differs"] or splice["first_change"] > 5
    assert sum(rows[name]["differs"] for name in CHANGES) >= 4


def test_unknown_interventions_are_named():
    with pytest.raises(BadOption, match="no intervention nowhere"):
        named_changes("closed, nowhere")


@pytest.mark.parametrize("method", ["hrpo", "soft-thinking", "moi", "hidden-feedback"])
def test_every_method_is_traced(tiny_llama, method):
    recipe = HybridTrace(method=method, untrained=True, tokens=8)
    result = recipe.study(tiny_llama, [Example(text=TEXT), Example(text="the cat")], Context())
    assert result.estimate("kl").control is not None
    assert set(result.tables["steps"]["text"]) == {0, 1}
    assert ("atlas" in result.tables) is (method == "hrpo")
    steps = result.tables["steps"]
    assert set(steps.frame) <= set(steps.columns)
    assert result.tables["steps"]["kl"].max() > 0


def test_stopped_it_keeps_the_chain_and_the_changes_that_were_tried(tiny_llama):
    probe = HybridTrace(untrained=True, tokens=6, interventions="closed,open,tokens")
    passes = count()
    with stoppable(lambda: next(passes) < 0):
        whole = probe.study(tiny_llama, [Example(text=TEXT)], Context())
    last = next(passes) - 1
    passes = count()
    with stoppable(lambda: next(passes) == last), pytest.raises(Stopped) as stop:
        probe.study(tiny_llama, [Example(text=TEXT)], Context())
    kept = stop.value.result
    assert kept.table("steps").frame.equals(whole.table("steps").frame)
    assert kept.table("interventions")["intervention"].tolist() == ["closed", "open"]


def test_the_verdict_says_what_the_change_made_of_the_answer():
    rows = {
        "chains": [{"text": 0, "response": "25+5=30; 30+18=48 #### 48"}],
        "interventions": [
            {
                "text": 0,
                "intervention": "closed",
                "differs": True,
                "first_change": 9,
                "response": "25+5=30; 20+18=38 #### 38",
            }
        ],
        "steps": [{"text": 0, "step": 9, "p": 0.52}],
    }
    told = _change_words(rows["interventions"][0], rows)
    assert "ends in “38” instead of “48”" in told
    assert "they part at token 9, which had probability 0.52" in told


def test_without_a_trained_gate_it_says_so(tiny_llama):
    with pytest.raises(ModelNotFound, match="no trained gate"):
        HybridTrace().study(tiny_llama, [Example(text=TEXT)], Context())
