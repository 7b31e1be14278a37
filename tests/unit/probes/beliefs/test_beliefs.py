"""Belief readouts on planted states: found where planted, lost where shuffled."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from probes import belief_readout
from probes.belief_readout import Beliefs
from probes.beliefs.ridge import PENALTIES, RidgePath, tuned_ridge
from probes.beliefs.symbols import SymbolStates, read_states, symbol_rows
from probes.lens.least_loss import ridge
from workbench.errors import DataError, TooLittleData
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tiny import tiny_model
from workbench.result.result import Result
from workbench.result.samples import VALUE
from workbench.sampling.processes.hidden_markov import mess3
from workbench.sampling.processes.process import kl_of

NOISE = 0.5


def planted(model, rows, sites, context) -> SymbolStates:
    """Return states that hold the belief from layer 0 on, with noise; the predictor is exact."""
    draw = np.random.default_rng(0)
    beliefs = np.concatenate([row.exact.beliefs[0, 1:] for row in rows])
    owner = np.repeat(np.arange(len(rows)), [len(row.symbols) for row in rows])
    mix = np.linalg.qr(draw.standard_normal((12, 3)))[0].T
    x = (beliefs - beliefs.mean(axis=0)) @ mix
    spread = np.sqrt(beliefs.var(axis=0).sum() / 3)
    noise = NOISE * spread * draw.standard_normal((len(x), 3)) @ mix
    held = {site: (x + noise).astype(np.float32) for site in sites}
    held[sites[0]] = draw.standard_normal((len(x), 12)).astype(np.float32)
    return SymbolStates(
        states=held,
        log_next=np.concatenate([row.exact.log_next[0, 1:] for row in rows]),
        owner=owner,
        after=np.concatenate([1 + np.arange(len(row.symbols)) for row in rows]),
    )


@pytest.fixture(scope="module")
def study(tiny_llama: Model) -> Callable[[int], Result]:
    """Return a function that reads planted states under a seed."""

    def of(seed: int) -> Result:
        context = replace(
            Context.of(tiny_llama), task="hidden-markov?length=10", limit=120, seed=seed
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(belief_readout, "read_states", planted)
            return Beliefs(shown=2).study(tiny_llama, (), context)

    return of


@pytest.fixture(scope="module")
def found(study: Callable[[int], Result]) -> Result:
    return study(0)


def test_a_planted_belief_is_read_and_shuffled_ones_are_not(found) -> None:
    table = found.tables["layers"].frame.set_index("layer")
    # Beliefs vary in two directions, so a readout that knows this does a little better than
    # 1/(1 + noise²) = 0.8 of three.
    assert 0.76 < table.loc[0, "r2"] < 0.9
    assert table.loc[0, "r2_low"] < table.loc[0, "r2"] < table.loc[0, "r2_high"]
    assert abs(table.loc[-1, "r2"]) < 0.05
    assert (table["r2_shuffled"].abs() < 0.05).all()
    assert 0.3 < table.loc[0, "r2_symbol"] < 0.95
    assert found.estimate("excess").value == pytest.approx(0, abs=1e-12)
    assert found.estimate("excess").control > 0.01
    # The grid has every layer of every token of the shown sequences.
    grid = found.tables["grid"].frame
    assert len(grid) == 2 * 10 * 4
    near, far = (grid.loc[grid["layer"] == k, "distance"].mean() for k in (0, -1))
    assert near < far


def test_no_readout_sees_the_sequences_that_it_is_scored_on() -> None:
    draw = np.random.default_rng(0)
    owner = np.repeat(np.arange(12), 5)
    read = SymbolStates(
        states={}, log_next=np.zeros((60, 2)), owner=owner, after=np.tile(np.arange(5), 12)
    )
    x, y, fold = draw.standard_normal((60, 20)), draw.random((60, 3)), np.arange(12) % 3
    other = y.copy()
    held = fold[owner] == 1
    other[held] = draw.random((int(held.sum()), 3))
    first, second = (belief_readout._judged(x, {VALUE: b}, read, fold) for b in (y, other))
    assert np.array_equal(first.told[VALUE][held], second.told[VALUE][held])
    assert np.array_equal(first.level[VALUE][held], second.level[VALUE][held])
    assert not np.array_equal(first.told[VALUE][~held], second.told[VALUE][~held])


def test_another_seed_moves_the_control_and_the_order_of_texts_nothing(found, study) -> None:
    same, other = study(0), study(1)
    assert same.as_dict()["tables"] == found.as_dict()["tables"]
    assert other.tables["layers"].frame["r2_shuffled"][1] != pytest.approx(
        found.tables["layers"].frame["r2_shuffled"][1], abs=1e-9
    )


def test_ridge_is_that_of_the_scalar_readout_in_both_spaces() -> None:
    draw = np.random.default_rng(0)
    for n, width in ((40, 6), (6, 40)):
        x, y = draw.standard_normal((n, width)), draw.standard_normal((n, 2))
        z = (x - x.mean(axis=0)) / x.std(axis=0)
        mine = RidgePath(x).readout(y, 0.3)
        for k in range(2):
            weight, _ = ridge(z, y[:, k], 0.3)
            assert np.allclose(mine.weight[:, k] * x.std(axis=0), weight)
            assert mine.read(x)[:, k].mean() == pytest.approx(y[:, k].mean())


def test_noise_gets_the_largest_penalty_and_a_line_a_small_one() -> None:
    draw = np.random.default_rng(1)
    x = draw.standard_normal((80, 40))
    line = x[:, :2]
    fits = tuned_ridge(x, [line, draw.standard_normal((80, 2))], np.repeat(np.arange(40), 2))
    assert fits[0].penalty <= PENALTIES[1]
    assert fits[1].penalty == PENALTIES[-1]


def test_states_and_predictions_are_those_of_the_model() -> None:
    tiny_gpt2 = tiny_model("gpt2")
    process = replace(mess3(), symbols=("cat", "dog", "bird"))
    texts = ["cat dog bird cat", "dog bird"]
    rows = symbol_rows(tiny_gpt2, texts, process)
    site = Site(Kind.RESID_POST, 1)
    read = read_states(tiny_gpt2, rows, [site], Context.of(tiny_gpt2))
    assert read.owner.tolist() == [0, 0, 0, 0, 1, 1]
    assert read.after.tolist() == [1, 2, 3, 4, 1, 2]
    trace = tiny_gpt2.run(texts[0], read=[site], logits="all")
    assert np.allclose(read.states[site][:4], trace[site][0].numpy(), atol=1e-5)
    logp = trace.logits[0].log_softmax(dim=-1).numpy()
    for row, spelt in enumerate(rows[0].ids[:3]):
        assert np.allclose(read.log_next[:4, rows[0].symbols[row]], logp[:, spelt], atol=1e-4)
    assert (kl_of(rows[0].exact.log_next[0, 1:], read.log_next[:4]) > 0).all()


def test_what_cannot_be_read_is_said(tiny_llama: Model) -> None:
    with pytest.raises(DataError, match="draws no sequences"):
        Beliefs().study(tiny_llama, (), replace(Context.of(tiny_llama), task="sums"))
    with pytest.raises(TooLittleData, match="3 sequences"):
        Beliefs().study(tiny_llama, (), replace(Context.of(tiny_llama), limit=3))
