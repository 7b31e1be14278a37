"""Both models learn what they are shown, from questions that never judge them."""

import numpy as np
import pytest
import torch

from probes.contrast.models import ContrastModels, find_models
from probes.contrast.presets import ESTIMATE
from probes.contrast.prompting import SamplingPlan, sample_responses
from probes.contrast.sequences import Row, shared_prefill
from probes.contrast.training import Split
from probes.train_contrastive import TrainContrastive
from workbench.errors import ModelError, ModelNotFound
from workbench.methods.contracts import Context
from workbench.model.generation import GenerationOptions
from workbench.model.policy import Sampling
from workbench.model.tiny import tiny_model
from workbench.model.tokens import pad
from workbench.runs.execute import execute
from workbench.runs.store import Store
from workbench.sampling.prompting import prompt_ids
from workbench.sampling.task import open_task
from workbench.training.checkpoint import Checkpoint
from workbench.training.presets import lora_shape


def test_a_planted_answer_raises_the_score_of_the_token_that_gives_it(estimated, digits):
    """The right answer is always 7, so 7 is what the positive model says and the other not."""
    run, store = estimated
    base = tiny_model("llama")
    models = find_models(base, run.run_id, store)
    task = open_task(digits)
    problem = task.problems(24, np.random.default_rng(0))[20]
    prompt = prompt_ids(base, task, problem)
    seven, three = (base.tokenizer.convert_tokens_to_ids(t) for t in "73")
    rows = [Row(prompt=prompt, response=(token,)) for token in (seven, three)]
    right, wrong = (float(s) for s in models.scores(rows, beta=1.0, at_once=2))
    plain = base.run(pad([prompt]), logits="all").logits[0, -1].log_softmax(-1)
    assert right - wrong > float(plain[seven] - plain[three]) + 1.0


def test_held_out_losses_stand_beside_those_before_training(estimated):
    """Right responses share their 7; what a random model says wrongly is noise."""
    run, _ = estimated
    right, wrong = (run.result.estimate(f"{n}, held-out loss") for n in ("positive", "negative"))
    assert right.value < right.control - 0.05
    assert wrong.value <= wrong.control
    assert min(right.n, wrong.n) >= 1


def test_the_checkpoint_tells_where_it_comes_from(estimated):
    run, store = estimated
    kept = Checkpoint.load(store.checkpoint(run.run_id))
    manifest = kept.manifest
    assert manifest.recipe == "contrastive-estimate"
    assert manifest.base_hash == tiny_model("llama").spec.weights_hash
    assert set(manifest.scores) == {"positive", "negative"}
    assert {name.split(".")[0] for name in kept.tensors} == {"positive", "negative"}
    assert {t.dtype for t in kept.tensors.values()} == {torch.float16}
    assert len(run.result.table("questions")) == 16


def test_training_stopped_anywhere_ends_in_the_same_weights(estimated, spec_of, learn, tmp_path):
    run, store = estimated
    again, calls = Store(tmp_path), [0]

    def stop(done, total, what):
        calls[0] += 1
        if calls[0] % 23 == 0:
            raise KeyboardInterrupt

    spec = spec_of("contrastive-estimate", **learn)
    for _ in range(12):
        try:
            done = execute(spec, store=again, progress=stop)
            break
        except KeyboardInterrupt:
            continue
    assert calls[0] > 23
    assert done.status == "complete"
    assert _told(done) == _told(run)
    one, other = (Checkpoint.load(s.checkpoint(run.run_id)).tensors for s in (store, again))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def _told(run):
    return run.result.estimates, [t.rows() for t in run.result.tables.values()]


def test_models_are_found_by_run_and_folder_and_refused_elsewhere(estimated):
    run, store = estimated
    base = tiny_model("llama")
    by_run = find_models(base, run.run_id[:-4], store)
    by_folder = find_models(base, str(store.checkpoint(run.run_id)), store)
    assert by_run.folder == by_folder.folder
    with pytest.raises(ModelNotFound, match="neither a checkpoint folder nor a finished"):
        find_models(base, "../nothing", store)
    with pytest.raises(ModelNotFound, match="is known for tiny:gpt2"):
        find_models(tiny_model("gpt2"), "", store)
    with pytest.raises(ModelError, match="belongs to"):
        ContrastModels.load(tiny_model("gpt2"), by_run.folder)


def test_a_task_without_right_answers_says_what_to_do(spec_of, tmp_path):
    spec = spec_of("contrastive-estimate", temperature=0.01, new_tokens=1)
    run = execute(spec, store=Store(tmp_path))
    assert run.failure.code == "too-little-data"
    assert "both a right and a wrong response" in run.failure.message
    assert "20 to 80 %" in run.failure.hint


def test_only_usable_questions_are_held_out_and_none_is_on_both_sides():
    for seed in range(20):
        split = Split.of([2, 3, 5, 7], 0.25, Context(seed=seed))
        assert len(split.held_out) == 1
        assert split.held_out < {2, 3, 5, 7}
        train, judged = split.parts([(i, i) for i in range(9)])
        assert not set(train) & set(judged)
        assert set(judged) == split.held_out
    assert Split.of([4], 0.5, Context()).held_out == frozenset()


def test_options_are_set_on_top_of_the_preset():
    sizes = ESTIMATE["cpu"].with_options(TrainContrastive(rank=16, epochs=1), limit=20)
    assert (sizes.rank, sizes.epochs, sizes.questions) == (16, 1, 20)
    assert lora_shape(sizes.rank).alpha == 32
    assert sizes.samples == ESTIMATE["cpu"].samples
    assert ESTIMATE["cpu"].with_options(TrainContrastive(questions=9), limit=20).questions == 9


def test_every_row_is_passed_as_often_as_there_are_epochs():
    plan = ESTIMATE["cpu"].with_options(TrainContrastive(epochs=3, batch=6), None).plan(14)
    assert (plan.steps, plan.rows_per_step) == (7, 6)
    assert ESTIMATE["cpu"].plan(2).rows_per_step == 2


def test_samples_are_those_of_plain_generation_with_the_same_seeds(tiny_llama, digits, tmp_path):
    task = open_task(digits)
    problems = task.problems(5, np.random.default_rng(0))
    policy = Sampling(temperature=1.0, top_p=0.95)
    plan = SamplingPlan(samples=4, policy=policy, limit=6, rows=8, seed=3)
    path = tmp_path / "responses.jsonl"
    drawn = sample_responses(tiny_llama, task, problems, plan, path=path)
    for problem, responses in zip(problems, drawn, strict=True):
        prompts = pad([prompt_ids(tiny_llama, task, problem)] * 4, side="left")
        options = GenerationOptions(seeds=plan.seeds(problem))
        plain = tiny_llama.generate(prompts, policy=policy, limit=6, options=options)
        assert [r.tokens for r in responses] == [tuple(map(int, g)) for g in plain.generated]
        alone = shared_prefill(tiny_llama, [prompt_ids(tiny_llama, task, problem)]).take([0] * 4)
        shared = tiny_llama.generate(alone, policy=policy, limit=6, options=options)
        assert [list(g) for g in shared.generated] == [list(g) for g in plain.generated]
    assert sample_responses(tiny_llama, task, problems, plan, path=path) == drawn
