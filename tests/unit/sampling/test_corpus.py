"""The index of a corpus against naive search, and decoding that stays within it."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from probes.corpus_match import CorpusMatch
from workbench.errors import BadOption, InputError, TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.registry import find
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.runs.counting import count_texts
from workbench.runs.spec import RunSpec
from workbench.sampling.corpus import CorpusIndex, WithinCorpus, suffix_order

DRAW = np.random.default_rng(0)
DOCUMENTS = [DRAW.integers(1, 5, size=n).tolist() for n in (40, 1, 25, 60, 0)]


def occurrences(ids: list[int]) -> int:
    starts = ((d, i) for d in DOCUMENTS for i in range(len(d) - len(ids) + 1))
    return sum(d[i : i + len(ids)] == ids for d, i in starts)


def test_suffixes_come_in_order() -> None:
    symbols = np.array([3, 3, 1, 3, 3, 3, 1, 0])
    order = suffix_order(symbols).tolist()
    assert order == sorted(range(8), key=lambda i: symbols[i:].tolist())


def test_backward_search_counts_what_naive_search_counts() -> None:
    index = CorpusIndex(DOCUMENTS)
    for _ in range(200):
        ids = DRAW.integers(1, 6, size=DRAW.integers(1, 6)).tolist()
        assert index.count(ids) == occurrences(ids)
    assert index.count([99]) == 0


def test_longest_matches_are_those_of_naive_search() -> None:
    index = CorpusIndex(DOCUMENTS)
    ids = [*DOCUMENTS[2][5:14], 9, *DOCUMENTS[0][-4:], *DOCUMENTS[1]]
    lengths, counts = index.longest(ids)
    for end in range(len(ids)):
        found = [n for n in range(1, end + 2) if occurrences(ids[end + 1 - n : end + 1])]
        assert lengths[end] == max(found, default=0)
        part = ids[end + 1 - lengths[end] : end + 1]
        assert counts[end] == (occurrences(part) if part else 0)
    assert lengths[8] >= 9
    assert lengths[9] == 0


def test_what_follows_is_what_stands_there() -> None:
    index = CorpusIndex(DOCUMENTS)
    for ids in ([], [1], [2, 3], DOCUMENTS[0][-6:], [99]):
        starts = [(d, i) for d in DOCUMENTS for i in range(len(d)) if d[i : i + len(ids)] == ids]
        after = {d[i + len(ids)] for d, i in starts if i + len(ids) < len(d)}
        tokens, may_end = index.following(ids)
        assert set(tokens.tolist()) == after
        assert may_end == any(ids and d[-len(ids) :] == ids for d in DOCUMENTS)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_decoding_never_leaves_the_corpus(tiny_llama: Model, temperature: float) -> None:
    documents = [[10 + i for i in document] for document in DOCUMENTS]
    index, stop = CorpusIndex(documents), tiny_llama.stop_ids[0]
    policy = WithinCorpus(index=index, stop_id=stop, sampling=Sampling(temperature=temperature))
    trace = tiny_llama.generate(
        ["the cat", "a dog ran in"], policy=policy, limit=20, options=GenerationOptions(seeds=1)
    )
    for ids in trace.generated:
        kept = [i for i in ids if i != stop]
        assert kept
        assert index.count(kept) > 0
    free = tiny_llama.generate(["the cat"], limit=20).generated[0]
    assert index.count(list(free)) == 0


def test_a_text_of_the_corpus_is_recited(tiny_llama: Model, tmp_path) -> None:
    text = "the cat sat . the red dog ran to paris and saw the king"
    (tmp_path / "corpus.txt").write_text(f"a bird is big\n{text}\n")
    probe = CorpusMatch(corpus=str(tmp_path / "corpus.txt"), new_tokens=3, long=4)
    rows = [Example(text=text, number=0)]
    context = Context.of(tiny_llama)
    found = count_texts(probe, RunSpec(name="any"), rows, tiny_llama, context).result
    assert found.table("tokens").frame["match"].tolist() == list(range(1, 15))
    assert found.estimate("recited").value == 1
    assert found.estimate("recited").control < 0.5
    with pytest.raises(InputError, match="corpus"):
        CorpusMatch().loaded(context)
    with pytest.raises(TooLittleData):
        CorpusIndex([[]])


@pytest.mark.parametrize("beside", ["token-trace surprisal", "acceptance exit"])
def test_the_match_stands_beside_a_metric_of_another_probe(
    tiny_llama: Model, tmp_path, beside: str
) -> None:
    (tmp_path / "corpus.txt").write_text("the cat sat . a dog\nran to the king\n")
    rows = [Example(text="the cat sat . the red dog ran to the king", number=0)]
    context = Context.of(tiny_llama, resamples=10)
    name, metric = beside.split()
    spec = RunSpec(name="any")
    probe = CorpusMatch(corpus=str(tmp_path / "corpus.txt"), new_tokens=0, beside=beside)
    found, alone = (
        count_texts(one, spec, rows, tiny_llama, context).result
        for one in (probe, find("probe", name).recipe())
    )
    match = found.table("tokens").frame["match"]
    table = alone.table("grid" if metric == "exit" else "tokens").frame
    if metric == "exit":
        table = table[table["layer"] == 1].reset_index()
        rho = found.table("layers").frame["beside_layers"][1]
    else:
        rho = found.estimate("beside").value
    assert rho == pytest.approx(spearmanr(match, table[metric], nan_policy="omit").statistic)
    assert abs(rho) > 0.05
    with pytest.raises(BadOption, match="surprise"):
        CorpusMatch(corpus=str(tmp_path / "corpus.txt"), beside="token-trace surprise").loaded(
            context
        )


def test_a_text_that_fills_the_context_is_left_out_of_what_is_written(
    tiny_llama: Model, tmp_path
) -> None:
    (tmp_path / "corpus.txt").write_text("a bird is big\n")
    full = " ".join(["the"] * tiny_llama.spec.max_positions)
    rows = [Example(text=text, number=i) for i, text in enumerate((full, "the cat"))]
    probe = CorpusMatch(corpus=str(tmp_path / "corpus.txt"), new_tokens=3)
    context = Context.of(tiny_llama)
    found = count_texts(probe, RunSpec(name="any"), rows, tiny_llama, context).result
    assert found.estimate("written").n == 1
    assert any(note.code == "no-room" and "1 of 2" in note.text for note in found.notes)
