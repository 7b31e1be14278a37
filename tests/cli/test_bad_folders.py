"""Model folders, names and spec files with anything in them: told with a hint, never a crash."""

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Invoke, is_told
from workbench.model.tiny import tiny_module
from workbench.model.tiny_tokenizer import tiny_tokenizer


def _saved(folder: Path) -> Path:
    module: Any = tiny_module("llama")
    module.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


CONFIGS: dict[str, tuple[object, ...]] = {
    "num_hidden_layers": ("x", None, -1, 10**9),
    "hidden_size": (0, "x", [1]),
    "num_attention_heads": (0, 5),
    "vocab_size": ("x", 0),
    "model_type": (3, [], {}),
    "architectures": ([3], {"a": 1}),
    "rope_parameters": (3, {"rope_type": "x"}),
    "quantization_config": ({}, {"quant_method": "x"}),
    "hidden_act": (3, "x"),
    "dtype": ("x", 3),
}


FILES = {
    "config.json": (b"", b"[]", b"3", b"\xff\xfe\x00", b"[" * 50_000),
    "tokenizer.json": (b"", b"[]", b"{", b"\xff", b'{"model":{}}'),
    "tokenizer_config.json": (b"[]", b"{", b'{"tokenizer_class": 3}', b'{"model_max_length": "x"}'),
    "model.safetensors": (b"", b"x" * 40, b"\xff" * 16),
    "model.safetensors.index.json": (b"3", b'{"weight_map": {"a": 3}}', b"[" * 50_000),
    "adapter_config.json": (b"{}",),
    "adapter_model.safetensors": (b"", b"x" * 40),
    "adapter_model.bin": (b"pickle",),
}


def test_model_folders_with_broken_settings(invoke: Invoke, tmp_path: Path) -> None:
    folder = _saved(tmp_path / "m")
    config = folder / "config.json"
    good = json.loads(config.read_text())
    for key, values in CONFIGS.items():
        for value in values:
            config.write_text(json.dumps({**good, key: value}))
            done = invoke("models", "show", str(folder), code=None)
            if done.exit_code == 0:  # transformers puts its own default in its place
                assert "unexpected" not in done.output, (key, value, done.output)
            else:
                is_told(done, (key, value))


def test_model_folders_with_broken_files(invoke: Invoke, tmp_path: Path) -> None:
    for name, contents in FILES.items():
        for i, content in enumerate(contents):
            folder = _saved(tmp_path / f"{name}-{i}")
            (folder / name).write_bytes(content)
            is_told(invoke("models", "show", str(folder), code=None), (name, content[:20]))


def test_names_of_models_that_are_none(invoke: Invoke) -> None:
    for name in ("~nobody-here/m", "tiny:llama:" + "9" * 40, "tiny:llama:²", "tiny:", "/dev/null"):
        is_told(invoke("models", "show", name, code=None), name)


SPECS = (
    "options = 3", "options = []", "pins = 3", "kind = 'x'", "kind = 3", "seed = 1.5",
    "seed = 99999999999999999999", "resamples = 99999999999", "model = 3", "model = []",
    "data = 'x'", "[pins]\na = 3", "[model]\nsha256 = 3", "[data]\ntexts = [1]",
    "[options]\nlayers = 1e400", "[options]\nlayers = nan", "[options]\nlayers = [[1]]",
    "[options]\nlayers = 2020-01-01", "[options.layers]\na = 1",
)  # fmt: skip


def test_specs_with_wrong_types(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    for spec in SPECS:
        path.write_text(f"name = 'isotropy'\n{spec}\n")
        done = invoke("probe", "run", "--spec", str(path), code=2)
        assert "unexpected" not in done.output, (spec, done.output)
    for value in ("1e400", "nan", "-inf", "'x'", "2020-01-01"):
        path.write_text(f"name = 'token-trace'\n[options]\nlongest = {value}\n")
        done = invoke("probe", "run", "--spec", str(path), code=2)
        assert "longest" in done.stderr, (value, done.output)
