"""Tables from elsewhere at the command line: one set of flags, told cleaning, true exit codes."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest

from app.cli.main import cli
from workbench.methods.registry import plugins

ROOT = Path(__file__).resolve().parents[2]
TABLE_FLAGS = {
    *("--table", "--data", "--columns", "--benchmarks", "--model-column", "--domain-column"),
    *("--no-domains", "--group-tasks", "--drop", "--weakest", "--least-models"),
    *("--separator", "--decimal"),
}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def german_table(n: int = 300) -> pd.DataFrame:
    """Write a linear graph a → precision → c in German: decimal commas, grouped thousands."""
    noise = np.random.default_rng(3).laplace(size=(n, 4))
    values = noise.copy()
    values[:, 1] += 1.5 * values[:, 0]
    values[:, 2] += 1.5 * values[:, 1]
    frame = pd.DataFrame(1000 * values, columns=["Größe", "precision", "Tür zu", "type"])
    table = frame.map(lambda v: f"{v:,.2f}".translate(str.maketrans(",.", ".,")))
    table["Ort"] = ["Köln", "Bonn"] * (n // 2)
    table["fest"] = "3,0"
    table.loc[4, "type"] = "kaputt"
    return table


@pytest.fixture
def german(tmp_path: Path) -> str:
    path = tmp_path / "werte.csv"
    german_table().to_csv(path, sep=";", index=False, encoding="utf-8-sig")
    return str(path)


def command(*path: str) -> click.Command:
    found: click.Command = cli
    for name in path:
        assert isinstance(found, click.Group)
        child = found.get_command(click.Context(found), name)
        assert child is not None
        found = child
    return found


def flags(*path: str) -> set[str]:
    return {
        flag
        for param in command(*path).params
        for flag in (*param.opts, *param.secondary_opts)
        if flag.startswith("--")
    }


def readers() -> list[tuple[str, ...]]:
    names = [p.name for p in plugins("discovery") if p.name != "recovery"]
    return [("causal", "compare"), *(("causal", "fit", name) for name in names)]


def test_every_discovery_reads_tables_with_the_same_flags() -> None:
    assert len(readers()) >= 13
    assert {path: TABLE_FLAGS - flags(*path) for path in readers()} == {
        path: set() for path in readers()
    }
    assert "--no-no-domains" not in flags("causal", "fit", "pc")


def literals(path: Path) -> Iterator[str]:
    """Yield the strings of a file that a user may see: all but docstrings."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in docstrings:
            yield node.value


def test_messages_point_to_options_that_exist() -> None:
    """In the reader of tables to flags of every discovery, elsewhere to flags of some command."""
    group = command("causal")
    assert isinstance(group, click.Group)
    everywhere = set.intersection(*(flags(*path) for path in readers()))
    somewhere = set().union(
        *(flags("causal", k, p.name) for k, kind in KINDS.items() for p in plugins(kind)),
        *(flags("causal", name) for name in group.list_commands(click.Context(group))),
        *(flags("probe", "run", plugin.name) for plugin in plugins("probe")),
    )
    wrong = []
    sources = [*(ROOT / "causal").rglob("*.py"), ROOT / "app/cli/causal.py"]
    for path in (*sources, ROOT / "app/cli/run_graph.py"):
        known = everywhere if path.parent.name == "scores" else somewhere
        wrong += [
            f"{path.name}: {flag}"
            for text in literals(path)
            for flag in FLAG.findall(text)
            if flag not in known
        ]
    assert wrong == []


KINDS = {"fit": "discovery", "ask": "question", "refute": "refuter"}


def test_hints_name_options_as_they_are_typed() -> None:
    """A hint that says `least_models` cannot be typed."""
    names = {o.name for p in plugins("discovery") for o in p.options if "_" in o.name}
    wrong = [
        f"{path.name}: {text!r}"
        for path in (ROOT / "causal").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword) and node.arg == "hint"
        for text in (ast.unparse(node.value),)
        if any(re.search(rf"\b{name}\b(?!=)", re.sub(r"\{[^}]*\}", "", text)) for name in names)
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ["pc", "direct-lingam"])
def test_a_table_in_german_is_fitted_and_its_cleaning_told(invoke, german: str, name: str) -> None:
    done = invoke("causal", "fit", name, "--data", german, "--resamples", "0", "--json")
    found = json.loads(done.stdout)
    assert found["status"] == "complete"
    pairs = {frozenset((e["cause"], e["effect"])) for e in found["tables"]["edges"]}
    assert pairs == {frozenset(("Größe", "precision")), frozenset(("precision", "Tür zu"))}
    told = "\n".join(note["text"] for note in found["notes"])
    assert "299 of 300 rows kept" in told
    assert "first 'kaputt' in werte.csv:6" in told
    assert "constant columns carry no information: fest" in told
    ort = {"pc": "numbered in alphabetical order: 'Ort': Bonn, Köln"}
    assert ort.get(name, "'Ort' (text, first 'Köln' in werte.csv:2)") in told
    assert "the comma is the decimal sign" in told
    assert "0 of them" not in found["summary"]
    assert found["graph"]["facts"]["cleaning"]["rows_kept"] == 299


def test_what_cannot_be_fitted_fails_and_says_why(invoke, tmp_path: Path) -> None:
    path = tmp_path / "still.csv"
    path.write_text("a,b,c\n" + "".join(f"{i % 7 + 0.5},2,3\n" for i in range(40)))
    done = invoke("causal", "fit", "pc", "--data", str(path), "--resamples", "0", code=1)
    assert "constant columns carry no information: b, c" in done.output
    plain = tmp_path / "plain.csv"
    german_table(60).to_csv(plain, sep=";", index=False)
    done = invoke("causal", "fit", "cd-nod", "--data", str(plain), "--json", code=1)
    found = json.loads(done.stdout)
    assert found["status"] == "failed"
    assert "one domain" in found["failure"]["message"]
    assert any("constant columns" in note["text"] for note in found["notes"])


def test_a_table_given_to_planted_graphs_is_refused(invoke, german: str) -> None:
    done = invoke("causal", "simulate", "--table", german, "--seeds", "2", code=2)
    assert "reads no table" in done.output


@pytest.mark.slow
def test_all_discoveries_run_on_a_table_from_elsewhere(invoke, german: str) -> None:
    for path in readers():
        quick = ["--resamples", "5", "--no-variants", "--null-draws", "5", "--order-draws", "5"]
        more = quick if path[-1] == "hierarchical" else ["--resamples", "0"]
        code = {"cd-nod": 1, "compare": 1, "side-by-side": 1}.get(path[-1], 0)
        done = invoke(*path, "--data", german, *more, "--json", code=code)
        found = json.loads(done.stdout)
        status = {"cd-nod": "failed", "compare": "partial", "side-by-side": "partial"}
        assert found["status"] == status.get(path[-1], "complete"), path
        assert any("299 of 300 rows kept" in note["text"] for note in found["notes"]), path
        for edge in found["tables"].get("edges", []):
            if edge.get("low") is not None:
                assert edge["low"] <= edge["weight"] <= edge["high"]
