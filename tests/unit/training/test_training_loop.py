"""The loop: it learns, it resumes bit for bit, it keeps the best, it leaves others alone."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from workbench.errors import BadOption, FitError, StoreError, TooLittleData
from workbench.methods.contracts import Context
from workbench.training.loop import Objective, Plan, rows_of_step, train
from workbench.training.state import STATE

PLAN = Plan(steps=40, rows_per_step=8, learning_rate=0.05, save_every=10, validate_every=10)


class _Line:
    """Least squares on planted data, with noise drawn from the step's generator."""

    def __init__(self, n=50, break_at=None, broken=float("nan")):
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(n, 3, generator=generator)
        self.truth = torch.tensor([1.0, -2.0, 0.5])
        self.frozen = nn.Parameter(torch.ones(3))
        self.weight = nn.Parameter(torch.zeros(3))
        self.calls = 0
        self.break_at, self.broken = break_at, broken

    @property
    def n_rows(self):
        return len(self.x)

    def parameters(self):
        return {"weight": self.weight}

    def losses(self, rows, generator):
        self.calls += 1
        if self.calls == self.break_at:
            if isinstance(self.broken, BaseException):
                raise self.broken
            yield self.broken * self.weight.sum()
        x = self.x[list(rows)]
        noise = 0.1 * torch.randn(len(rows), generator=generator)
        for half, extra in zip(x.chunk(2), noise.chunk(2), strict=True):
            wrong = (half * self.frozen) @ (self.weight - self.truth) + extra
            yield wrong.square().sum() / len(rows)

    def validate(self):
        return float((self.weight.detach() - self.truth).square().sum())


def _train(task, folder, *, plan=PLAN, resume=False, seed=0, identity="line"):
    context = Context(seed=seed, resume=resume)
    return train(task, plan, folder=folder, identity=identity, context=context)


def test_it_learns_and_validates_from_the_start(tmp_path):
    task = _Line()
    history = _train(task, tmp_path, plan=Plan(steps=300, rows_per_step=8, learning_rate=0.05))
    assert isinstance(task, Objective)
    assert history.validations[0] == (0, pytest.approx(5.25))
    assert history.best[1] < 0.01
    assert task.validate() == pytest.approx(history.best[1])
    assert len(history.losses) == len(history.rates) == 300


def test_a_stopped_run_resumes_to_the_same_numbers(tmp_path):
    whole = _Line()
    expected = _train(whole, tmp_path / "whole")
    stopped = _Line(break_at=27, broken=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        _train(stopped, tmp_path / "part")
    resumed = _Line()
    found = _train(resumed, tmp_path / "part", resume=True)
    assert resumed.calls == 20  # from the state after step 20
    assert found == expected
    assert torch.equal(resumed.weight, whole.weight)


def test_a_finished_run_is_not_repeated(tmp_path):
    first = _train(_Line(), tmp_path)
    again = _Line()
    assert _train(again, tmp_path, resume=True) == first
    assert again.calls == 0


def test_without_resume_it_starts_over(tmp_path):
    _train(_Line(), tmp_path)
    again = _Line()
    _train(again, tmp_path)
    assert again.calls == 40


def test_seeds_decide_the_losses(tmp_path):
    a = _train(_Line(), tmp_path / "a")
    assert a == _train(_Line(), tmp_path / "b")
    assert a != _train(_Line(), tmp_path / "c", seed=1)


def test_the_state_of_something_else_is_refused(tmp_path):
    _train(_Line(), tmp_path)
    with pytest.raises(StoreError, match="another training run"):
        _train(_Line(), tmp_path, resume=True, identity="parabola")


def test_a_damaged_state_is_an_error(tmp_path):
    _train(_Line(), tmp_path)
    path = tmp_path / STATE
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StoreError, match="cannot be read"):
        _train(_Line(), tmp_path, resume=True)


def test_the_best_weights_are_kept_not_the_last(tmp_path):
    class Overshoots(_Line):
        def validate(self):
            self.seen = getattr(self, "seen", 0) + 1
            return 1.0 if self.seen == 3 else 2.0

    task = Overshoots()
    plan = Plan(steps=40, rows_per_step=8, learning_rate=0.05, validate_every=10)
    history = _train(task, tmp_path, plan=plan)
    assert history.best == (20, 1.0)
    reference = _Line()
    _train(reference, tmp_path / "x", plan=plan)
    assert not torch.equal(task.weight, reference.weight)


def test_a_loss_that_is_not_finite_names_its_step(tmp_path):
    with pytest.raises(FitError, match="at step 4"):
        _train(_Line(break_at=5), tmp_path)


def test_frozen_parameters_get_no_gradient(tmp_path):
    task = _Line()
    _train(task, tmp_path)
    assert task.frozen.grad is None
    assert torch.equal(task.frozen, torch.ones(3))


def test_pieces_add_up_to_the_gradient_of_the_sum(tmp_path):
    plan = Plan(steps=1, rows_per_step=50, learning_rate=1e-3, decay="constant")
    task = _Line()
    _train(task, tmp_path, plan=plan)
    assert task.weight.grad is not None
    draw = torch.Generator().manual_seed(int(Context().stream("training step 0").integers(2**62)))
    other = _Line()
    whole = sum(other.losses(rows_of_step(0, 50, 50, Context()), draw))
    expected = torch.autograd.grad(whole, other.weight)[0]
    assert torch.allclose(task.weight.grad, expected, atol=1e-6)


def test_every_epoch_sees_every_row_once():
    context = Context()
    rows = [r for step in range(6) for r in rows_of_step(step, 9, 3, context)]
    assert sorted(rows[:9]) == sorted(rows[9:]) == list(range(9))
    assert rows[:9] != rows[9:]
    assert len(rows_of_step(1, 2, 5, context)) == 5


def test_the_rate_warms_up_and_falls():
    plan = Plan(steps=10, rows_per_step=1, learning_rate=1.0, warmup=2, decay="linear")
    assert [plan.rate(s) for s in (0, 1, 2, 6)] == [0.5, 1.0, 1.0, 0.5]
    cosine = Plan(steps=10, rows_per_step=1, learning_rate=1.0)
    assert cosine.rate(5) == pytest.approx(0.5)
    assert cosine.rate(9) == pytest.approx((1 + math.cos(0.9 * math.pi)) / 2)
    flat = Plan(steps=10, rows_per_step=1, learning_rate=1.0, decay="constant")
    assert flat.rate(9) == 1.0


def test_clipping_bounds_the_gradient(tmp_path):
    plan = Plan(steps=1, rows_per_step=50, learning_rate=1e-3, clip=0.1)
    task = _Line()
    _train(task, tmp_path, plan=plan)
    assert float(task.weight.grad.norm()) == pytest.approx(0.1, rel=1e-3)


def test_no_rows_and_no_steps_are_errors(tmp_path):
    with pytest.raises(TooLittleData):
        _train(_Line(n=0), tmp_path)
    with pytest.raises(BadOption):
        Plan(steps=0, rows_per_step=1, learning_rate=1.0)


def test_progress_reaches_the_end(tmp_path):
    seen = []
    context = Context(progress=lambda done, total, label: seen.append((done, total, label)))
    train(_Line(), PLAN, folder=tmp_path, identity="x", context=context)
    assert seen[-1] == (40, 40, "steps")
    assert np.all(np.diff([done for done, _, _ in seen]) >= 0)
