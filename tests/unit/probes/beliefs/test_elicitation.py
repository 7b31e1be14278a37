"""Adaptive elicitation equals Bayes where the answers are Bayes', and says where a model is not."""

from itertools import product

import numpy as np
import pytest

from probes.beliefs.elicit import Elicitor
from probes.beliefs.interview import (
    SEQUENCE,
    Item,
    Wording,
    exact_predictor,
    model_predictor,
    read_items,
)
from probes.elicitation import Elicitation
from workbench.errors import BadRows, DataError
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.sampling.processes.latent_class import LatentClass, random_classes

PROCESS = random_classes(3, 5, seed=2)
TARGETS = (3, 4)


def elicitor(process: LatentClass = PROCESS) -> Elicitor:
    return Elicitor(
        predict=exact_predictor(process), n_questions=len(process.questions), targets=TARGETS
    )


def joint(asked, questions) -> np.ndarray:
    """Return p(answers to those questions | asked) by adding up classes, answer by answer."""
    found = np.zeros((2,) * len(questions))
    for c, said in product(range(3), product(range(2), repeat=len(questions))):
        p = PROCESS.prior[c] * np.prod([PROCESS.answer[c, q, a] for q, a in asked])
        pairs = zip(questions, said, strict=True)
        found[said] += p * np.prod([PROCESS.answer[c, q, a] for q, a in pairs])
    return found / found.sum()


def information(table: np.ndarray) -> float:
    """Return the mutual information of the two sides of a table, in nats."""
    apart = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True)
    return float((table * np.log(table / apart)).sum())


@pytest.mark.parametrize("asked", [(), ((0, 1),), ((0, 1), (2, 0))])
def test_the_gain_is_the_mutual_information_of_the_enumerated_joint(asked) -> None:
    found = elicitor()
    for question in found.left(asked):
        exact = [information(joint(asked, (question, target))) for target in TARGETS]
        assert np.allclose(found.gains(asked, question), exact, atol=1e-12)
        assert (found.gains(asked, question) >= -1e-12).all()


def test_to_a_depth_the_worth_is_that_of_every_continuation() -> None:
    found = elicitor()
    for question in (0, 1, 2):
        p = joint((), (question,))
        exact = np.mean([information(joint((), (question, t))) for t in TARGETS])
        for said in range(2):
            after = ((question, said),)
            exact += p[said] * max(
                np.mean([information(joint(after, (q, t))) for t in TARGETS])
                for q in {0, 1, 2} - {question}
            )
        assert found.value((), question, 2) == pytest.approx(exact, abs=1e-12)
    best, worth = found.choose((), 2)
    assert worth[best] == max(worth.values())


def test_what_is_independent_tells_nothing_and_certainty_is_no_nan() -> None:
    answer = PROCESS.answer.copy()
    answer[:, 1] = [0.3, 0.7]
    answer[:, 2] = [1.0, 0.0]
    found = elicitor(
        LatentClass(
            questions=PROCESS.questions, answers=PROCESS.answers, prior=PROCESS.prior, answer=answer
        )
    )
    assert np.allclose(found.gains((), 1), 0, atol=1e-12)
    assert np.allclose(found.gains((), 2), 0, atol=1e-12)


def test_a_model_is_asked_in_its_own_words(tiny_llama: Model) -> None:
    items = [Item(question="the cat ran", answers=("yes", "no cat")), Item(question="a dog sat")]
    wording = Wording(lead="so . ", question="{} ? ", answer="= ", end=" . ")
    predict = model_predictor(tiny_llama, items, wording, Context.of(tiny_llama))
    asked = ((1, 0),)
    found = predict([(asked, 0), ((), 1)])
    prompt = "so . a dog sat ? = yes . the cat ran ? ="
    assert wording.prompt(items, asked, 0) == prompt
    totals = []
    for answer in items[0].answers:
        n = len(answer.split())
        trace = tiny_llama.run(f"{prompt} {answer}", logits="all")
        ids = trace.tokens.row(0)
        logp = trace.logits[0].log_softmax(dim=-1)
        totals.append(sum(float(logp[-n + k - 1, ids[-n + k]]) for k in range(n)))
    assert np.allclose(found[0], totals - np.logaddexp(*totals), atol=1e-5)
    assert np.exp(found[1]).sum() == pytest.approx(1)
    assert SEQUENCE.prompt(items, ((1, 1),), 0) == "a dog sat no the cat ran"


def test_rows_are_read_tolerantly_and_what_cannot_be_read_is_named() -> None:
    fields = [
        {},
        {"answers": "red | blue", "target": "yes", "answer": "Blue"},
        {"answers": ["a", "b"], "target": True},
    ]
    rows = [Example(text=f"q  {i}?", fields=f, number=i) for i, f in enumerate(fields)]
    found = read_items(rows)
    assert found[0] == Item(question="q 0?")
    assert found[1] == Item(question="q 1?", answers=("red", "blue"), is_target=True, known=1)
    assert found[2].is_target
    bad = [
        Example(text="x", source="f:1", fields={"answers": "one"}),
        Example(text="y", source="f:2", fields={"answer": "maybe"}),
    ]
    with pytest.raises(BadRows, match=r"f:1.*f:2.*'maybe'"):
        read_items(bad)


def test_a_study_reports_gains_beside_bayes_and_refuses_other_processes(tiny_llama: Model) -> None:
    probe = Elicitation(process="latent-class?questions=5&classes=2", targets=2, steps=2)
    found = probe.study(tiny_llama, (), Context.of(tiny_llama))
    gains = found.tables["gains"].frame
    assert len(gains) == 3
    assert (gains["gain_exact"] >= 0).all()
    assert found.estimate("incoherent").control == 0
    assert len(found.tables["interviews"].frame) == 4 * 2
    with pytest.raises(DataError, match="asks no questions"):
        Elicitation(process="hidden-markov").study(tiny_llama, (), Context.of(tiny_llama))
