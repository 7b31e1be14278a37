"""The prompts that ship with the package are what their description says."""

import json
from collections import Counter
from pathlib import Path

import workbench

FOLDER = Path(workbench.__file__).parent / "data"


def test_shipped_prompts_are_varied_and_carry_their_licence() -> None:
    lines = (FOLDER / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 64
    assert all(set(row) == {"id", "text", "kind", "source"} for row in rows)
    assert len({row["id"] for row in rows}) == len({row["text"] for row in rows}) == 64
    assert all(26 <= len(row["text"].split()) <= 63 for row in rows)
    kinds = Counter(row["kind"] for row in rows)
    assert kinds["question"] == 32
    assert len(kinds) == 11
    assert Counter(row["kind"] == "question" for row in rows[:8])[True] == 4
    licence = (FOLDER / "LICENSE-gsm8k.txt").read_text(encoding="utf-8")
    assert "MIT License" in licence
    assert all("MIT" in row["source"] for row in rows if row["kind"] == "question")
