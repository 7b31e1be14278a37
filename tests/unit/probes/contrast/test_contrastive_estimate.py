"""Scores of whole responses are probabilities, unseen questions judge, rollouts stand beside."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from probes.contrast.models import ContrastModels, find_models
from probes.contrast.scoring import score
from probes.contrast.sequences import Row
from probes.contrast.unseen import Unseen, seen_questions
from workbench.model.tiny import tiny_model
from workbench.model.tokens import pad
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store
from workbench.sampling.task import open_task

ROLLOUTS = {"draws": 64, "temperature": 2.0, "top_p": 1.0, "new_tokens": 6, "samples": 8}
ROWS = [
    Row(prompt=(5, 9, 11), response=(6, 7, 8)),
    Row(prompt=(5, 9), response=(10, 11)),
    Row(prompt=(5, 9, 3, 4), response=(20, 21, 22, 23, 24)),
]


@pytest.fixture(scope="module")
def base():
    return tiny_model("llama")


@pytest.fixture(scope="module")
def models(base, estimated):
    run, store = estimated
    return find_models(base, run.run_id, store)


def probe_spec(task, limit, name="contrastive-estimate", **options):
    return RunSpec(
        name=name,
        options=ROLLOUTS | options,
        model=ModelRef(name="tiny:llama", device="cpu"),
        data=DataRef(task=task, limit=limit),
        resamples=50,
    )


@pytest.fixture(scope="module")
def told(estimated, digits):
    run, store = estimated
    found = execute(probe_spec(digits, 6, estimate=run.run_id, preferred=64), store=store)
    assert found.failure is None, found.failure
    return found, store


def logprobs(model, row):
    ids = (*row.prompt, *row.response)
    logits = model.run(pad([ids]), logits="all").logits[0]
    return logits.log_softmax(-1)[len(row.prompt) - 1 : -1]


def test_scores_are_the_softmax_of_the_contrast_of_plain_passes(base, models):
    for row, scored in zip(
        ROWS, score(base, models, ROWS, beta=1.5, top=3, at_once=2), strict=True
    ):
        right, wrong, plain = (logprobs(m, row) for m in (models.positive, models.negative, base))
        whole = (2.5 * right - 1.5 * wrong).log_softmax(-1)
        at = (range(len(row.response)), list(row.response))
        for mine, theirs in zip(
            (scored.own.s, scored.own.positive, scored.own.negative, scored.own.base),
            (whole, right, wrong, plain),
            strict=True,
        ):
            assert torch.allclose(mine, theirs[at], atol=1e-4)
        assert torch.equal(scored.preferred, whole.topk(3).indices)
        assert torch.allclose(scored.of_preferred.s, whole.topk(3).values, atol=1e-4)


def test_without_contrast_the_score_is_the_positive_models_probability(base, models):
    for scored in score(base, models, ROWS, beta=0.0):
        assert torch.allclose(scored.own.s, scored.own.positive, atol=1e-5)
    same = replace(models, positive=base, negative=base)
    for scored in score(base, same, ROWS, beta=3.0):
        assert torch.allclose(scored.own.s, scored.own.base, atol=1e-4)


def test_a_token_planted_in_the_negative_model_has_the_lowest_score(base, models):
    """Models exchanged, what the wrong model likes is what the contrast likes."""
    swapped = ContrastModels(
        positive=models.negative,
        negative=models.positive,
        manifest=models.manifest,
        folder=models.folder,
    )
    seven = int(base.tokenizer.convert_tokens_to_ids("7"))
    rows = [Row(prompt=(5, 9, 11), response=(seven, 8))]
    for chosen, low in ((models, False), (swapped, True)):
        (scored,) = score(base, chosen, rows, beta=1.0)
        assert (scored.own.s[0] < scored.own.base[0]) == low


def test_over_the_vocabulary_scores_sum_to_one(told):
    found, _ = told
    frame = found.result.table("preferred").frame
    for column in ("s", "positive", "negative", "base"):
        sums = frame.groupby(["trajectory", "position"])[column].sum()
        assert np.allclose(sums, 1, atol=1e-4), column
    tokens = found.result.table("tokens")
    own = frame[frame["is_own"]]
    assert len(own) == len(tokens)
    assert np.allclose(own["s"].to_numpy(), tokens["s"].to_numpy())


def test_no_question_that_trained_the_models_judges_them(told, models, digits):
    found, _ = told
    seen = seen_questions(models.manifest)
    assert len(seen) == 16
    asked = set(found.result.table("trajectories")["question"])
    assert len(asked) == 6
    assert not asked & seen
    assert seen_questions(replace(models.manifest, data="16 questions of nothing")) is None
    assert seen_questions(replace(models.manifest, data_hash="0")) is None
    rest = Unseen(task=open_task(digits), seen=seen).problems(99, np.random.default_rng(0))
    assert len(rest) == 8


def test_the_contrast_finds_what_the_rollouts_find(told):
    """The answer is always 7: what spoils it is a digit, which is what the negative model says."""
    found, _ = told
    rho, hit = (
        found.result.estimate(f"{what}, contrast") for what in ("rank correlation", "hit@1")
    )
    assert rho.control == 0
    assert rho.value >= 0.3
    assert hit.value >= hit.control + 0.2
    assert rho.value > found.result.estimate("rank correlation, entropy").value


def test_a_stored_search_is_read_and_seen_questions_left_out(told, estimated, digits):
    run, store = estimated
    search = execute(
        probe_spec(digits, 24, name="critical-tokens", mode="off-path", alternatives=False),
        store=store,
    )
    assert search.failure is None, search.failure
    options = {"estimate": run.run_id, "rollouts": search.run_id}
    found = execute(probe_spec(digits, 6, preferred=64, **options), store=store)
    assert found.failure is None, found.failure
    assert "left out: their questions trained the estimate" in found.result.notes[0].text
    now, then = (
        {row["question"]: row for row in f.result.table("trajectories").rows()}
        for f in (told[0], found)
    )
    assert now.keys() == then.keys()
    for question, row in now.items():
        other = then[question]
        assert row | {"trajectory": 0} == other | {"trajectory": 0}
    assert [e.value for e in told[0].result.estimates] == pytest.approx(
        [e.value for e in found.result.estimates]
    )


def test_stopped_it_keeps_the_trajectories_that_are_done(told, estimated, digits, tmp_path):
    run, store = estimated
    broken = Store(tmp_path)
    spec = probe_spec(digits, 6, estimate=str(store.checkpoint(run.run_id)), preferred=64)

    def stop(done, total, what):
        if what.startswith("trajectories") and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(spec, store=broken, progress=stop)
    part = broken.get(spec.name)
    assert part.status == "interrupted"
    whole = told[0].result.table("trajectories").rows()
    assert part.result.table("trajectories").rows() == whole[:2]


def test_other_runs_are_refused(estimated, told, digits, tmp_path):
    run, store = estimated
    wrong = execute(
        probe_spec(digits, 2, estimate=run.run_id, rollouts=told[0].run_id), store=store
    )
    assert "no result of critical-tokens" in wrong.failure.message
    missing = execute(probe_spec(digits, 2, estimate=run.run_id, rollouts="none"), store=store)
    assert missing.failure.code == "run-not-found"
    nothing = execute(probe_spec(digits, 2), store=Store(tmp_path))
    assert "workbench train contrastive-estimate" in nothing.failure.hint
