"""Languages: CKA, retrieval, bits per byte, and a language made by a bijection of words."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from probes.languages import Languages, ratio
from workbench.errors import BadOption, BadRows, DataError
from workbench.methods.contracts import Context, Example
from workbench.methods.kernel_alignment import cka, retrieved
from workbench.model.model import Model
from workbench.model.tiny import tiny_module
from workbench.model.tiny_tokenizer import VOCABULARY, tiny_tokenizer
from workbench.model.wrap import wrap_model
from workbench.result.result import Result
from workbench.runs.reading import BadRow, read_examples
from workbench.runs.spec import DataRef

WORDS, OTHERS = ("cat", "king", "man", "red", "sat"), ("dog", "queen", "woman", "blue", "ran")


def run(model: Model, rows: list[Example], **options: object) -> Result:
    context = Context.of(model, resamples=10)
    return Languages(**options).study(model, rows, context)  # type: ignore[arg-type]


def toy_language() -> Model:
    """Return a model for which each word of one language is the vector of one of the other."""
    module = tiny_module("llama")
    with torch.no_grad():
        for one, other in zip(WORDS, OTHERS, strict=True):
            table = module.model.embed_tokens.weight
            table[VOCABULARY.index(other)] = table[VOCABULARY.index(one)]
        module.lm_head.weight.zero_()
    return wrap_model(module, tiny_tokenizer(), name="toy languages")


def rows(n: int = 20) -> list[Example]:
    draw = np.random.default_rng(0)
    texts = [draw.integers(5, size=4 + i % 4) for i in range(n)]
    told = [[" ".join(words[i] for i in text) for words in (OTHERS, WORDS)] for text in texts]
    return [
        Example(text=a, label="toy", fields={"english": b}, source=f"toy:{i}", number=i)
        for i, (a, b) in enumerate(told)
    ]


def test_cka_of_a_rotation_is_one_and_of_shuffled_rows_nothing() -> None:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((60, 200))
    turned = 3 * x @ np.linalg.qr(draw.standard_normal((200, 200)))[0] + 5
    value, without = cka(x, turned)
    assert value == pytest.approx(1, abs=1e-9)
    assert without == pytest.approx(np.ones(60), abs=1e-9)
    null = [cka(x, turned[draw.permutation(60)])[0] for _ in range(20)]
    assert abs(np.mean(null)) < 0.03


def test_cka_without_a_row_is_that_of_the_other_rows() -> None:
    draw = np.random.default_rng(1)
    x = draw.standard_normal((12, 5)) + 1
    y = x[:, :3] + draw.standard_normal((12, 3))
    _, without = cka(x, y)
    for i in (0, 7):
        kept = np.arange(12) != i
        assert without[i] == pytest.approx(cka(x[kept], y[kept])[0], rel=1e-9)
    assert np.isnan(cka(x[:4], y[:4])[0])


def test_retrieval_finds_a_scaled_copy() -> None:
    x = np.random.default_rng(0).standard_normal((30, 8))
    assert retrieved(x, 2 * x).all()
    assert retrieved(x, 2 * x[::-1]).sum() == 0


def test_bits_per_byte_do_not_change_when_bytes_are_tokenised_anew() -> None:
    """A uniform model of bytes pays 8 bits for each, however they are cut into tokens."""
    draw = np.random.default_rng(0)
    for _ in range(3):
        sizes = draw.integers(1, 6, size=40)
        nats = (sizes * np.log(256)).sum()
        assert ratio(np.array([nats / np.log(2), sizes.sum()])) == pytest.approx(8)


def test_a_bijection_of_words_is_the_same_language() -> None:
    found = run(toy_language(), rows(), about="king")
    frame = found.table("layers").frame.query("language == 'toy'")
    assert frame["retrieval"].tolist() == pytest.approx([1] * len(frame), abs=0.11)  # twins
    assert frame["cka"].tolist() == pytest.approx([1] * len(frame), abs=1e-6)
    assert frame["retrieval_shuffled"].max() < 0.5
    assert frame["cka_shuffled"].abs().max() < 0.5
    assert frame["own"].tolist() == pytest.approx(frame["transfer"].tolist())
    told = found.table("languages").frame.set_index("language")
    n_bytes = sum(len(e.text) for e in rows())
    n_tokens = sum(len(e.text.split()) for e in rows())
    assert told["bits_per_byte"]["toy"] == pytest.approx(6 * n_tokens / n_bytes)  # 64 words
    assert told["premium"]["toy"] == 1
    assert told["fertility"]["toy"] == pytest.approx(n_tokens / n_bytes)


def test_what_is_missing_is_named(tiny_llama: Model) -> None:
    with pytest.raises(BadRows, match="translation in 'german'"):
        run(tiny_llama, rows(), parallel="german")
    with pytest.raises(BadOption, match="the rows have toy"):
        run(tiny_llama, rows(), languages="toy,fra")
    with pytest.raises(BadOption, match="no regular expression"):
        run(tiny_llama, rows(), about="(")


def test_a_packed_table_is_read_and_bad_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv.gz"
    path.write_bytes(gzip.compress(b"language\ttext\tenglish\ndeu\tja\tyes\nfra\n"))
    good, bad = read_examples(DataRef(path=str(path), label="language"))
    assert [e.fields["english"] for e in good] == ["yes"]
    assert bad == [BadRow(source="pairs.tsv.gz:3", reason="1 cells; the header has 3")]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot read"):
        read_examples(DataRef(path=str(path)))
