"""Texts, tables and task files that plugins are run on quickly."""

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from causal.planted.simulate import Design, plant
from tests.unit.causal.planted_tables import chain_and_collider, table_of
from workbench.methods.contracts import Example
from workbench.model.tiny import tiny_model

FAMILY = "llama"


@cache
def _home() -> TemporaryDirectory:
    return TemporaryDirectory(prefix="contract-")


def folder() -> Path:
    """Return a folder that lasts as long as the session."""
    return Path(_home().name)


@cache
def examples(n: int = 24) -> tuple[Example, ...]:
    """Return short texts of many lengths; two neighbours form a group, labels alternate."""
    model = tiny_model(FAMILY)
    generator = torch.Generator().manual_seed(7)
    rows = []
    for i in range(n):
        ids = torch.randint(4, 60, (6 + i % 7,), generator=generator).tolist()
        label, group = "first" if i % 4 < 2 else "second", f"g{i // 2}"
        text, source = model.decode(ids), f"rows.jsonl:{i}"
        rows.append(Example(text=text, label=label, group=group, source=source, number=i))
    return tuple(rows)


def rows_file() -> Path:
    """Return the file of those texts."""
    return written("rows.jsonl", [asdict(e) for e in examples()])


def concept_rows() -> Path:
    """Return a file of sentences in groups of two that differ in one word, the label."""
    rows = []
    for i in range(40):
        other = ("cat", "dog", "bird")[i % 3]
        for label in ("king", "queen"):
            text = f"the {label} saw the {other} and {('man', 'woman')[i % 2]}"
            rows.append({"text": text, "label": label, "other": other, "group": f"g{i}"})
    return written("concepts.jsonl", rows)


def digits() -> str:
    """Return a task that a random model gets right now and then: every answer is one digit."""
    words = ("cat", "dog", "bird", "king", "queen", "man")
    rows = [{"question": f"the {a} saw the {b}", "answer": "7"} for a in words for b in words[:4]]
    return f"questions:{written('digits.jsonl', rows)}"


def task_address(name: str) -> str:
    """Return the address of a task, with a file where it reads one."""
    if name == "questions":
        rows = [{"question": f"What is {i} plus 2?", "answer": str(i + 2)} for i in range(6)]
        return f"questions:{written('questions.jsonl', rows)}"
    if name == "harness":
        rows = [
            {"q": f"Is {i} even?", "options": ["Yes", "No"], "gold": i % 2, "id": str(i)}
            for i in range(6)
        ]
        data = written("harness.jsonl", rows)
        told = {"dataset_kwargs": {"data_files": data.name}, "doc_to_text": "q"}
        path = folder() / "harness.yaml"
        path.write_text(json.dumps(told | {"doc_to_choice": "options", "doc_to_target": "gold"}))
        return f"harness:{path}"
    if name == "cause-direction":
        rows = [{"var1": f"cause {i}", "var2": f"effect {i}", "ground_truth": "RL"[i % 2]}
                for i in range(6)]  # fmt: skip
        return f"cause-direction:{written('pairs.jsonl', rows)}"
    if name == "actual-causes":
        told = {"event": "the flood", "type": "switch", "necessary": "Yes", "sufficient": "No"}
        rows = [{"input": f"Story {i}.", "action": f"event {i}", **told} for i in range(6)]
        return f"actual-causes:{written('stories.jsonl', rows)}"
    if name == "calm":
        rows = [{"vertices": ["A", "B", "C"], "ar_edges": "A causes B, and B causes C",
                 "former": "ABC"[i % 3], "latter": "C", "gt_answer": int(i % 3 < 2), "index": i}
                for i in range(6)]  # fmt: skip
        return f"calm:{written('AR-B_CaLM-AR_EN.jsonl', rows)}"
    if name == "csqa":
        asked = "Which word is number {i}?\tA: one\tB: two\tC: three"
        rows = [
            {"question": asked.format(i=i), "steps": ["Count."], "answer": "ABC"[i % 3]}
            for i in range(6)
        ]
        path = folder() / "csqa.json"
        path.write_text(json.dumps(rows))
        return f"csqa:{path}"
    return name


def searched_table():
    """Return a chain and a collider in two domains whose means differ."""
    data = chain_and_collider("laplace", n=240)
    data[120:] += np.array([3.0, -3.0, 2.0, 0.0, 1.0])
    return table_of(data, ["north"] * 120 + ["south"] * 120)


def planted_table():
    """Return two domains that share a hierarchy of two capabilities."""
    rows = plant(Design(k=2, d=4, n=80, domains=2, noise="uniform"), np.random.default_rng(0)).rows
    return table_of(50 + 5 * rows.pooled, np.repeat(rows.names, rows.counts), list(rows.benchmarks))


def table_for(name: str):
    """Return the table that a discovery is run on."""
    return planted_table() if name == "hierarchical" else searched_table()


def written(name: str, rows) -> Path:
    path = folder() / name
    if not path.exists():
        path.write_text("\n".join(map(json.dumps, rows)))
    return path
