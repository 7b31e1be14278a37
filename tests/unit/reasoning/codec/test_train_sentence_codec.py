"""The recipe: sentences by family, disturbed lessons, pace, resumption, and the judgement."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from reasoning.codec.corpus import collect, cut
from reasoning.codec.evaluation import evaluate, overlap
from reasoning.codec.objective import CodecObjective, digit_ids
from reasoning.codec.presets import PACE, steps_within
from reasoning.train_sentence_codec import TrainSentenceCodec
from workbench.errors import StoreError, TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.model.tiny import tiny_model
from workbench.sampling.split import in_part
from workbench.training.adapter import LoraShape
from workbench.training.checkpoint import WEIGHTS, Checkpoint
from workbench.training.codec_files import fresh_adapters, joined, open_codec

TASKS = ("prosqa?classes=6&hops=2",)
QUICK = TrainSentenceCodec(preset="tiny", steps=4, tasks=TASKS, drawn=20, judged=4)
TEXTS = [
    Example(text="the dog and the cat. is it so ?", fields={"more": "7 + 3 <<1+2=3>>", "n": 3}),
    Example(text="the dog and the cat.\nthe red king"),
]


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture
def objective(model):
    adapters = fresh_adapters(
        model, LoraShape(rank=2, part="both"), generator=torch.Generator().manual_seed(0)
    )
    train = ["the dog and the cat", "7 + 3", "is it so , he", "the red king"]
    return CodecObjective(joined(model, adapters), adapters, train, ["cat"], noise=0.3, at_once=12)


def test_every_sentence_has_one_family_and_one_part():
    families = collect(TEXTS, TASKS, 30, ("more", "n", "absent"))
    assert families["texts"] == ["the dog and the cat.", "is it so ?", "7 + 3", "the red king"]
    assert families["formulas"] == ["<<1+2=3>>"]
    assert any(s.startswith("Every ") for s in families["prosqa"])
    assert collect(TEXTS, TASKS, 30, ("more",)) == families
    every = [s for sentences in families.values() for s in sentences]
    assert len(every) == len(set(every))
    corpus = cut(families, {s: len(s.split()) for s in every}, 5)
    parts = [corpus.sentences(part) for part in ("train", "valid", "test")]
    assert sorted(s for part in parts for s in part) == sorted(
        s for s in every if len(s.split()) <= 5
    )
    assert all(not set(a) & set(b) for a, b in pairwise([*parts, parts[0]]))
    assert corpus.left_out["prosqa"] > 0
    with pytest.raises(TooLittleData, match="different sentences"):
        cut({"texts": ["cat"]}, {"cat": 1}, 5)


def test_disturbed_sentences_keep_their_length_and_end(objective, model):
    rows = [list(row) for row in objective.rows] * 20
    found = objective._disturbed(rows, torch.Generator().manual_seed(1))
    again = objective._disturbed(rows, torch.Generator().manual_seed(1))
    assert found == again
    assert [len(row) for row in found] == [len(row) for row in rows]
    assert all(row[-1] == model.tokenizer.eos_token_id for row in found)
    changed = [a != b for a, b in zip(found, rows, strict=True)]
    assert 0.2 < sum(changed) / len(changed) < 0.6
    digits = set(digit_ids(model.tokenizer).tolist())
    assert {model.decode([i]).strip() for i in digits} <= set("0123456789")
    assert {i in digits for row in found for i in row} == {True, False}


def test_pieces_add_up_to_the_mean_over_tokens(objective):
    whole = objective._codec
    rows = objective.rows
    with torch.no_grad():
        pieces = list(objective._pieces(rows))
        losses = whole.token_losses(whole.vectors(rows), rows)
    assert len(pieces) > 1
    assert float(sum(pieces)) == pytest.approx(float(losses.mean()), rel=1e-4)
    assert sorted({n.split(".")[0] for n in objective.parameters()}) == ["decoder", "encoder"]


def test_the_pace_is_timed_once(objective, tmp_path):
    before = {n: p.detach().clone() for n, p in objective.parameters().items()}
    steps = steps_within(0.5, objective, 3, Context(scratch=tmp_path))
    assert steps >= 10
    assert all(torch.equal(p, before[n]) for n, p in objective.parameters().items())
    assert steps_within(1e6, objective, 3, Context(scratch=tmp_path)) == steps
    assert steps_within(1e4, objective, 3, Context(scratch=tmp_path, resume=False)) > steps
    (tmp_path / PACE).write_text("[]")
    with pytest.raises(StoreError, match="damaged"):
        steps_within(1.0, objective, 3, Context(scratch=tmp_path))


def test_training_stopped_and_resumed_repeats_the_losses(model, tmp_path):
    whole = _train(model, tmp_path / "whole")

    def stop(done, total, what):
        if (what, done) == ("steps", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(model, tmp_path / "broken", progress=stop)
    again = _train(model, tmp_path / "broken")
    assert again.tables["steps"].rows() == whole.tables["steps"].rows()
    weights = [(tmp_path / name / WEIGHTS).read_bytes() for name in ("whole", "broken")]
    assert weights[0] == weights[1]


def test_the_result_tells_exact_match_with_its_control(model, tmp_path):
    result = _train(model, tmp_path)
    exact = result.estimate("exact match")
    assert exact.n_unit == "sentences"
    assert exact.control is not None
    families = result.tables["families"].rows()
    assert [row["family"] for row in families] == ["prosqa"]
    assert sum(row["n"] for row in result.tables["lengths"].rows()) == exact.n
    manifest = Checkpoint.load(tmp_path).manifest
    assert manifest.scores["exact match"]["value"] == exact.value
    codec = open_codec(model, str(tmp_path))
    assert len(codec.known.texts) == len(codec.known.vectors) > 0
    assert all(in_part(text, "train") for text in codec.known.texts)


def test_a_judgement_counts_what_came_back(model):
    adapters = fresh_adapters(
        model, LoraShape(rank=2, part="both"), generator=torch.Generator().manual_seed(0)
    )
    codec = joined(model, adapters)
    judged = evaluate(codec, {"a": ["the dog", "cat"], "b": ["7 + 3"]}, 1, Context())
    assert [one.family for one in judged] == ["a", "b"]
    assert not any(one.is_exact for one in judged), "nothing was trained"
    assert all(0 <= one.overlap <= 1 for one in judged)
    assert overlap([1, 2, 2], [2, 2, 1]) == 1
    assert overlap([1, 2], [3]) == overlap([], [3]) == 0
    assert overlap([], []) == 1


def _train(model, folder: Path, **context):
    return QUICK.train(model, [], context=Context(scratch=folder, resamples=20, **context))
