"""Reasoning in sentence vectors against a plain re-run of everything at every step."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from reasoning.sentences.unroll import Unroller, Unrolling
from workbench.errors import Unsupported
from workbench.result.chain import Cost

SEEDS = [11, 12, 13, 14, 15, 16]


@pytest.fixture
def questions(problems):
    return [worked.question for worked in problems[: len(SEEDS)]]


def _run(trained, questions, seeds=SEEDS, **how):
    return Unroller(trained, Unrolling(**how))(questions, seeds)


def _texts(chain):
    return [step.text for step in chain.steps]


@torch.no_grad()
def _plainly(trained, question, *, every, limit, threshold=0.5):
    """Batch 1, no cache, everything encoded again at every step: the published procedure."""
    codec, latent, lines = trained.codec, trained.latent, trained.codec.lines
    fed, texts, ids, vectors = torch.zeros(0, codec.d_model), [], [], []
    for number in range(1, limit + 1):
        h = latent.forward([lines.question(question)], [fed])[0][-1]
        vectors.append(h)
        (said,) = codec.decode(latent.heads.p_out(h[None]))
        texts.append(said.text)
        ids.append(lines.closed(said.ids))
        if float(latent.heads.stop_logit(h).sigmoid()) >= threshold:
            break
        new = h
        if every and number % every == 0:
            rows = [[*lines.question(question), *(i for one in ids[:-1] for i in one)]]
            rows = [ids[-1]] if codec.space == "semantic" else rows
            whole = torch.tensor(rows)
            mask = torch.ones_like(whole, dtype=torch.bool)
            h = codec.network.states(codec.network.embed(whole), mask)[0, -1]
            new = latent.heads.p_in(h)
        fed = torch.cat([fed, latent.heads.shared(new)[None]])
    return texts, torch.stack(vectors)


@pytest.mark.parametrize(
    ("space", "every", "threshold"),
    [
        ("semantic", 0, 0.0249),
        ("ctx-b", 1, 0.1736),
        pytest.param("semantic", 1, 0.1736, marks=pytest.mark.slow),
        pytest.param("ctx-b", 2, 0.1736, marks=pytest.mark.slow),
        pytest.param("semantic", 2, 0.1736, marks=pytest.mark.slow),
        pytest.param("ctx-b", 0, 0.0249, marks=pytest.mark.slow),
    ],
)
def test_cached_batches_are_the_plain_procedure(untrained, questions, space, every, threshold):
    trained = untrained[space]
    how = {"ground_every": every, "threshold": threshold}
    chains = _run(trained, questions, limit=6, decode="all", **how)
    assert len({len(c.steps) for c in chains}) > 1  # the stop head ends some and not others
    for question, chain in zip(questions, chains, strict=True):
        texts, vectors = _plainly(trained, question, every=every, limit=6, threshold=threshold)
        assert _texts(chain) == texts
        np.testing.assert_allclose(chain.vectors, vectors.numpy(), atol=2e-4, rtol=1e-3)
        assert chain.response == "\n".join(texts)


NOISY = {"noise": 0.3, "temperature": 0.9, "ground_every": 3}


@pytest.mark.parametrize(
    "how",
    [{}, {"ground_every": 1}, pytest.param({"ground_every": 2}, marks=pytest.mark.slow), NOISY],
)
def test_a_row_of_a_batch_is_that_row_alone(untrained, questions, how):
    trained = untrained["ctx-b"]
    together = _run(trained, questions, limit=7, **how)
    for question, seed, chain in zip(questions, SEEDS, together, strict=True):
        (alone,) = _run(trained, [question], [seed], limit=7, **how)
        assert _texts(alone) == _texts(chain)
        assert alone.ended == chain.ended
        assert alone.costs == chain.costs
        np.testing.assert_allclose(alone.vectors, chain.vectors, atol=2e-4, rtol=1e-3)


def test_noise_and_sampling_come_from_the_seed(untrained, questions):
    trained = untrained["ctx-b"]
    how = {"limit": 5, "stop": "limit"}
    quiet = _run(trained, questions, **how)
    for extra in ({"noise": 0.5}, {"temperature": 1.5}):
        one, again = (_run(trained, questions, **how, **extra) for _ in range(2))
        other = _run(trained, questions, [s + 1 for s in SEEDS], **how, **extra)
        assert [_texts(c) for c in one] == [_texts(c) for c in again]
        assert [_texts(c) for c in one] != [_texts(c) for c in other]
        assert [_texts(c) for c in one] != [_texts(c) for c in quiet]


def test_the_stop_head_and_the_limit_are_honoured(untrained, questions):
    trained = untrained["ctx-b"]
    at_once = _run(trained, questions, threshold=0.0)
    assert {(len(c.steps), c.ended) for c in at_once} == {(1, "head")}
    never = _run(trained, questions, threshold=1.0, limit=13)
    assert {(len(c.steps), c.ended) for c in never} == {(13, "limit")}
    some = _run(trained, questions, threshold=0.5, limit=40)
    for chain in some:
        stops = [step.stop for step in chain.steps]
        assert all(p < 0.5 for p in stops[:-1])
        assert chain.ended == ("head" if stops[-1] >= 0.5 else "limit")
    free = _run(trained, questions, stop="limit", limit=3)
    assert {(len(c.steps), c.ended) for c in free} == {(3, "limit")}


def test_the_oracle_stops_where_an_answer_begins(untrained, questions):
    trained = untrained["ctx-b"]
    (plain,) = _run(trained, questions[:1], SEEDS[:1], stop="limit", limit=6)
    vectors = torch.from_numpy(plain.vectors)
    decoded = trained.codec.decode(trained.latent.heads.p_out(vectors), limit=1)
    first = [one.ids[0] for one in decoded]
    answer = first[-1]
    manifest = replace(trained.manifest, options={"answer_ids": [answer]})
    told = replace(trained, manifest=manifest)
    chain = _run(told, questions, stop="oracle", limit=6)[0]
    assert chain.ended == "oracle"
    assert len(chain.steps) == first.index(answer) + 1
    none = replace(trained, manifest=replace(trained.manifest, options={"answer_ids": []}))
    with pytest.raises(Unsupported, match="begin like other"):
        Unroller(none, Unrolling(stop="oracle"))


def test_what_is_only_shown_is_not_counted_and_not_said(untrained, questions):
    trained = untrained["ctx-b"]
    by = {d: _run(trained, questions, limit=6, decode=d) for d in ("answer", "shown", "all")}
    for answer, shown, every in zip(by["answer"], by["shown"], by["all"], strict=True):
        assert answer.costs == shown.costs
        assert answer.response == shown.response == _texts(shown)[-1]
        assert _texts(answer)[:-1] == [""] * (len(answer.steps) - 1)
        assert _texts(shown) == _texts(every)
        assert every.response == "\n".join(_texts(every))
        if len(every.steps) > 1:
            assert every.costs["decoding"].last_position > answer.costs["decoding"].last_position
        assert {s.fed for s in answer.steps} == {"vector"}


def test_operations_are_those_of_the_passes_made(untrained, questions):
    """Counted by hand for one continuous and one discretized chain."""
    trained = untrained["ctx-b"]
    size, lines = trained.latent_size, trained.codec.lines
    n = len(lines.question(questions[0]))
    (chain,) = _run(trained, questions[:1], SEEDS[:1], stop="limit", limit=3, decode="answer")
    steps = size.run(1, before=n) + size.run(1, before=n + 1)
    assert chain.costs["reasoning"] == steps
    assert chain.costs["prefill"] == size.run(n)
    assert "stopping" not in chain.costs
    assert chain.costs["prefill"].last_position == chain.costs["prefill"].every_position

    (ground,) = _run(
        trained, questions[:1], SEEDS[:1], stop="limit", limit=3, decode="all", ground_every=1
    )  # fmt: skip
    assert ground.costs["prefill"] == size.run(n) + size.run(n)
    heads = trained.latent.heads
    first = trained.codec.decode(heads.p_out(torch.from_numpy(ground.vectors[:1])))[0]
    p_in = 2.0 * 2 * 32 * 32
    read = size.run(len(lines.closed(first.ids)), before=n)
    assert ground.costs["reasoning"].last_position == pytest.approx(
        (steps + read).last_position + 2 * p_in
    )
    assert sum((s.cost for s in chain.steps), Cost()).last_position == pytest.approx(
        chain.cost.last_position - chain.costs["prefill"].last_position
    )
    assert {s.fed for s in ground.steps[:-1]} == {"text"}


def test_a_chain_is_finished_where_its_last_sentence_is_and_its_length_was_no_limit(
    untrained, questions
):
    trained = untrained["ctx-b"]
    lines = trained.codec.lines
    verdicts = set()
    for how, comes_to_an_end in (
        ({"threshold": 1.0}, False),
        ({"threshold": 0.0}, True),
        ({"stop": "limit"}, True),
    ):
        for tokens in (1, 40):
            for chain in _run(trained, questions, limit=2, tokens=tokens, **how):
                vector = torch.from_numpy(chain.vectors[-1:])
                (last,) = trained.codec.decode(trained.latent.heads.p_out(vector), limit=tokens)
                is_whole = last.ids[-1] in (lines.newline, lines.end)
                assert last.is_complete is is_whole
                assert chain.is_finished is (comes_to_an_end and is_whole)
                verdicts.add((comes_to_an_end, is_whole))
    assert (True, False) in verdicts


def test_replaced_vectors_move_every_step_but_the_first(untrained, questions):
    trained = untrained["ctx-b"]
    how = {"limit": 4, "stop": "limit"}
    own = _run(trained, questions, **how)
    again = _run(trained, questions, fed="own", **how)
    given = [chain.vectors for chain in own]
    for a, b in zip(own, again, strict=True):
        assert np.array_equal(a.vectors, b.vectors)
    for fed in ("zero", "noise", "other", "shuffled"):
        for a, b in zip(own, _run(trained, questions, fed=fed, given=given, **how), strict=True):
            assert np.array_equal(a.vectors[0], b.vectors[0])
            assert not np.allclose(a.vectors[1:], b.vectors[1:], atol=1e-4), fed
            assert a.costs["reasoning"] == b.costs["reasoning"]


def test_shuffled_vectors_are_the_next_of_the_chain_before(untrained, questions):
    trained, how = untrained["ctx-b"], {"limit": 3, "stop": "limit"}
    own = _run(trained, questions[:1], SEEDS[:1], **how)[0].vectors
    # Fed to itself in its own order turned twice, a chain of two fed vectors is its own again.
    turned = np.stack([own[1], own[0], own[2]])
    again = _run(trained, questions[:1], SEEDS[:1], fed="shuffled", given=[turned], **how)[0]
    assert np.allclose(again.vectors, own, atol=1e-5)


def test_the_only_row_left_goes_on_with_the_last_vector_of_another(untrained, questions):
    unroll = Unroller(untrained["ctx-b"], Unrolling(fed="other"))
    found = torch.arange(6.0).reshape(3, 2)
    unroll._replaced(found, [0, 1, 2], 1)
    for place in range(3):
        kept = unroll._replaced(found[[place]] + 10, [place], 2)
        assert torch.equal(kept, found[[place - 1]])
