"""Exact beliefs against the enumeration of every hidden path, and files of sequences."""

import json
from itertools import product

import numpy as np
import pytest
from click.testing import CliRunner

from app.cli.problems import command
from workbench.errors import BadRows, DataError, TooLittleData
from workbench.sampling.processes.hidden_markov import (
    HiddenMarkov,
    mess3,
    random_process,
    zero_one_random,
)
from workbench.sampling.processes.latent_class import LatentClass, random_classes
from workbench.sampling.task import open_task

MARKOV = {"mess3": mess3(), "z1r": zero_one_random(), "random": random_process(4, 3, seed=5)}


def by_paths(process: HiddenMarkov, ids):
    """Return beliefs and next-symbol distribution after a sequence, from every hidden path."""
    n, k = len(process.start), len(process.symbols)
    end, following = np.zeros(n), np.zeros(k)
    for path in product(range(n), repeat=len(ids) + 1):
        p = process.start[path[0]]
        for t, s in enumerate(ids):
            p *= process.step[s, path[t], path[t + 1]]
        end[path[-1]] += p
        following += p * process.step[:, path[-1]].sum(axis=1)
    return end / end.sum(), following / following.sum(), end.sum()


@pytest.mark.parametrize("name", MARKOV)
def test_the_forward_algorithm_is_the_enumeration_of_paths(name):
    process = MARKOV[name]
    ids, _ = process.sample(6, 5, np.random.default_rng(1))
    exact = process.exact(ids)
    for i, row in enumerate(ids):
        for t in range(6):
            belief, following, _ = by_paths(process, row[:t])
            assert np.allclose(exact.beliefs[i, t], belief, atol=1e-12)
            assert np.allclose(np.exp(exact.log_next[i, t]), following, atol=1e-12)
        _, _, p = by_paths(process, row)
        assert exact.surprisal(ids)[i].sum() == pytest.approx(-np.log(p), abs=1e-10)


def test_entropies_are_those_of_the_process():
    ids, _ = MARKOV["z1r"].sample(4, 12, np.random.default_rng(0))
    known = MARKOV["z1r"].exact(ids).entropy[:, 6:]
    # Once the phase is known, one symbol in three is a coin and the others are certain.
    assert np.allclose(np.sort(known[:, :3], axis=1), [0, 0, np.log(2)], atol=1e-9)
    long, _ = MARKOV["mess3"].sample(1, 3000, np.random.default_rng(0))
    assert np.isfinite(MARKOV["mess3"].exact(long).log_beliefs).all()


@pytest.mark.parametrize(
    "process", [mess3(), random_classes(3, 4, seed=1)], ids=["markov", "class"]
)
def test_samples_have_the_frequencies_that_the_exact_predictor_says(process):
    n = 20_000
    ids, states = process.sample(n, 4, np.random.default_rng(3))
    exact = process.exact(ids)
    for t in range(4):
        said = np.exp(exact.log_next[:, t]).mean(axis=0)
        seen = np.bincount(ids[:, t], minlength=len(process.symbols)) / n
        assert np.abs(said - seen).max() < 4 * 0.5 / n**0.5
        held = np.bincount(states[:, t], minlength=exact.beliefs.shape[2]) / n
        assert np.abs(exact.beliefs[:, t].mean(axis=0) - held).max() < 4 * 0.5 / n**0.5


def test_latent_classes_follow_bayes_rule():
    process = random_classes(3, 4, seed=1)
    ids, _ = process.sample(20, 8, np.random.default_rng(0))
    exact = process.exact(ids)
    for i, row in enumerate(ids):
        pairs = [(int(q), int(a) - 4) for q, a in row.reshape(-1, 2)]
        for k in range(5):
            assert np.allclose(exact.beliefs[i, 2 * k], process.after(pairs[:k]))
        for k, (q, _) in enumerate(pairs):
            told = process.after(pairs[:k]) @ process.answer[:, q]
            assert np.allclose(np.exp(exact.log_next[i, 2 * k + 1, 4:]), told)
    with pytest.raises(DataError, match="impossible"):
        process.exact(np.array([[0, 4, 0]]))


def test_what_is_no_process_is_refused():
    with pytest.raises(DataError, match="add up to 1"):
        HiddenMarkov(symbols=("A", "B"), start=np.ones(1), step=np.full((2, 1, 1), 0.4))
    with pytest.raises(DataError, match="shape"):
        LatentClass(
            questions=("q",), answers=("y", "n"), prior=np.ones(1), answer=np.ones((1, 2, 2))
        )
    with pytest.raises(DataError, match="impossible"):
        zero_one_random().exact(np.array([[0, 0, 0]]))


@pytest.mark.parametrize("name", ["hidden-markov?length=6", "latent-class?length=5&questions=5"])
def test_a_written_file_gives_the_same_problems(name, tmp_path):
    task = open_task(name)
    drawn = task.problems(4, np.random.default_rng(0))
    path = tmp_path / "rows.jsonl"
    rows = [{"id": p.id, "question": p.question, **p.fields} for p in drawn]
    path.write_text("\n".join(map(json.dumps, rows)))
    # The process stands in the file, so options that describe another one change nothing.
    again = open_task(f"{name.partition('?')[0]}:{path}?process_seed=9")
    assert again.problems(10, np.random.default_rng(1)) == drawn
    # A row with a word that is no symbol is named.
    path.write_text(path.read_text() + '\n{"question": "A Ä"}\n{"process": {}, "text": "A"}')
    with pytest.raises(BadRows, match=r"rows\.jsonl:5.*'Ä'.*rows\.jsonl:6"):
        again.problems(10, np.random.default_rng(1))


def test_too_few_sequences_are_said():
    with pytest.raises(TooLittleData, match="different sequences"):
        open_task("hidden-markov?kind=z1r&length=1").problems(5, np.random.default_rng(0))


def test_the_command_writes_what_the_task_reads(tmp_path):
    out = CliRunner().invoke(command, ["hidden-markov?length=4", "--limit", "3"])
    path = tmp_path / "rows.jsonl"
    path.write_text(out.stdout)
    read = open_task(f"hidden-markov:{path}").problems(9, np.random.default_rng(0))
    assert [p.id for p in read] == [json.loads(line)["id"] for line in out.stdout.splitlines()]
    assert len(read) == 3
