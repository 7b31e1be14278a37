"""The sentence lens: planted sentences are read back, controls are not, maps find their way."""

import numpy as np
import pytest
import torch

from probes.sentence_lens import SentenceLens
from probes.sentence_words import SentenceWords
from probes.sentences.grid import ACTUAL, RANDOM, SWAPPED, Reader, partners
from probes.sentences.scores import Target, cell_rows, overlap
from probes.sentences.states import sentence_ends
from probes.sentences.tuned import fit_low_rank
from probes.train_sentence_words import TrainSentenceWords
from tests.networks import memorised
from workbench.errors import ModelNotFound, TooLittleData
from workbench.figures.draw import draw
from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit_state import PerUnitAccumulator
from workbench.model.tiny import tiny_model
from workbench.training.adapter import LoraShape
from workbench.training.checkpoint import Checkpoint, Manifest
from workbench.training.codec import Known
from workbench.training.codec_files import RECIPE, codec_tensors, joined

SENTENCES = ["the dog and the cat", "is it so , he", "the red king", "7 + 3", "it .", "yes , it"]
TEXTS = [Example(text="the red king. is it so , he.\nthe dog and the cat")] + [
    Example(text=f"the {a} and the {b}. it was the {b}.") for a in ("dog", "cat", "king", "man")
    for b in ("red", "some", "all", "king")
]  # fmt: skip
CONTEXT = Context(resamples=50)


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """A codec that knows a handful of sentences by heart."""
    shape = LoraShape(rank=8, alpha=16.0, part="both")
    adapters = memorised(model, SENTENCES, shape)
    codec = joined(model, adapters)
    known = Known(texts=tuple(SENTENCES), vectors=codec.encode(SENTENCES))
    path = tmp_path_factory.mktemp("codec")
    manifest = Manifest(
        recipe=RECIPE,
        options={"adapter": shape.as_dict(), "known": SENTENCES},
        base_model=model.spec.name,
        base_hash=model.spec.weights_hash,
        seed=0,
        data_hash="",
    )
    Checkpoint(manifest=manifest, tensors=codec_tensors(adapters, known)).save(path)
    return path


@pytest.fixture(scope="module")
def codec(model, folder):
    from workbench.training.codec_files import open_codec

    return open_codec(model, str(folder))


def _reader(codec, ways, **options):
    targets = codec.encode(SENTENCES)
    return Reader(writer=codec, ways=ways, layers=(0,), targets=targets, **options)


def _of(cells, name, kind, way="raw"):
    return [r[name] for r in cell_rows(cells, _targets()) if (r["way"], r["kind"]) == (way, kind)]


def _targets():
    return [Target(name=str(i), sentence=s, after="", unit=i) for i, s in enumerate(SENTENCES)]


def test_planted_states_are_read_back_and_controls_are_not(codec):
    states = 5 * codec.encode(SENTENCES)[:, None]
    swap = partners(range(6), np.random.default_rng(0))
    cells = _reader(codec, {"raw": lambda _, h: h}).cells(states, swap, CONTEXT)
    assert _of(cells, "written", ACTUAL) == SENTENCES
    assert _of(cells, "nearest", ACTUAL) == SENTENCES
    assert _of(cells, "cosine", ACTUAL) == pytest.approx([1] * 6, abs=1e-4)
    assert _of(cells, "written", SWAPPED) == [SENTENCES[j] for j in swap]
    assert len(_of(cells, "written", RANDOM)) == 4
    assert _of(cells, "exact", ACTUAL) == [1.0] * 6
    assert sum(_of(cells, "exact", SWAPPED)) == 0
    assert sum(_of(cells, "overlap", RANDOM)) / 4 < 0.7
    assert all(abs(x) < 0.8 for x in _of(cells, "cosine", RANDOM))
    shared = _of(cells, "faithfulness", ACTUAL)
    assert shared == [1 - overlap(SENTENCES[j], s) for j, s in zip(swap, SENTENCES, strict=True)]
    assert sum(shared) / 6 > 0.6


def test_a_fitted_map_finds_what_a_turned_space_holds(codec):
    draw = torch.Generator().manual_seed(2)
    turn = torch.linalg.qr(torch.randn(32, 32, generator=draw)).Q
    vectors = codec.encode(SENTENCES)
    more = torch.randn(200, 32, generator=draw) + vectors[torch.arange(200) % 6]
    found = fit_low_rank(more @ turn, torch.nn.functional.normalize(more, dim=-1), rank=32)
    ways = {"raw": lambda _, h: h, "tuned": lambda _, h: found(h)}
    states = (vectors @ turn)[:, None]
    cells = _reader(codec, ways).cells(states, list(range(6)), CONTEXT)
    assert _of(cells, "written", ACTUAL, "tuned") == SENTENCES
    assert sum(_of(cells, "overlap", ACTUAL)) < 4
    assert not _of(cells, "written", SWAPPED, "tuned"), "nobody stood in for anybody"
    assert _of(cells, "faithfulness", ACTUAL) == [None] * 6


def test_a_map_of_little_rank_keeps_the_leading_directions():
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(300, 16, generator=draw)
    plane = torch.randn(16, 2, generator=draw) @ torch.randn(2, 8, generator=draw)
    y = torch.nn.functional.normalize(x, dim=-1) @ plane
    fitted = fit_low_rank(x, y, rank=2)
    torch.testing.assert_close(fitted(x), y, atol=1e-3, rtol=1e-2)
    assert fitted.down.shape == (16, 2)
    noise = torch.randn(300, 8, generator=draw)
    nothing = fit_low_rank(x, noise, rank=8)
    assert nothing.ridge > fitted.ridge
    assert nothing.error == pytest.approx(1, abs=0.1), "noise cannot be predicted"
    few = fit_low_rank(x[:10], y[:10], rank=64)
    assert torch.isfinite(few(x)).all()


def test_sentences_end_where_their_last_token_does(model):
    ends = sentence_ends(model, TEXTS[:2], 512, CONTEXT)
    assert [(p.text, p.number, p.sentence) for p in ends.places[:3]] == [
        (0, 0, "the red king."),
        (0, 1, "is it so , he."),
        (0, 2, "the dog and the cat"),
    ]
    assert [p.after for p in ends.places[:3]] == ["is it so , he.", "the dog and the cat", ""]
    alone = model.run(TEXTS[0].text, read=["resid_post.1"])
    where = ends.places[1].position
    torch.testing.assert_close(
        ends.states[1, 1], alone["resid_post.1"][0, where], atol=1e-5, rtol=1e-4
    )
    assert model.decode(alone.tokens.row(0)[where : where + 1]).strip() == "."
    with pytest.raises(TooLittleData, match="whole sentence"):
        sentence_ends(model, TEXTS[:1], 2, CONTEXT)


def test_partners_come_from_other_texts_where_they_can():
    draw = np.random.default_rng(1)
    texts = [0, 0, 1, 1]
    for _ in range(20):
        assert all(texts[i] != texts[j] for i, j in enumerate(partners(texts, draw)))
    assert partners([0, 0], draw) == [1, 0]
    assert partners([0], draw) == [0]


def test_the_probe_reports_every_way_with_its_controls(model, folder):
    probe = SentenceLens(codec=str(folder), sentences=3, every=2, limit=8)
    result = probe.study(model, TEXTS, CONTEXT)
    grid = result.tables["grid"].frame
    assert set(grid["reading"]) == {
        f"{way}: {kind}" for way in ("raw", "normed", "tuned") for kind in (ACTUAL, RANDOM, SWAPPED)
    }
    assert sorted(set(grid["layer"])) == [0, 2]
    assert all(e.control is not None for e in result.estimates)
    layers = result.tables["layers"].rows()
    assert len(layers) == 6
    for row in layers:
        assert row["faithfulness"] == pytest.approx(row["overlap"] - row["overlap_swapped"])
    again = probe.study(model, TEXTS, CONTEXT)
    assert again.equals(result)
    figure = draw(result)
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == list(
        dict.fromkeys(grid["reading"])
    )
    assert [trace.visible for trace in figure.data] == [True] + [False] * 8
    assert "the red king." in str(figure.data[0].hovertext)


def test_few_texts_leave_the_fitted_maps_out_and_say_so(model, folder):
    probe = SentenceLens(codec=str(folder), sentences=3, every=3, limit=6)
    result = probe.study(model, TEXTS[:2], CONTEXT)
    assert not any("tuned" in e.name for e in result.estimates)
    assert "too-few-to-fit" in [note.code for note in result.notes]
    one = probe.study(model, [Example(text="cat")], CONTEXT)
    assert one.estimate("words in common, raw, layer 2").n == 1


def test_a_model_without_weights_says_how_to_train_them(model):
    for of, recipe in (("auto", "sentence-words"), ("written", "sentence-codec")):
        with pytest.raises(ModelNotFound, match=recipe):
            SentenceLens(of=of).study(model, TEXTS, CONTEXT)


def test_ordinary_text_is_read_as_words_of_a_trained_lens(model, tmp_path):
    TrainSentenceWords(preset="tiny", own=0).train(model, TEXTS, Context(scratch=tmp_path))
    result = SentenceLens(words=str(tmp_path)).study(model, TEXTS, CONTEXT)
    alone = SentenceWords(checkpoint=str(tmp_path)).loaded(CONTEXT.on(model))
    accumulator = PerUnitAccumulator(alone, CONTEXT.on(model))
    for example in TEXTS:
        trace = model.run(model.tokenize(example.text), read=alone.sites(model.spec))
        accumulator.add(trace, [example])
    expected = accumulator.result(CONTEXT)
    assert [e.name for e in result.estimates] == [e.name for e in expected.estimates]
    for one, other in zip(result.estimates, expected.estimates, strict=True):
        assert one.value == pytest.approx(other.value)


def test_words_in_common():
    assert overlap("A b, c.", "a b , c .") == 1
    assert overlap("a b", "c d") == 0
    assert overlap("a a b c", "a b") == pytest.approx(2 / 3)
    assert overlap("", "a") == 0
