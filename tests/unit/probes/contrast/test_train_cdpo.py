"""Three arms on the same pairs; the base stands beside them; closed forms hold in training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from probes.contrast.ablations import ABLATIONS, _shuffled
from probes.contrast.models import RESPONSES
from probes.contrast.objectives import Pair, Preference, reference_logprobs
from probes.contrast.presets import PREFERENCE
from probes.contrast.selection import Response
from probes.contrast.sequences import Row
from probes.contrast.verdict import judge
from probes.train_cdpo import _problems
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context
from workbench.model.tiny import tiny_model
from workbench.result.intervals import proportion_interval
from workbench.runs.execute import execute
from workbench.runs.store import Store
from workbench.sampling.task import Problem, open_task
from workbench.training.adapter import Adapter, LoraShape
from workbench.training.checkpoint import Checkpoint

LEARN = {"questions": 16, "samples": 16, "rank": 2, "learning_rate": 0.02, "epochs": 10}


@pytest.fixture(scope="module")
def trained(estimated, spec_of):
    estimate, store = estimated
    run = execute(spec_of("cdpo", estimate=estimate.run_id, **LEARN), store=store)
    assert run.failure is None, run.failure
    return run, store


def test_every_arm_is_judged_on_the_same_problems_beside_the_base(trained):
    run, _ = trained
    rows = {row["model"]: row for row in run.result.table("accuracy").rows()}
    assert list(rows) == ["base", *ABLATIONS]
    answers = run.result.table("answers").rows()
    assert {row["n"] for row in rows.values()} == {len(answers)}
    for name, row in rows.items():
        right = sum(a[name] == a["answer"] for a in answers)
        assert row["accuracy"] == pytest.approx(right / len(answers))
    for name in ABLATIONS:
        gain = run.result.estimate(f"{name} − base")
        assert gain.value == pytest.approx(rows[name]["accuracy"] - rows["base"]["accuracy"])
        assert gain.value * len(answers) == pytest.approx(
            rows[name]["mended"] - rows[name]["broken"]
        )
        assert "paired" in gain.method
        assert run.result.estimate(f"{name} accuracy").control == rows["base"]["accuracy"]
    for one, other in (("cdpo", "dpo"), ("cdpo", "cdpo-shuffled"), ("cdpo-released", "dpo")):
        gap = run.result.estimate(f"{one} − {other}")
        assert gap.n == len(answers)
        assert gap.value == pytest.approx(rows[one]["accuracy"] - rows[other]["accuracy"])


def test_the_planted_answer_is_learned(trained):
    """The right answer is 7 to every question, so preferring right responses says 7."""
    run, _ = trained
    rows = {row["model"]: row for row in run.result.table("accuracy").rows()}
    assert rows["base"]["accuracy"] <= 0.25
    assert max(rows[name]["accuracy"] for name in ABLATIONS) >= 0.5


def test_the_checkpoint_holds_three_adapters_and_their_scores(trained):
    run, store = trained
    kept = Checkpoint.load(store.checkpoint(run.run_id))
    assert {name.split(".")[0] for name in kept.tensors} == set(ABLATIONS)
    assert kept.manifest.recipe == "cdpo"
    assert kept.manifest.scores["cdpo − base"]["n"] == len(run.result.table("answers"))
    base = tiny_model("llama")
    for name in ABLATIONS:
        assert Adapter.restore(base, kept, prefix=f"{name}.").model is not base


def test_responses_of_the_estimate_are_taken_over(trained, estimated):
    (run, store), (estimate, _) = trained, estimated
    mine, theirs = (store.checkpoint(r.run_id) / RESPONSES for r in (run, estimate))
    assert mine.read_text() == theirs.read_text()


@pytest.mark.slow
def test_a_stopped_run_ends_in_the_same_numbers(trained, spec_of, estimated, tmp_path):
    run, store = trained
    folder = store.checkpoint(estimated[0].run_id)
    options, broken, calls = dict(LEARN, estimate=str(folder)), Store(tmp_path), [0]

    def stop(done, total, what):
        calls[0] += 1
        if calls[0] % 37 == 0:
            raise KeyboardInterrupt

    for _ in range(20):
        try:
            found = execute(spec_of("cdpo", **options), store=broken, progress=stop)
            break
        except KeyboardInterrupt:
            continue
    assert calls[0] > 37
    assert found.result.estimates == run.result.estimates
    assert [t.rows() for t in found.result.tables.values()] == [
        t.rows() for t in run.result.tables.values()
    ]


def test_without_an_estimate_the_message_says_how_to_make_one(spec_of, tmp_path):
    run = execute(spec_of("cdpo", estimate="nothing"), store=Store(tmp_path))
    assert run.failure.code == "model-not-found"
    assert "workbench train contrastive-estimate" in run.failure.hint


def test_training_and_judging_problems_never_meet(digits):
    task, sizes = open_task(digits), replace(PREFERENCE["tiny"], questions=30, held_out=8)
    learned, judged = _problems(task, sizes, Context())
    assert (len(learned), len(judged)) == (16, 8)
    assert not {p.id for p in learned} & {p.id for p in judged}
    learned, judged = _problems(task, replace(sizes, questions=5), Context())
    assert (len(learned), len(judged)) == (5, 8)
    with pytest.raises(TooLittleData):
        _problems(task, replace(sizes, questions=1, held_out=0), Context())


@pytest.mark.parametrize("form", ["paper", "as-released"])
def test_an_untrained_arm_loses_log_two_and_zero_weights_leave_the_rejected_side_alone(
    tiny_llama, form
):
    rows = [Row(prompt=(5, 9), response=(6, 7, 8)), Row(prompt=(5, 9), response=(10, 11))]
    before = reference_logprobs(tiny_llama, rows, 2)
    adapter = Adapter(tiny_llama, LoraShape(rank=2), generator=torch.Generator().manual_seed(0))

    def lesson(weights, rejected=rows[1]):
        pair = Pair(
            chosen=rows[0],
            rejected=rejected,
            chosen_reference=before[0],
            rejected_reference=before[1],
            weights=weights,
        )
        return Preference(adapter, [pair], [pair], gamma=0.5, form=form, at_once=4)

    assert lesson(torch.ones(2)).validate() == pytest.approx(math.log(2), abs=1e-5)
    parameters = list(adapter.parameters().values())
    gradients = [
        torch.autograd.grad(sum(lesson(torch.zeros(2), row).losses([0], _draw())), parameters)
        for row in (rows[1], Row(prompt=(5, 9), response=(20, 21)))
    ]
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def _draw():
    return torch.Generator().manual_seed(0)


def _made(*right):
    return [Response(tokens=(1,), answer="7" if r else "3", correct=bool(r)) for r in right]


def test_differences_are_paired_by_problem():
    problems = [Problem(id=str(i), question=str(i), answer="7") for i in range(40)]
    base = _made(*[1, 0] * 20)
    better = _made(*[1, 0] * 12, *[1] * 16)
    answers = {"base": base, "dpo": base, "cdpo": better}
    result = judge(problems, answers, (("cdpo", "dpo"),))
    same, gain = result.estimate("dpo − base"), result.estimate("cdpo − base")
    unseen, share = proportion_interval(0, 40).high, proportion_interval(8, 40)
    assert (same.value, same.low, same.high) == pytest.approx((0, -unseen, unseen))
    assert gain.value == pytest.approx(0.2)
    assert gain.low == pytest.approx(0.2 - math.hypot(0.2 - share.low, unseen))
    assert gain.high == pytest.approx(share.high)
    assert "cdpo − base" in result.summary
    assert "dpo − base 0 [" not in result.summary.replace("cdpo − base", "")


def test_no_clear_difference_is_said_in_so_many_words():
    problems = [Problem(id=str(i), question=str(i), answer="7") for i in range(10)]
    base = _made(*[1, 0] * 5)
    result = judge(problems, {"base": base, "cdpo": base}, ())
    assert "no difference lies beyond its interval" in result.summary


def test_the_control_has_the_same_weights_in_another_order():
    weights = torch.linspace(0, 1, 12)
    row = Row(prompt=(1,), response=tuple(range(12)))
    pair = Pair(
        chosen=row,
        rejected=row,
        chosen_reference=weights,
        rejected_reference=weights,
        weights=weights,
    )
    other = _shuffled(pair, np.random.default_rng(0)).weights
    assert not torch.equal(other, weights)
    assert torch.equal(other.sort().values, weights)
