"""GGUF files: same numbers as the weights they hold, converted once, damage noticed."""

import errno
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.model.conftest import write_gguf
from workbench.errors import BadOption, EnvironmentProblem, ModelError, ModelNotFound, Unsupported
from workbench.model import gguf_cache
from workbench.model.gguf_cache import conversions, convert
from workbench.model.hashing import file_hash
from workbench.model.loading import load_model
from workbench.model.tokens import pad

Made = tuple[Path, nn.Module]


def _convert(path: Path) -> Path:
    return convert(path, file_hash=file_hash(path))


def test_logits_equal_those_of_the_weights_in_the_file(llama_gguf: Made, empty_cache: Path) -> None:
    path, source = llama_gguf
    model = load_model(str(path), device="cpu")
    batch = model.tokenize(["abc 12", "de"])
    found = model.run(batch, logits="all").logits
    assert found is not None
    with torch.no_grad():
        expected = source(
            input_ids=batch.ids,
            attention_mask=batch.mask.long(),
            position_ids=batch.position_ids,
        ).logits
    assert torch.equal(found[batch.mask], expected[batch.mask])


@pytest.mark.parametrize("more", [-1, 1])
def test_tokens_and_embedding_may_differ_in_number(
    tmp_path: Path, empty_cache: Path, more: int
) -> None:
    path, source = write_gguf(tmp_path, more_tokens=more)
    model = load_model(str(path), device="cpu")
    rows = source.config.vocab_size  # type: ignore[union-attr]
    assert model.spec.d_vocab == rows
    found = model.run("abc 12", logits="all").logits
    with torch.no_grad():
        expected = source(model.tokenize("abc 12").ids).logits
    assert found is not None
    assert torch.equal(found, expected)
    last = model.tokenizer.convert_ids_to_tokens(rows)
    for run in (model.run, model.generate):
        with pytest.raises(BadOption, match=f"0 to {rows - 1}.*{rows} .*{last}"):
            run(pad([[5, rows]]))


def test_nothing_of_the_quantisation_is_left(llama_gguf: Made, empty_cache: Path) -> None:
    folder = _convert(llama_gguf[0])
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["architectures"] == ["LlamaForCausalLM"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a\n\n1", ["a", "ĊĊ", "1"]),
        ("a  1", ["a", "ĠĠ", "1"]),
        ("12", ["1", "2"]),
    ],
)
def test_digits_are_split_before_blanks_are_joined(
    llama_gguf: Made, empty_cache: Path, text: str, pieces: list[str]
) -> None:
    tokenizer = load_model(str(llama_gguf[0]), device="cpu").tokenizer
    assert tokenizer.tokenize(text) == pieces
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_second_conversion_reads_the_first(llama_gguf: Made, empty_cache: Path) -> None:
    folder = _convert(llama_gguf[0])
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert _convert(llama_gguf[0]) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert [kept.source for kept in conversions()] == [str(llama_gguf[0])]


def _flip_a_bit(folder: Path) -> None:
    path = folder / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1000] ^= 1
    path.write_bytes(raw)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a flipped bit": _flip_a_bit,
    "a truncated file": lambda f: (f / "model.safetensors").write_bytes(b"\0" * 100),
    "a missing file": lambda f: (f / "tokenizer.json").unlink(),
    "an unreadable manifest": lambda f: (f / "converted.json").write_text("{"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_conversion_is_named_and_built_again(
    llama_gguf: Made, empty_cache: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _convert(llama_gguf[0])
    whole = (folder / "model.safetensors").read_bytes()
    DAMAGE[how](folder)
    model = load_model(str(llama_gguf[0]), device="cpu")
    assert str(folder) in caplog.text
    assert "damaged" in caplog.text
    assert (folder / "model.safetensors").read_bytes() == whole
    assert model.spec.n_layers == 3


def test_a_full_disk_is_explained_and_leaves_nothing_behind(
    llama_gguf: Made, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gguf_cache, "_seal", full)
    with pytest.raises(EnvironmentProblem, match="No space left") as caught:
        _convert(llama_gguf[0])
    assert "WORKBENCH_CACHE" in caught.value.hint
    assert [p for p in (empty_cache / "models").iterdir() if p.is_dir()] == []
    monkeypatch.undo()


def test_too_little_room_is_seen_before_the_work_begins(
    llama_gguf: Made, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(gguf_cache.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(EnvironmentProblem, match="MiB are free"):
        _convert(llama_gguf[0])


def test_ctrl_c_in_the_middle_leaves_nothing_half_written(
    llama_gguf: Made, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gguf_cache, "_seal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _convert(llama_gguf[0])
    assert [p for p in (empty_cache / "models").iterdir() if p.is_dir()] == []


def test_progress_reaches_the_end(llama_gguf: Made, empty_cache: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    convert(
        llama_gguf[0],
        file_hash=file_hash(llama_gguf[0]),
        progress=lambda done, total, label: seen.append((done, total, label)),
    )
    labels = dict.fromkeys(label for _, _, label in seen)
    assert len(labels) == 2
    for label in labels:
        assert max(done / total for done, total, named in seen if named == label) == 1


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all" * 10])
def test_what_is_not_a_gguf_file_is_refused(
    tmp_path: Path, empty_cache: Path, content: bytes
) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.gguf is not a whole GGUF file"):
        load_model(str(path))


def test_a_truncated_gguf_file_is_refused(llama_gguf: Made, empty_cache: Path) -> None:
    path = llama_gguf[0]
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ModelError, match="not a whole GGUF file"):
        load_model(str(path))


def test_a_gguf_of_another_architecture_is_refused(tmp_path: Path, empty_cache: Path) -> None:
    import gguf

    path = tmp_path / "bert.gguf"
    writer = gguf.GGUFWriter(path, "nomic-bert")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(Unsupported, match=r"bert\.gguf"):
        load_model(str(path))


def test_a_missing_gguf_file_suggests_its_neighbour(llama_gguf: Made) -> None:
    wrong = llama_gguf[0].with_name("tiny-lama.gguf")
    with pytest.raises(ModelNotFound) as caught:
        load_model(str(wrong))
    assert caught.value.hint == str(llama_gguf[0])


@pytest.mark.slow
def test_two_processes_convert_once(llama_gguf: Made, empty_cache: Path) -> None:
    path = llama_gguf[0]
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        folders = pool.starmap(_convert_elsewhere, [(str(path), str(empty_cache))] * 2)
    assert folders[0][0] == folders[1][0]
    assert sorted(wrote for _, wrote in folders) == [False, True]


def _convert_elsewhere(path: str, cache: str) -> tuple[str, bool]:
    import os

    os.environ["WORKBENCH_CACHE"] = cache
    seen: list[str] = []
    folder = convert(
        Path(path),
        file_hash=file_hash(Path(path)),
        progress=lambda done, total, label: seen.append(label),
    )
    return str(folder), bool(seen)
