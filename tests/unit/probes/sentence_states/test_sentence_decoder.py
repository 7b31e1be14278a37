"""The decoder of a sentence lens: planted states save their words, others do not."""

import numpy as np
import pytest
import torch

from probes.sentence_states.decoder import (
    ADAPTER,
    RECIPE,
    STATE,
    SentenceDecoder,
    decoder_of,
    find_decoder,
    shape_of,
)
from probes.sentence_states.decoder_objective import DecoderObjective
from probes.sentence_states.decoder_start import fresh_weights, read_layers_of
from probes.sentence_states.features import Features
from probes.sentence_states.information import InformationReader
from probes.sentence_states.written import agreement, trusted_from, word_f1
from probes.sentence_words import DecodedWords
from probes.sentences.states import Place
from tests.unit.probes.sentence_states.test_sentence_words import (
    TEXTS,
    VOCABULARY,
    WORDS,
    _planted,
    _states,
)
from workbench.errors import ModelError
from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit_state import PerUnitAccumulator
from workbench.model.tiny import tiny_model
from workbench.training.adapter import Adapter
from workbench.training.checkpoint import Checkpoint, Manifest
from workbench.training.loop import Plan, train

LAYERS = (0, 1)


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


def _decoder(model, strength=4.0, turn=None):
    """One whose states j raise the logits of the tokens of word j, and of no other word."""
    lens = _planted(turn)
    first = model.spec.n_layers - 1
    adapter = Adapter(model, shape_of(2, first), generator=torch.Generator(), suffix="t")
    head = model.backend.module.get_output_embeddings().weight.detach()
    beside = torch.zeros(32, 32)
    for j, word in enumerate(WORDS, start=1):
        (token,) = model.tokenizer(word, add_special_tokens=False)["input_ids"][-1:]
        beside[j] = strength * head[token] / head[token].square().sum()
    weights = {
        "mean": torch.zeros(2, 32), "scale": torch.ones(2, 32),
        "down.0": torch.eye(32), "down.1": torch.zeros(32, 32),
        "up": torch.zeros(32, 64), "bias": torch.zeros(64), "beside": beside,
        "gate": torch.tensor([0.0] * 32 + [30.0]),
    }  # fmt: skip
    others = {layer: torch.zeros(6, 32) for layer in LAYERS}
    others[0][range(6), range(1, 7)] = 1.0
    return lens, decoder_of(
        adapter, model, weights, LAYERS, 0,
        others=others, other_written=("the dog", "so"), trusted_from=0.5,
    )  # fmt: skip


def _read(model, texts, turn=None):
    lens, decoder = _decoder(model, turn=turn)
    _, trace = _states(model, texts, lens)
    probe = DecodedWords(
        lens=lens, reader=InformationReader(decoder=decoder, lens=lens, layers=LAYERS)
    )
    accumulator = PerUnitAccumulator(probe, Context.of(model))
    accumulator.add(trace, [Example(text=t, number=i) for i, t in enumerate(texts)])
    return accumulator.result(Context.of(model))


def test_nats_are_those_of_shifted_logits(model):
    _, decoder = _decoder(model)
    rows = decoder.ids.of(["the king saw"])
    bare = decoder.bare(1)
    h, tokens = decoder.last_states(bare, rows)
    logits = decoder.network.logits(h)
    own = torch.nn.functional.cross_entropy(logits, tokens, reduction="none")
    torch.testing.assert_close(decoder.nats(bare, rows)[0], own)
    code = torch.eye(32)[[3]]
    shifted = logits + decoder.network.logits(code @ decoder.weights["beside"])
    expected = torch.nn.functional.cross_entropy(shifted, tokens, reduction="none")
    torch.testing.assert_close(decoder.nats(code, rows)[0], expected, atol=1e-4, rtol=1e-4)


def test_planted_words_save_nats_and_the_words_of_others_cost_some(model):
    result = _read(model, TEXTS[:8])
    saved = result.estimate("information_saved")
    assert saved.low > saved.control + 1
    assert saved.unit == "nats"
    layers = {row["layer"]: row for row in result.tables["layers"].rows()}
    assert layers[0]["saved"] == pytest.approx(saved.value)
    assert layers[0]["saved_within"] < 0, "another sentence speaks of other words"
    assert layers[1]["saved"] == pytest.approx(0, abs=1e-5), "no code, nothing saved"
    assert layers[0]["content_saved"] > layers[0]["content_saved_within"]
    assert layers[0]["next_saved"] is None, "three sentences have no earlier and no later one"
    grid = result.tables["grid"].frame
    words = grid[(grid["layer"] == 0) & grid["word_saved"].notna()]
    by_word = words.groupby(words["token"].str.strip())["word_saved"].mean()
    assert by_word[[w for w in WORDS if w in by_word]].min() > 0.5
    assert by_word["saw"] < 0, "what the state says of one word, it takes from the others"
    written = grid[grid["written"] != ""]
    assert len(written) == 24, "one for each sentence, at the best layer"
    assert set(written["layer"]) == {0}
    shown = [text for text in written["written"] if not text.startswith("unsure: ")]
    assert len(shown) / 24 == pytest.approx(result.estimate("trusted").value)


def test_of_the_next_sentence_is_told_what_neither_control_tells(model):
    """Planted truth: the second sentence says the third one's word, the first another one."""
    result = _read(model, ["the king saw . the dog saw . the dog saw . the cat saw ."])
    grid = result.tables["grid"].frame.query("layer == 0")
    told = grid["next_saved"].dropna()
    assert len(told) == 1, "one has a sentence before it, a next one and one after that"
    _, decoder = _decoder(model)
    rows = decoder.ids.of(["the dog saw .", "the cat saw ."])
    nats = {
        word: [float(x.sum()) for x in decoder.nats(torch.eye(32)[[number] * 2], rows)]
        for word in ("king", "dog")
        if (number := VOCABULARY.number_of[word])
    }
    next_one, later = (a - b for a, b in zip(nats["king"], nats["dog"], strict=True))
    assert next_one - later > 1
    assert told.iloc[0] == pytest.approx(next_one - later, abs=1e-3)


def test_of_sentences_in_random_order_nothing_is_told_of_the_next_one(model):
    draw = np.random.default_rng(0)
    texts = [
        " ".join(f"the {word} saw ." for word in draw.permutation(WORDS)[:4]) for _ in range(40)
    ]
    layer = _read(model, texts).tables["layers"].rows()[0]
    assert layer["next_saved_low"] < 0 < layer["next_saved_high"]


def test_a_verdict_tells_of_nats_where_no_word_is_read(model):
    few = _read(model, TEXTS[:8]).summary
    assert "read of these texts for sure" in few
    assert ". No nats are saved for sure: information_saved" in few
    turned = _read(model, TEXTS, turn=torch.eye(32).roll(1, dims=0)).summary
    assert turned.startswith("No word is read of these texts for sure")
    assert ". Saved: information_saved" in turned


def test_a_row_of_a_batch_is_the_row_alone(model):
    together, alone = _read(model, TEXTS[:3]), _read(model, TEXTS[:1])
    for name in ("saved", "word_saved"):
        mine = alone.tables["grid"].frame.query("layer == 0")[name].dropna().to_numpy()
        first = together.tables["grid"].frame.query("text == 0 and layer == 0")[name].dropna()
        np.testing.assert_allclose(mine, first.to_numpy(), atol=1e-4)


def test_training_finds_what_planted_states_say(model, tmp_path):
    draw = torch.Generator().manual_seed(0)
    words = torch.randint(0, 6, (240,), generator=draw)
    x = torch.zeros(3, 240, 32)
    x[:, range(240), words + 1] = 1.0
    places = tuple(Place(text=i, number=0, sentence=f"the {WORDS[w]}") for i, w in enumerate(words))
    features = Features(places=places, states=(x.half().numpy(),))
    lens, first = _planted(), model.spec.n_layers - 1
    adapter = Adapter(model, shape_of(2, first), generator=draw, suffix="trained")
    weights = fresh_weights(model, lens, LAYERS, first, draw)
    decoder = decoder_of(adapter, model, weights, LAYERS, 0)
    objective = DecoderObjective(decoder, adapter, features, features, bare=0.3)
    plan = Plan(steps=40, rows_per_step=24, learning_rate=1e-2, validate_every=40)
    history = train(objective, plan, folder=tmp_path, identity="", context=Context())
    assert history.validations[-1][1] < history.validations[0][1] - 0.3
    rows = decoder.ids.of([place.sentence for place in places[:40]])
    own = decoder.code(0, features.layer(0, range(40)))
    turned = own[(torch.arange(40) + 1) % 40]
    totals = [float(torch.cat(decoder.nats(c, rows)).sum()) for c in (own, own * 0, turned)]
    assert totals[0] < totals[1] - 20, "the state says which of six words it is"
    assert totals[1] < totals[2], "and a wrong one misleads"
    assert all(ADAPTER not in name for name in objective.parameters())
    _another_goes_on(model, objective, features, tmp_path)


def _another_goes_on(model, objective, features, folder):
    tensors = {
        **objective.adapter.tensors(ADAPTER),
        **{STATE + name: x.detach() for name, x in objective.decoder.weights.items()},
    }
    manifest = Manifest.of(RECIPE, model.spec, options={}, seed=0, texts=(), data="")
    kept = Checkpoint(manifest=manifest, tensors=tensors).save(folder)
    draw, first = torch.Generator().manual_seed(9), model.spec.n_layers - 1
    weights = fresh_weights(model, _planted(), LAYERS, first, draw)
    for rank, fits in ((2, True), (3, False)):
        adapter = Adapter(model, shape_of(rank, first), generator=draw, suffix=f"next {rank}")
        decoder = decoder_of(adapter, model, weights, LAYERS, 0)
        after = DecoderObjective(decoder, adapter, features, features, bare=0.3)
        if not fits:
            with pytest.raises(ModelError, match="do not fit"):
                after.begin(model, str(folder))
            continue
        assert after.validate() != objective.validate()
        assert after.begin(model, str(folder)) == kept.manifest.weights_hash
        assert after.validate() == objective.validate()


def test_layers_are_at_equal_distances_and_hold_the_best():
    assert read_layers_of(30, 5, 16) == (4, 10, 16, 22, 28)
    assert read_layers_of(3, 5, 1) == (0, 1, 2)
    assert 7 in read_layers_of(12, 1, 7)


def test_sentences_are_trusted_where_few_are_wrong(model):
    assert word_f1("the dog saw", "The dog ran.") == pytest.approx(2 / 3)
    assert word_f1("", "so") == 0
    right, wrong = [1.0] * 50, [0.1] * 50
    assert trusted_from([0.9] * 50 + [0.2] * 50, right + wrong) == 0.9
    assert trusted_from([0.9] * 50 + [0.2] * 2, right + wrong[:1] + right[:1]) == 0.2
    assert trusted_from([0.9] * 50, wrong) > 1, "none is right, none is trusted"
    assert trusted_from([0.3, 0.4], [1.0, 1.0]) == 0.3
    lens, states = _planted(), torch.eye(32)[[VOCABULARY.number_of["king"]]]
    says = [agreement(lens, 0, states, [text])[0] for text in ("king", "the queen", "zq", "so")]
    assert says[0] > 0.8
    assert max(says[1:]) < 0.1


def test_a_model_without_a_decoder_has_none(model):
    assert RECIPE == "sentence-decoder"
    assert find_decoder(model) is None
    assert SentenceDecoder.__dataclass_params__.frozen
