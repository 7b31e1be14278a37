"""Files of activations: read in any chunks, refused with a reason."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from workbench.errors import DataError, NotFinite
from workbench.model.spec import ARRAY
from workbench.runs.activation_file import ROW_BLOCKS, open_activations


def write(folder: Path, **tensors: Tensor) -> Path:
    path = folder / "cloud.safetensors"
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("chunk_rows", [1, 7, 64, 1000])
def test_rows_come_back_in_order(tmp_path: Path, dtype: torch.dtype, chunk_rows: int) -> None:
    x = torch.arange(300, dtype=torch.float32).reshape(100, 3).to(dtype)
    text = torch.repeat_interleave(torch.arange(5), torch.tensor([1, 40, 9, 49, 1]))
    source = open_activations(write(tmp_path, x=x, text=text.to(torch.int16)))
    assert (source.n, source.d_model, source.spec.architecture) == (100, 3, ARRAY)
    rows, texts, places = [], [], []
    for trace, examples in source.batches(chunk_rows=chunk_rows):
        assert len(examples) == len(trace.tokens.ids)
        assert trace.tokens.ids.numel() <= 2 * min(chunk_rows, 100)
        for i, example in enumerate(examples):
            part = trace.row(i, "resid_post.0")
            rows.append(part)
            texts += [int(example.group)] * len(part)
            places += list(range(example.fields["row"], example.fields["row"] + len(part)))
    assert torch.equal(torch.cat(rows), x)
    assert texts == text.tolist()
    assert places == list(range(100))


def test_rows_without_texts_are_blocks_of_one_text(tmp_path: Path) -> None:
    source = open_activations(write(tmp_path, x=torch.randn(1000, 2)))
    seen = [e for _, examples in source.batches(chunk_rows=100) for e in examples]
    assert len({(e.source, e.group, e.text) for e in seen}) == 1
    units = [e.fields["unit"] for e in seen]
    assert units == sorted(units)
    assert len(set(units)) == -(-1000 // -(-1000 // ROW_BLOCKS))


def test_progress_reaches_the_last_row(tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    source = open_activations(write(tmp_path, x=torch.randn(50, 2)))
    list(source.batches(lambda *call: calls.append(call), chunk_rows=20))
    assert calls == [(0, 50, "rows"), (20, 50, "rows"), (40, 50, "rows"), (50, 50, "rows")]


def test_first_bad_row_is_named(tmp_path: Path) -> None:
    x = torch.randn(60, 4)
    x[41, 2] = float("nan")
    x[50, 0] = float("inf")
    source = open_activations(write(tmp_path, x=x))
    with pytest.raises(NotFinite, match=r"x\[41, 2\] is nan"):
        list(source.batches(chunk_rows=25))


@pytest.mark.parametrize("chunk_rows", [3, 5, 100])
def test_a_text_that_comes_back_is_refused(tmp_path: Path, chunk_rows: int) -> None:
    text = torch.tensor([4] * 5 + [9] * 5 + [4] * 2)
    source = open_activations(write(tmp_path, x=torch.randn(12, 2), text=text))
    with pytest.raises(DataError, match="text 4 comes back at row 10"):
        list(source.batches(chunk_rows=chunk_rows))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"y": torch.ones(2, 2)}, "no tensor `x`, only y"),
        ({"x": torch.ones(4)}, r"`x` has shape \[4\]"),
        ({"x": torch.ones(0, 3)}, r"`x` has shape \[0, 3\]"),
        ({"x": torch.ones(4, 3, dtype=torch.int32)}, "`x` holds I32"),
        ({"x": torch.ones(4, 3), "text": torch.ones(3).long()}, r"`text` has shape \[3\]"),
        ({"x": torch.ones(4, 3), "text": torch.ones(4)}, "`text` holds F32, not integers"),
        (
            {"x": torch.ones(4, dtype=torch.int32), "text": torch.ones(4)},
            r"`x` has shape \[4\]; `x` holds I32.*; `text` holds F32",
        ),
    ],
)
def test_wrong_tensors_are_all_named(
    tmp_path: Path, tensors: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        open_activations(write(tmp_path, **tensors))


def test_files_that_are_not_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.safetensors"
    path.write_text("not a tensor in sight")
    with pytest.raises(DataError, match="not a readable safetensors file"):
        open_activations(path)
    with pytest.raises(DataError, match="not a readable safetensors file"):
        open_activations(tmp_path / "missing.safetensors")


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, x=torch.randn(100, 8))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="not a readable safetensors file"):
        open_activations(path)


def test_text_ids_may_be_any_integers(tmp_path: Path) -> None:
    text = torch.tensor([-7, -7, 2**40, 0])
    source = open_activations(write(tmp_path, x=torch.randn(4, 2), text=text))
    groups = [e.group for _, examples in source.batches() for e in examples]
    assert groups == ["-7", str(2**40), "0"]
