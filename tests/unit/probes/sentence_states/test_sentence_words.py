"""The sentence lens reads planted words, its controls do not, and training goes on where it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from probes.sentence_states.bank import Bank
from probes.sentence_states.cells import Cells
from probes.sentence_states.ends import End
from probes.sentence_states.lens import TrainedLens
from probes.sentence_states.readout import TARGETS, WordReadout
from probes.sentence_states.together import AGREED, AllLayers, arrays
from probes.sentence_states.vocabulary import Vocabulary
from probes.sentence_words import LoadedWords
from probes.train_sentence_words import TrainSentenceWords
from workbench.errors import ModelNotFound, TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit_state import PerUnitAccumulator
from workbench.model.tiny import tiny_model
from workbench.result.samples import VALUE

WORDS = ("dog", "cat", "king", "man", "queen", "red")
VOCABULARY = Vocabulary(words=("", *WORDS))
D = 32


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


def _planted(turn=None, n_texts=30):
    """A readout that is exact where state j is the unit vector of word j, turned."""
    turn = torch.eye(D) if turn is None else turn
    up = torch.zeros(D, len(VOCABULARY))
    up[range(1, len(VOCABULARY)), range(1, len(VOCABULARY))] = 20.0
    n_layers = 3
    maps = torch.stack([turn, torch.zeros(D, D), torch.eye(D)])
    readout = WordReadout(
        mean=torch.zeros(n_layers, D),
        scale=torch.ones(n_layers, D),
        maps=dict.fromkeys(("current", "previous", "next"), maps),
        up=up,
        bias=torch.zeros(len(VOCABULARY)),
        platt=dict.fromkeys(
            ("current", "previous", "next"), torch.tensor([[1.0, 2.0]]).repeat(n_layers, 1)
        ),
    )
    prior = torch.tensor([0.1, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1])
    bank = Bank(
        sentences=tuple(f"this is the {word}." for word in WORDS),
        vocabulary=VOCABULARY,
        prior=prior,
    )
    others = torch.arange(12).remainder(6).add(1)[:, None].repeat(1, n_layers)
    return TrainedLens(
        readout=readout,
        bank=bank,
        others=dict.fromkeys(("current", "previous", "next"), others),
        other_nearest=others - 1,
        best=0,
        scores={},
    )


def _states(model, texts, lens):
    """Traces of texts whose states, at the ends of sentences only, are those of a word."""
    probe = LoadedWords(lens=lens)
    trace = model.run(model.tokenize(texts), read=probe.sites(model.spec))
    for site, x in trace.activations.items():
        x.zero_()
        for row, text in enumerate(texts):
            for i, (a, b) in enumerate(trace.tokens.offsets[row]):
                named = [w for w in WORDS if w in text[:b].split(".")[-2:][0].split()]
                if text[a:b].strip() == "." and named and site.layer != 2:
                    x[row, i, VOCABULARY.number_of[named[-1]]] = 1.0
    return probe, trace


def _read(model, texts, lens):
    probe, trace = _states(model, texts, lens)
    context = Context.of(model)
    accumulator = PerUnitAccumulator(probe, context)
    accumulator.add(trace, [Example(text=t, number=i) for i, t in enumerate(texts)])
    return accumulator.result(context)


TEXTS = [
    f"the {a} saw . the {b} saw . the {c} saw ."
    for a in WORDS for b in WORDS for c in WORDS if len({a, b, c}) == 3
][::4]  # fmt: skip


def test_a_word_that_one_layer_alone_is_sure_of_is_not_said(model):
    lens = _planted()
    silent = torch.tensor([[1.0, 2.0], [1.0, -9.0], [1.0, -9.0]])
    alone = replace(lens, readout=replace(lens.readout, platt=dict.fromkeys(TARGETS, silent)))
    for one, is_said in ((lens, True), (alone, False)):
        result = _read(model, TEXTS[:8], one)
        grid = result.tables["grid"].frame
        cells = grid[(grid["layer"] == 0) & grid["confidence"].notna()]
        assert len(cells), "sure by itself"
        assert bool((cells["said"] != "").all()) is is_said
        assert bool((cells["confidence"] > AGREED).all()) is is_said
        assert result.tables["layers"].rows()[0]["says"] == float(is_said)


def test_planted_words_are_read_where_they_are_and_nowhere_else(model):
    result = _read(model, TEXTS, _planted())
    assert result.estimate("words_p_at_1").value == 1
    assert result.estimate("nearest_shares_word").value == 1
    assert result.estimate("words_p_at_1").control < 0.4
    assert result.estimate("together_p_at_1").value == 1, "layers without a state say nothing"
    assert result.estimate("together_shares_word").value == 1
    assert result.estimate("together_p_at_1").control < 0.4
    layers = {row["layer"]: row for row in result.tables["layers"].rows()}
    assert layers[0]["p_at_1"] == 1
    assert layers[0]["p_at_1_within"] == 0, "the sentences of a text hold other words"
    assert layers[2]["p_at_1"] < 0.4, "no state, no word"
    assert layers[0]["next_p_at_1"] == 0
    assert result.summary.startswith("Words of the sentence are read")
    grid = result.tables["grid"].frame
    said = grid[(grid["layer"] == 0) & (grid["said"] != "")]
    assert set(said["said"]) <= set(WORDS)
    assert set(said["nearest"]) <= {f"this is the {word}." for word in WORDS}
    held = grid[(grid["layer"] == 0) & grid["held"].notna()]
    assert set(held["token"].str.strip()) <= set(WORDS)
    assert held["held"].min() > 0.8
    frequent = _planted().prior[1:].max().log()
    np.testing.assert_allclose(
        held["gain"].max(), 20 - np.log(np.exp(20) + 6) - np.log(0.1), atol=1e-4
    )
    np.testing.assert_allclose(held["gain"].min(), -float(frequent), atol=1e-4)
    assert layers[0]["gain_within"] < -10, "another sentence speaks against the word"


def test_all_layers_together_say_the_mean_of_their_probabilities(model):
    lens = _planted()
    trace = model.run(model.tokenize(["the dog ."]), read=())
    end = End(row=0, column=1, sentence="the dog .", following=None, words=frozenset({"dog"}),
              neighbours={}, other=1, within=0, tokens=())  # fmt: skip
    both = AllLayers(lens=lens, ends=[end], sure=0.7)
    dog, cat, queen = ([0.05, 0.3, 0.31], [0.9, 0.01, 0.02], [0.02, 0.02, 0.02])
    left = [(1 - a - b - c) / 4 for a, b, c in zip(dog, cat, queen, strict=True)]
    p = torch.tensor([[r, a, b, r, r, c, r] for r, a, b, c in zip(left, dog, cat, queen,
                                                                   strict=True)])  # fmt: skip
    for layer in range(3):
        both.add(layer, p[layer : layer + 1].log())
    cells = Cells(trace, 3, arrays(), ())
    both.put(cells)
    # The product of the three would be highest for "dog".
    assert p.prod(dim=0)[1:].argmax() == 0
    assert cells.get(VALUE, "together_p_at_1", (0, 1)) == 0, "it is `cat`"
    calibrated = [1 / (1 + np.exp(-(np.log(x) + 2))) for x in cat]
    confidence = cells.get(VALUE, "together_confidence", (0, 1))
    assert confidence == pytest.approx(np.mean(calibrated), abs=1e-6)
    assert cells.get(VALUE, "together_says", (0, 1)) == (confidence >= 0.7)
    assert np.isnan(cells.get(VALUE, "together_sure_p_at_1", (0, 1)))
    assert np.isnan(cells.get("within", "together_p_at_1", (0, 1))), "there is no other sentence"
    assert cells.get("prior", "together_p_at_1", (0, 1)) == 1, "`dog` is the most frequent"


def test_a_nearest_sentence_may_have_to_hold_the_first_word():
    words = Vocabulary(words=("", "dog", "cat", "red"))
    p = torch.tensor([[0.02, 0.3, 0.28, 0.4]])
    sentences = ("red cat", "dog", "the zq zq zq zq red", "zq")
    bank = Bank(sentences=sentences, vocabulary=words, prior=torch.tensor([0.7, 0.1, 0.1, 0.1]))
    assert bank.sentences[bank.nearest(p.log())[0]] == "red cat"
    less = Bank(sentences=("cat dog", "the zq zq zq zq red"), vocabulary=words, prior=bank.prior)
    assert less.nearest(p.log()).tolist() == [0]
    assert less.nearest(p.log(), holds_first=True).tolist() == [1], "`red` comes first"
    none = Bank(sentences=("cat dog", "dog"), vocabulary=words, prior=bank.prior)
    assert none.nearest(p.log(), holds_first=True).tolist() == [0], "no sentence holds `red`"


def test_a_lens_that_reads_something_else_says_that_nothing_is_read(model):
    turned = torch.eye(D)[torch.randperm(D, generator=torch.Generator().manual_seed(3))]
    result = _read(model, TEXTS, _planted(turned.roll(3, 0)))
    assert result.summary.startswith(("Nothing is read", "Little is read"))
    one = _read(model, TEXTS[:1], _planted())
    assert one.summary.startswith("Too few texts")


def test_a_control_that_hardly_any_text_has_decides_nothing(model):
    single = [f"the {a} {b} ." for a in WORDS for b in WORDS if a != b]
    # In the one text of two sentences each says as much of the other.
    result = _read(model, [*single, "the dog . the dog ."], _planted())
    assert result.summary.startswith("Words of the sentence are read")
    assert "few-compared" in [note.code for note in result.notes]
    enough = _read(model, [f"{text} {text}" for text in single], _planted())
    assert "another sentence of the text" in enough.summary, "every sentence says as much"
    assert "few-compared" not in [note.code for note in enough.notes]


def test_unknown_words_are_told(model):
    lens = _planted()
    result = _read(model, ["so he said . it saw", "so he saw ."] * 6, lens)
    assert "unknown-words" in [note.code for note in result.notes]
    assert result.estimate("known_words").value == 0
    assert result.estimate("words_p_at_1").value == 0, "what it cannot say is a miss"
    assert result.summary.startswith("Nothing is read")


def test_the_controls_do_not_move_with_the_batch(model):
    lens = _planted()
    together = _read(model, TEXTS[:6], lens).tables["layers"]
    probe, _ = _states(model, TEXTS[:1], lens)
    accumulator = PerUnitAccumulator(probe, Context.of(model))
    for i, text in enumerate(TEXTS[:6]):
        _, trace = _states(model, [text], lens)
        accumulator.add(trace, [Example(text=text, number=i)])
    alone = accumulator.result(Context.of(model)).tables["layers"]
    for name in ("p_at_1_other", "p_at_1_within", "shares_word_other"):
        np.testing.assert_allclose(together[name], alone[name])


def test_maps_are_kept_as_factors():
    draw = torch.Generator().manual_seed(2)
    low = torch.randn(3, D, 4, generator=draw) @ torch.randn(4, D, generator=draw)
    readout = replace(_planted().readout, maps={"current": low, "previous": low, "next": 0 * low})
    tensors = readout.tensors()
    assert tensors["down.previous"].shape == (3, D, 4)
    again, x = WordReadout.of(tensors), torch.randn(5, D, generator=draw)
    for target in readout.maps:
        torch.testing.assert_close(
            again.log_p(1, x, target), readout.log_p(1, x, target), atol=1e-3, rtol=1e-4
        )


def test_a_trained_lens_comes_back_and_reads_through_the_probe(model, tmp_path):
    draw = np.random.default_rng(0)
    texts = [
        Example(text=" ".join(f"the {w} saw ." for w in draw.choice(WORDS, 3)), number=i)
        for i in range(60)
    ]
    recipe = TrainSentenceWords(preset="tiny", own=0)
    result = recipe.train(model, texts, Context(scratch=tmp_path))
    probe = LoadedWords(checkpoint=str(tmp_path), lens=_planted()).loaded(Context.of(model))
    assert probe.lens.best == 0, "a loaded lens stays as it is"
    from probes.sentence_words import SentenceWords

    opened = SentenceWords(checkpoint=str(tmp_path)).loaded(Context.of(model)).lens
    assert opened.vocabulary.words[0] == ""
    assert opened.scores["given texts"]["p_at_1"] == result.estimate("words_p_at_1").value
    with pytest.raises(ModelNotFound, match="sentence-words"):
        SentenceWords().loaded(Context.of(model))
    with pytest.raises(TooLittleData, match="train 1"):
        recipe.train(model, [Example(text="the dog")], Context(scratch=tmp_path / "none"))
