"""Fingerprints: equal for equal content, changed by any change."""

import hashlib
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from workbench.model.hashing import file_hash, quick_digest, tensors_hash, weights_hash


def test_file_hash_is_sha256_and_follows_changes(tmp_path: Path, empty_cache: Path) -> None:
    path = tmp_path / "weights"
    for content in (b"one", b"two", b""):
        path.write_bytes(content)
        os.utime(path, ns=(0, len(content) + content[:1].count(b"t")))
        assert file_hash(path) == hashlib.sha256(content).hexdigest()


def test_a_damaged_memory_is_ignored(tmp_path: Path, empty_cache: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    expected = file_hash(path)
    for kept in (empty_cache / "hashes").iterdir():
        kept.write_text("[1")
    assert file_hash(path) == expected


def test_a_hash_is_given_even_where_nothing_can_be_kept(tmp_path: Path, empty_cache: Path) -> None:
    empty_cache.write_text("a file where the folder should be")
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert file_hash(path) == hashlib.sha256(b"one").hexdigest()


def test_several_files_hash_by_name_not_order(tmp_path: Path, empty_cache: Path) -> None:
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_bytes(path.name.encode())
    assert weights_hash(paths) == weights_hash(reversed(paths))
    assert weights_hash(paths[:1]) == file_hash(paths[0])


@pytest.mark.parametrize("size", [0, 1, 7, 8, 1 << 20, (1 << 20) + 13, (3 << 20) + 5])
def test_quick_digest_sees_any_flipped_bit(
    tmp_path: Path, size: int, generator: torch.Generator
) -> None:
    path = tmp_path / "weights"
    content = bytearray(torch.randint(256, (size,), generator=generator).byte().numpy().tobytes())
    path.write_bytes(content)
    whole = quick_digest(path)
    assert quick_digest(path) == whole
    for position in {0, size // 2, size - 1} if size else ():
        content[position] ^= 4
        path.write_bytes(content)
        assert quick_digest(path) != whole
        content[position] ^= 4
    path.write_bytes(bytes(content) + b"\0")
    assert quick_digest(path) != whole


def test_tensors_hash_sees_names_types_shapes_and_values() -> None:
    def module(weight: torch.Tensor, name: str = "w") -> nn.Module:
        made = nn.Module()
        made.register_buffer(name, weight)
        return made

    base = torch.arange(4.0)
    variants = [
        module(base),
        module(base, "v"),
        module(base.double()),
        module(base.reshape(2, 2)),
        module(base + 1e-6),
    ]
    assert len({tensors_hash(m) for m in variants}) == len(variants)
    assert tensors_hash(module(base)) == tensors_hash(module(base.clone()))
