"""A changed step: no noise changes nothing, a forced sentence is written, a row is its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from probes.sentences.chains import Thought, think
from probes.sentences.changes import (
    FORCED,
    NOISE,
    SHIFTED,
    Changed,
    change_estimates,
    change_samples,
    change_step,
    say,
    step_rows,
)
from probes.sentences.settings import Settings
from workbench.methods.contracts import Context
from workbench.methods.per_unit_report import axis_table
from workbench.model.loading import load_model
from workbench.sampling.task import open_task
from workbench.training.sentence_model import open_sentences

SETTINGS = Settings(
    sentences=12, every=1, raw=True, normed=True, tuned=True, rank=8, fitted=100, controls=2,
    limit=24, longest=64, noise=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def trained():
    return open_sentences(load_model("blocksworld-sentences"))


@pytest.fixture(scope="module")
def questions():
    task = open_task("blocksworld?blocks=4&brief=yes&part=test")
    return [p.question for p in task.problems(12, np.random.default_rng(0))]


@pytest.fixture(scope="module")
def thoughts(trained, questions):
    return think(trained, questions, steps=24, limit=24)


def _change(trained, questions, thoughts, **options):
    settings = replace(SETTINGS, **options)
    return change_step(trained, questions, thoughts, settings, Context(resamples=20))


def _of(found, intervention):
    return [one for one in found if one.intervention == intervention]


def test_no_noise_is_bit_identical_and_a_forced_sentence_is_written(trained, questions, thoughts):
    found = _change(trained, questions, thoughts)
    assert all(torch.equal(c.before.vectors, c.after.vectors) for c in _of(found, NOISE))
    forced, shifted = _of(found, FORCED), _of(found, SHIFTED)
    assert all(c.wanted != c.before.sentences[0] for c in forced)
    assert sum(c.after.sentences[0] == c.wanted for c in forced) >= 0.9 * len(forced)
    for a, b in zip(forced, shifted, strict=True):
        far = [(c.after.vectors[0] - c.before.vectors[0]).norm() for c in (a, b)]
        torch.testing.assert_close(*far, rtol=1e-4, atol=1e-4)


def test_noise_is_as_long_as_its_share_of_the_vector(trained, questions, thoughts):
    for one in _of(_change(trained, questions, thoughts, noise=0.25), NOISE):
        before, after = (thought.vectors[0].float() for thought in (one.before, one.after))
        share = float((after - before).norm() / before.norm())
        assert share == pytest.approx(0.25, rel=1e-3)


def test_the_sentence_of_the_user_is_forced_at_the_step_asked_for(trained, questions, thoughts):
    wanted = "<<Move A from B to the table>>"
    found = _of(_change(trained, questions, thoughts, step=2, sentence=wanted), FORCED)
    assert {c.at for c in found} == {1}
    assert sum(c.after.sentences[1] == wanted for c in found) >= 0.9 * len(found)
    assert all(torch.equal(c.before.vectors[0], c.after.vectors[0]) for c in found)


def test_a_vector_that_says_it_already_is_left_where_it_is(trained, thoughts):
    sure = [t for t in thoughts if t.sentences[0].startswith("<<")][:1]
    vectors = torch.stack([t.vectors[0] for t in sure])
    once = say(trained, vectors, [t.sentences[0] for t in sure])
    twice = say(trained, once, [t.sentences[0] for t in sure])
    assert torch.equal(once, twice)


def test_a_step_beyond_every_chain_changes_nothing(trained, questions, thoughts):
    assert _change(trained, questions, thoughts, step=24) == []
    assert change_estimates([]) == ()
    assert change_samples(step_rows([])) == ()


def _thought(*sentences, at=()):
    vectors = torch.eye(4)[: len(sentences)].clone()
    for row in at:
        vectors[row] = -vectors[row]
    return Thought(vectors=vectors, sentences=sentences)


def test_tables_count_steps_from_the_change():
    before = _thought("a", "b", "c")
    pairs = [(FORCED, _thought("a", "x", "c", at=(1,))), (SHIFTED, _thought("a", "b"))]
    found = [
        Changed(problem=p, intervention=name, at=1, before=before, after=after)
        for p in (0, 1)
        for name, after in pairs
    ]
    (felt,) = change_samples(step_rows(found))
    rows = axis_table(felt, ("intervention", "steps_after")).rows()
    means = {(r["intervention"], r["steps_after"]): r for r in rows}
    assert means[FORCED, 0]["same_sentence"] == 0
    assert means[FORCED, 1]["same_sentence"] == 1
    assert means[FORCED, 0]["cosine"] == -1
    assert means[SHIFTED, 0]["same_sentence"] == 1
    assert means[SHIFTED, 1]["same_sentence"] == 0, "one chain had ended"
    assert means[SHIFTED, 1]["cosine"] is None
    (estimate,) = change_estimates(found)
    assert (estimate.value, estimate.control, estimate.n) == (0.0, 1.0, 2)
