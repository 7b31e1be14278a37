"""Probes, reasoners and recipes from the command line, on an accelerator in three formats."""

import json
import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from app.cli.main import cli
from workbench.methods.registry import plugins

pytestmark = pytest.mark.gpu

# Without an accelerator the commands run on the processor: then this file tests itself.
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = ("float32", "bfloat16", "float16")
TEXTS = "--text=the cat sat . it was so .", "--text=the red dog ran to paris and saw the king ."
PLACES = ("it", "he", "paris", "the man", "is", "and")
LABELLED = "--data={rows}", "--label=label", "--group=group"
TINY = ("--model=tiny:llama",)
BLOCKS = "--model=blocksworld-sentences", "--task=blocksworld?blocks=4&brief=yes", "--limit=4"
STACKS = "A on table, B on D, C on table, D on C; goal A on D, B on C, C on table, D on table"
SUMS = "--model=hybrid-sums", "--task=sums?largest=30", "--limit=4"
FEW = "--format-steps=4", "--steps=2", "--judged=8", "--problems=32", "--prompts=4"
CODEC = "--tasks=prosqa?classes=6&hops=2", "--preset=tiny", "--steps=2"

PROBES: dict[str, tuple[str, ...]] = {
    "attention-pattern": (*TINY, *TEXTS),
    "critical-tokens": (*TINY, "--draws=8", "--samples=4", "--new-tokens=6", "--limit=2"),
    "early-exit": (*TINY, *TEXTS),
    "ffn-saturation": (*TINY, *TEXTS),
    "smoothness": (*TINY, *TEXTS),
    "decoders": (*TINY, *TEXTS, "--new-tokens=4"),
    "hybrid-trace": (*TINY, *TEXTS, "--untrained", "--tokens=8"),
    "isotropy": (*TINY, *TEXTS),
    "linear": (*TINY, *LABELLED),
    "logit-lens": (*TINY, *TEXTS),
    "mean-difference": (*TINY, *LABELLED),
    "sentence-lens": (BLOCKS[0], f"--text={STACKS}", "--limit=5"),
    "token-trace": (*TINY, *TEXTS[:1]),
}
REASONERS: dict[str, tuple[str, ...]] = {
    "cot": BLOCKS,
    "no-cot": BLOCKS,
    "sentence-continuous": BLOCKS,
    "sentence-discretized": BLOCKS,
    "hrpo": (*SUMS, "--tokens=12"),
    "soft-thinking": (*SUMS, "--tokens=12"),
    "moi": (*SUMS, "--tokens=12"),
    "hidden-feedback": (*SUMS, "--tokens=12"),
}
RECIPES: dict[str, tuple[str, ...]] = {
    "tuned-lens": (*TINY, *TEXTS, "--preset=tiny", "--steps=4", "--start-tokens=20"),
    "sentence-codec": (*TINY, *CODEC),
    "sentence-chain": ("--preset=tiny",),
    "coconut": ("--preset=tiny",),
    "hybrid": ("--preset=tiny", "--arms=grpo,hrpo", "--seeds=1", *FEW),
}
# They need weights of a recipe, data of their own, or a model that sometimes answers right; a test
# of its own runs the tuned lens, the others are not run on an accelerator.
LEFT_OUT = {
    "probe": {
        "tuned-lens",
        "contrastive-estimate",
        "sentence-words",
        "concept-effect",
        "concept-erasure",
        "deconfounded-reward",
        "dictionary",
        "dictionary-feature",
        "direct-attribution",
        "patching",
        "steering",
    },
    "reasoner": {"coconut"},
    "recipe": {"contrastive-estimate", "cdpo", "sentence-words", "dictionary"},
}


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run a command on the device with a store of its own and return what it printed."""
    rows = [
        {"text": f"the {word} ran to {place} .", "label": str(i % 2), "group": str(i)}
        for i, (word, place) in enumerate(product(("red", "cat", "dog", "king"), PLACES))
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    fixed = [f"--store={tmp_path / 'store'}", f"--device={DEVICE}", "--resamples=20", "--json"]

    def run(*words: str) -> dict[str, Any]:
        given = [word.format(rows=tmp_path / "rows.jsonl") for word in words]
        done = CliRunner().invoke(cli, [*given, *fixed], prog_name="workbench")
        assert done.exit_code == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        assert found["status"] == "complete"
        return found

    return run


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(PROBES))
def test_a_probe_runs(ask: Callable[..., dict[str, Any]], name: str, dtype: str) -> None:
    found = ask("probe", "run", name, *PROBES[name], f"--dtype={dtype}")
    values = [one["value"] for one in found["estimates"] if one["value"] is not None]
    assert all(map(math.isfinite, values))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(REASONERS))
def test_a_reasoner_runs(ask: Callable[..., dict[str, Any]], name: str, dtype: str) -> None:
    found = ask("reason", "run", name, *REASONERS[name], f"--dtype={dtype}")
    assert len(found["tables"]["problems"]) == 4


@pytest.mark.parametrize("dtype", DTYPES[:2])
@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_trains(ask: Callable[..., dict[str, Any]], name: str, dtype: str) -> None:
    found = ask("train", name, *RECIPES[name], f"--dtype={dtype}")
    assert found["estimates"]


def test_trained_maps_are_read(ask: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    made = ask("train", "tuned-lens", *RECIPES["tuned-lens"])
    folder = tmp_path / "store" / "checkpoints" / made["run_id"]
    found = ask("probe", "run", "tuned-lens", *TINY, *TEXTS, f"--checkpoint={folder}")
    assert found["tables"]["layers"]


def test_every_other_plugin_is_named_here() -> None:
    for kind, named in (("probe", PROBES), ("reasoner", REASONERS), ("recipe", RECIPES)):
        known = {p.name for p in plugins(kind) if p.recipe.__module__.split(".")[0] != "tests"}
        assert known - set(named) == LEFT_OUT[kind], kind
