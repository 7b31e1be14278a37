"""A copy of one plugin per kind that breaks a promise fails the suite of its kind."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from causal.constraint import PC
from causal.questions import Effects
from causal.refute import RandomSubset
from probes.token_trace import TokenTrace
from probes.train_tuned_lens import TrainTunedLens
from reasoning.token_chain import ChainOfThought
from tests.contract import checks
from tests.contract.case import Case
from tests.contract.checks import CHECKS
from tests.contract.running import BROKEN
from workbench.methods import registry
from workbench.result.views import Curve
from workbench.sampling.tasks.sums import Sums


@dataclass(frozen=True, kw_only=True)
class UnseededProbe(TokenTrace):
    """Measure with noise that no seed decides.

    Units: those of the probe.
    """

    def measure(self, trace, examples, context):
        found = super().measure(trace, examples, context)
        noise = 1 + 0.1 * np.random.default_rng().random()
        return replace(found, values={name: noise * x for name, x in found.values.items()})


@dataclass(frozen=True, kw_only=True)
class RankedReasoner(ChainOfThought):
    """Answer by the place in the batch.

    Units: those of the reasoner.
    """

    def solve(self, model, prompts, *, seeds, context):
        chains = super().solve(model, prompts, seeds=seeds, context=context)
        return [replace(chain, response=f"The answer is {i}") for i, chain in enumerate(chains)]


@dataclass(frozen=True, kw_only=True)
class BlindRecipe(TrainTunedLens):
    """Draw a column that is not there.

    Units: those of the recipe.
    """

    def train(self, model, examples, context):
        result = super().train(model, examples, context)
        view = Curve(title="Nothing", table=next(iter(result.tables)), x="no column", y=("loss",))
        return replace(result, views=(view,))


@dataclass(frozen=True, kw_only=True)
class EmptyDiscovery(PC):
    """Find no edge.

    Units: those of the discovery.
    """

    def fit(self, table, context):
        result = super().fit(table, context)
        return replace(result, graph=replace(result.graph, edges=()))


@dataclass(frozen=True, kw_only=True)
class SilentQuestion(Effects):
    """Give estimates without a value and without a reason.

    Units: those of the question.
    """

    def ask(self, found, table, context):
        result = super().ask(found, table, context)
        empty = [replace(e, value=None, low=None, high=None, note="") for e in result.estimates]
        return replace(result, estimates=tuple(empty))


class LooseRefuter(RandomSubset):
    """Take positional options and keep no field of its own.

    Units: those of the refuter.
    """

    def __init__(self, *options):
        super().__init__()


@dataclass(frozen=True, kw_only=True)
class LenientTask(Sums):
    """Accept every answer."""

    def is_correct(self, problem, response):
        return True


COPIES = {
    ("probe", "token-trace"): (UnseededProbe, checks.the_same_seed_gives_the_same_numbers),
    ("reasoner", "cot"): (RankedReasoner, checks.the_order_of_problems_does_not_move_an_answer),
    ("recipe", "tuned-lens"): (BlindRecipe, checks.views_name_what_the_result_holds),
    ("discovery", "pc"): (
        EmptyDiscovery,
        checks.a_planted_graph_is_found_and_lost_when_columns_are_shuffled,
    ),
    ("question", "effects"): (SilentQuestion, checks.numbers_are_finite_and_carry_their_unit),
    ("refuter", "random-subset"): (LooseRefuter, checks.it_is_a_frozen_recipe),
    ("task", "sums"): (LenientTask, checks.reference_answers_are_right_and_those_of_others_wrong),
}


@pytest.fixture(autouse=True)
def _registered():
    registry.load_plugins()
    known = dict(registry._plugins)
    for (kind, name), (copy, _) in COPIES.items():
        registry.register(kind, BROKEN + name, source="a broken copy")(copy)
    yield
    registry._plugins.clear()
    registry._plugins.update(known)


@pytest.mark.parametrize(("kind", "name"), COPIES)
def test_a_broken_copy_fails_its_suite(kind, name):
    _, check = COPIES[kind, name]
    assert check in CHECKS[kind]
    check(Case(kind, name))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(Case(kind, BROKEN + name))


def test_every_kind_has_a_broken_copy():
    assert {kind for kind, _ in COPIES} == set(CHECKS)
