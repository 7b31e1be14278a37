"""The recipe of the pooled codec: what is set apart, resumption, noise, and what is kept."""

import pytest

from probes.sentence_lens import SentenceLens
from reasoning.codec.noise import UNSEEN, set_apart
from reasoning.train_pooled_codec import TrainPooledCodec
from workbench.errors import ModelError
from workbench.methods.contracts import Context, Example
from workbench.model.tiny import tiny_model
from workbench.sampling.rare_words import rare_words, words_apart
from workbench.training.checkpoint import Checkpoint
from workbench.training.pooled_codec_files import KNOWN, open_pooled_codec

NAMES = [f"{a}{b}" for a in ("Ann", "Bo", "Cy", "Di", "Ed") for b in ("ra", "lo", "ti", "mu")]
TEXTS = [Example(text=f"the dog saw {name}. the cat and {name} ran.") for name in NAMES]
TINY = TrainPooledCodec(preset="tiny", tasks=("prosqa?classes=6&hops=2",), drawn=20, judged=4)


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


def test_sentences_with_a_word_set_apart_train_in_no_family():
    sentences = [sentence for text in TEXTS for sentence in text.text.split(". ")]
    rest, unseen = set_apart({"texts": sentences, "more": [f"he saw {name}" for name in NAMES]})
    apart = words_apart(sentences)
    assert apart
    assert set(unseen) == {f"{UNSEEN}texts", f"{UNSEEN}more"}
    assert all(apart & rare_words(s) for some in unseen.values() for s in some)
    assert not any(apart & rare_words(s) for some in rest.values() for s in some)


def test_a_stopped_run_goes_on_and_what_is_kept_is_what_was_judged(model, tmp_path):
    whole = TINY.train(model, TEXTS, Context(scratch=tmp_path / "whole", resamples=20))

    def stop(done, total, what):
        if (what, done) == ("steps", 3):
            raise KeyboardInterrupt

    context = Context(scratch=tmp_path / "broken", resamples=20, progress=stop)
    with pytest.raises(KeyboardInterrupt):
        TINY.train(model, TEXTS, context)
    again = TINY.train(model, TEXTS, Context(scratch=tmp_path / "broken", resamples=20))
    for table in ("steps", "noise", "families"):
        assert again.tables[table].rows() == whole.tables[table].rows()
    told = [row["family"] for row in whole.tables["families"].rows()]
    assert f"{UNSEEN}texts" in told
    manifest = Checkpoint.load(tmp_path / "whole").manifest
    assert manifest.scores["exact match"]["value"] == whole.estimate("exact match").value
    codec = open_pooled_codec(model, str(tmp_path / "whole"))
    near = codec.decode(codec.known.vectors[:2].float(), limit=4, nearest=1)
    assert [one.nearest[0][1] for one in near] == [pytest.approx(1.0, abs=1e-3)] * 2
    assert [row["noise"] for row in whole.tables["noise"].rows()] == [0.0, 0.25, 0.5, 1.0]
    assert whole.estimate("tokens in common").control is not None


def test_a_damaged_folder_is_told(model, tmp_path):
    TINY.train(model, TEXTS, Context(scratch=tmp_path, resamples=20))
    found = Checkpoint.load(tmp_path)
    some = {name: x for name, x in found.tensors.items() if name != KNOWN}
    Checkpoint(manifest=found.manifest, tensors=some).save(tmp_path)
    with pytest.raises(ModelError, match="known"):
        open_pooled_codec(model, str(tmp_path))


def test_the_sentence_lens_writes_with_it(model, tmp_path):
    TINY.train(model, TEXTS, Context(scratch=tmp_path, resamples=20))
    lens = SentenceLens(codec=str(tmp_path), sentences=2, controls=1, every=3, limit=4)
    found = lens.study(model, TEXTS[:3], Context(resamples=20))
    assert found.estimates[0].name == "words in common, codec's own vectors"
    assert len(found.tables) > 0
