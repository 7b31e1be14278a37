"""The comparison of decoders from end to end, and a probe that reads planted answers."""

import numpy as np
import pytest

from probes.diffusion.readout import answers_read, first_read
from probes.diffusion_decoders import DiffusionDecoders
from probes.train_diffusion import TrainDiffusion
from workbench.errors import BadOption, DataError
from workbench.methods.contracts import Context
from workbench.sampling.task import open_task

TASK = "sums?terms=2&smallest=10&largest=60"


def study(model, limit=3, **options):
    context = Context.of(model, task=TASK, limit=limit, resamples=20)
    return DiffusionDecoders(**options).study(model, (), context)


def test_orders_stand_beside_their_shuffled_steps_and_a_forced_one_is_one(network):
    result = study(
        network, decoders=("left-to-right", "random", "threshold"), many=(1, 5), k=(1, 2)
    )
    table = result.tables["order"].frame.set_index(["decoder", "many", "k"])
    assert (table.loc["left-to-right"][["global", "local"]] == 1).all(axis=None)
    assert table.loc[("left-to-right", 5, 1), "global_at_once"] < 0.5
    assert (table["global_shuffled"] < 1).all()
    runs = result.tables["decoders"].frame.set_index(["decoder", "many"])
    assert runs.loc[("random", 5), "steps"] == -(-len(_reference(result)) // 5)
    assert ("threshold", 5) not in runs.index
    assert (runs["reused"] == 0).all()


def _reference(result):
    return result.tables["responses"].frame["response"][0]


def test_a_wide_tolerance_reuses_and_says_how_much(network):
    runs = study(network, decoders=("random",), many=(1,), tolerance=2.0).tables["decoders"].frame
    assert runs["reused"][0] > 0.3


def test_a_masked_language_model_is_compared_too(network, bert):
    result = study(network, network=bert, decoders=("confidence",), many=(4,), limit=1)
    assert "reads" not in result.tables.get("layers_by_step").frame
    assert (result.tables["trajectory"].frame["hidden"] >= 0).all()


def test_a_probe_reads_the_answer_from_the_step_on_that_holds_it():
    draw = np.random.default_rng(0)
    tokens = draw.integers(0, 8, size=(60, 2))
    states = 0.1 * draw.standard_normal((60, 5, 2, 2, 8))
    for slot in range(2):
        states[:, 3:, 1, slot] += 5 * np.eye(8)[tokens[:, slot], None]
    read = first_read(answers_read(states, tokens))
    null = first_read(answers_read(states, tokens, np.random.default_rng(1)))
    assert np.median(read[:, 1]) == pytest.approx(3 / 5)
    assert read[:, 1].mean() == pytest.approx(3 / 5, abs=0.03)
    assert read[:, 0].mean() > 0.9
    assert null[:, 1].mean() > 0.9


def test_a_probe_is_not_fitted_to_the_texts_it_reads():
    draw = np.random.default_rng(0)
    tokens, states = draw.integers(0, 4, size=(40, 1)), draw.standard_normal((40, 1, 1, 1, 64))
    assert answers_read(states, tokens).mean() < 0.6


def test_what_cannot_be_done_is_named(network):
    with pytest.raises(BadOption, match="lean towards"):
        study(network, decoders=("guided",))
    with pytest.raises(BadOption, match="0 of"):
        study(network, decoders=("guided",), toward="absent")
    with pytest.raises(BadOption, match="left-to-right network"):
        study(network, decoders=("energy",))
    with pytest.raises(BadOption, match="smallest"):
        open_task("sums?smallest=9&largest=5")
    context = Context(task="prosqa?hops=2&classes=6&brief=yes", limit=2)
    with pytest.raises(DataError, match="does not know"):
        DiffusionDecoders(decoders=("random",)).study(network, (), context)
    recipe, context = TrainDiffusion(preset="tiny"), Context(task="sums?terms=2&largest=30")
    with pytest.raises(DataError, match="different lengths"):
        recipe.train(recipe.base_model(context), (), context)
