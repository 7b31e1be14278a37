"""What the sentence lens is trained with: texts, states, banks of words, calibration, training."""

import numpy as np
import pytest
import torch

from probes.sentence_states.bank import bank_sentences, from_bytes, to_bytes
from probes.sentence_states.corpus import divide, rare_words
from probes.sentence_states.features import Features, extract
from probes.sentence_states.objective import Lines, WordObjective, fresh_readout
from probes.sentence_states.own_texts import OwnTexts
from probes.sentence_states.readout import best_words, fit_platt
from probes.sentence_states.vocabulary import (
    OTHER,
    Vocabulary,
    content_words,
    every_span,
    word_spans,
)
from probes.sentence_states.word_start import word_vectors
from probes.sentences.states import Place
from probes.sentences.words import words_of
from workbench.methods.contracts import Context
from workbench.training.loop import Plan, train

VOCABULARY = Vocabulary(words=("", "dog", "cat", "king", "man", "queen", "red"))
D = 32


@pytest.fixture
def model(tiny_llama):
    return tiny_llama


def test_parts_share_no_text_and_rare_names_are_never_learned():
    texts = [f"Then {name} saw {i} dogs." for i in range(40) for name in ("Anna", "Ben")]
    texts += [f"Here is Zed{i}." for i in range(300)] + ["then ANNA saw 3 dogs"] * 2
    corpus = divide({"a": texts, "b": ["Then Anna saw 3 dogs!", "A new one. And more."]}, Context())
    every = [t for part in corpus.texts.values() for text in part for t in text.split(". ")]
    assert len({" ".join(content_words(t)) for t in every}) > 340
    assert corpus.origins["train"].count("b") + corpus.origins["test"].count("b") <= 1
    learned = {w for text in corpus.texts["train"] for w in rare_words(text)}
    apart = {w for text in corpus.texts["rare"] for w in rare_words(text)}
    assert apart - learned, "some rare names stand in no text to learn from"
    assert all(rare_words(text) - learned for text in corpus.texts["rare"])
    again = divide({"a": texts}, Context())
    assert [t for t, o in zip(corpus.texts["train"], corpus.origins["train"], strict=True)
            if o == "a"] == list(again.texts["train"])  # fmt: skip
    few = divide({"a": ["One dog.", "Two cats.", "A king and a queen."] * 3 + ["So it is. Yes."]},
                 Context())  # fmt: skip
    assert few.texts["train"]


def _features(x, sentences):
    places = tuple(Place(text=i, number=0, sentence=s) for i, s in enumerate(sentences))
    return Features(places=places, states=(x.half().numpy(),))


def test_training_finds_planted_words_and_shuffled_states_do_not(tmp_path):
    draw = torch.Generator().manual_seed(0)
    words = torch.randint(1, 7, (600,), generator=draw)
    directions = torch.randn(2, 7, D, generator=draw)
    x = directions[:, words] + 0.3 * torch.randn(2, 600, D, generator=draw)
    sentences = [f"the {VOCABULARY.words[w]}" for w in words]
    found = {}
    for name, order in (("own", torch.arange(600)), ("shuffled", torch.randperm(600))):
        features = _features(x[:, order], sentences)
        lines = Lines.of(features, VOCABULARY)
        start = fresh_readout(features, lines, torch.randn(8, 7, generator=draw))
        objective = WordObjective((features, lines), (features, lines), start, layers_a_step=1)
        assert objective.validate() == pytest.approx(np.log(6), abs=0.05), "begins at the prior"
        plan = Plan(steps=60, rows_per_step=64, learning_rate=3e-2, validate_every=60)
        train(objective, plan, folder=tmp_path / name, identity="", context=Context())
        log_p = objective.readout().log_p(1, x[1])
        found[name] = float((best_words(log_p, 1)[:, 0] == words).float().mean())
    assert found["own"] > 0.99
    assert found["shuffled"] < 0.5


def test_calibration_recovers_a_known_curve():
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(20_000, generator=draw)
    y = (torch.rand(20_000, generator=draw) < torch.sigmoid(2 * x - 1)).float()
    torch.testing.assert_close(fit_platt(x, y), torch.tensor([2.0, -1.0]), atol=0.1, rtol=0)
    assert torch.isfinite(fit_platt(x, torch.ones_like(x))).all()


def test_states_are_those_of_the_sentence_ends_and_extraction_goes_on(model, tmp_path):
    texts = ["the dog . the cat .", "a king", "the red queen . it"]
    found = extract(model, texts, tmp_path, 64, Context())
    trace = model.run(texts[0], read=["resid_post.1"])
    place = next(i for i, p in enumerate(found.places) if (p.text, p.number) == (0, 0))
    wanted = trace["resid_post.1"][0, found.places[place].position]
    torch.testing.assert_close(found.layer(1, [place])[0], wanted, atol=1e-2, rtol=1e-2)
    file = next(tmp_path.glob("*.f16"))
    kept = file.read_bytes()
    file.write_bytes(bytes(len(kept)))
    again = extract(model, texts, tmp_path, 64, Context())
    assert not again.layer(1, [place]).any(), "what is done is not made again"
    joined = Features.joined({"a": found, "b": found})
    torch.testing.assert_close(joined.layer(0, [0, len(found.places)]), found.layer(0, [0, 0]))
    assert joined.places[-1].text == found.places[-1].text + 3


def test_words_begin_as_the_embeddings_of_their_tokens_turned(model):
    rows = torch.stack(
        [model.embed(model.tokenize(f" {w}").ids)[0].mean(dim=0) for w in VOCABULARY.words[1:]]
    )
    every = word_vectors(model, VOCABULARY, rank=6)
    assert every.shape == (6, 7)
    assert not every[:, OTHER].any()
    torch.testing.assert_close(every[:, 1:].norm(dim=0), torch.full((6,), 10.0))
    apart = (every[:, 1] - every[:, 2]).norm()
    rows = torch.nn.functional.normalize(rows - rows.mean(dim=0), dim=1)
    found = every[:, 1:].T @ every[:, 1:]
    torch.testing.assert_close(found, 100 * rows @ rows.T, atol=1e-3, rtol=1e-4)
    low = word_vectors(model, VOCABULARY, rank=2)
    assert 0 < (low[:, 1] - low[:, 2]).norm() <= apart + 1e-4
    wide = word_vectors(model, VOCABULARY, rank=20)
    assert wide.shape == (20, 7), "directions that there are not are zero"
    torch.testing.assert_close(wide[:6], every)


def test_own_texts_are_drawn_once(model, tmp_path):
    own = OwnTexts(folder=tmp_path, texts=5, limit=4)
    first = own.draw(model, Context())
    assert len(first) <= 5
    stamp = next(tmp_path.iterdir()).stat().st_mtime_ns
    assert own.draw(model, Context()) == first
    assert next(tmp_path.iterdir()).stat().st_mtime_ns == stamp


def test_words_and_banks():
    assert content_words("It's the Dog’s 3rd dog, isn't it?") == ["dog's", "3rd", "dog"]
    marked = "The <unk> of <|im_start|>Rome </s> is [MASK], but <3 is vector<int>."
    assert words_of(marked) == ["the", "of", "rome", "is", "but", "3", "is", "vector", "int"]
    assert [marked[a:b].lower() for a, b in every_span(marked)] == words_of(marked)
    assert [word for *_, word in word_spans(marked)] == ["rome", "3", "vector", "int"]
    vocabulary = Vocabulary.of(["a dog", "dog cat", "cat owl"], most=5, least=2)
    assert vocabulary.words == ("", "cat", "dog")
    assert vocabulary.numbers("the dog and an owl") == [2, OTHER]
    assert bank_sentences(["dog", "Oh my dog here!", "oh my DOG here", "so it is now"],
                          vocabulary, 9) == ("Oh my dog here!",)  # fmt: skip
    assert from_bytes(to_bytes(["", "né", "b"])) == ("", "né", "b")
