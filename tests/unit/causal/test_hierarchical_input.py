"""Tables and options that the hierarchical discovery cannot use are explained, odd ones fit."""

import numpy as np
import pytest

from causal.hierarchical import Hierarchical
from causal.planted.simulate import Design
from tests.unit.causal.planted_tables import QUICK, hierarchy_table
from workbench.errors import BadOption, TooLittleData, UnknownName, WorkbenchError
from workbench.methods.contracts import Context
from workbench.options import build
from workbench.result.tables import Table


def break_table(kind: str) -> Table:
    frame = hierarchy_table(Design(k=2, d=4, n=60, domains=2, noise="uniform")).frame
    first = frame["domain"] == "domain-1"
    if kind == "constant":
        frame.loc[first, ["score-1", "score-2", "score-3"]] = 1.0
    elif kind == "few":
        frame = frame[~first | (frame.index < 4)]
    elif kind == "text":
        frame = frame.astype({"score-1": object})
        frame["score-1"] = "high"
    elif kind == "missing":
        frame["score-2"] = np.nan
    elif kind == "unlabelled":
        frame["domain"] = ""
    return Table(frame)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("constant", "independent directions"),
        ("few", "fewer than 20 models: domain-1"),
        ("text", "no domain|independent|scores"),
        ("missing", "no row has all"),
        ("unlabelled", "no domain 'domain-1'"),
    ],
)
def test_broken_tables_are_explained(kind: str, expected: str) -> None:
    options = {**QUICK, "k": 2, "domains": ["domain-1", "domain-2"]}
    if kind in ("text", "missing"):
        options["benchmarks"] = ["score-1", "score-2", "score-3"]
    with pytest.raises(WorkbenchError, match=expected):
        build(Hierarchical, options).fit(break_table(kind), Context(resamples=10))


def test_unequal_groups_and_duplicated_columns_fit() -> None:
    frame = hierarchy_table(Design(k=2, d=4, n=200, domains=3, noise="uniform")).frame
    frame = frame.drop(frame.index[20:120])
    frame["copy"] = frame["score-1"]
    recipe = build(
        Hierarchical, {**QUICK, "k": 2, "least_models": 60, "least_domains": 3, "gate": 0.9}
    )
    found = recipe.fit(Table(frame), Context(resamples=10))
    assert sorted(found.tables["domains"].frame["rows"]) == [100, 200, 200]
    assert any(note.code == "duplicate-column" for note in found.notes)


def test_bad_options_are_explained() -> None:
    table = Hierarchical().read(None)
    with pytest.raises(TooLittleData, match="no domain has 5000 models"):
        build(Hierarchical, {"least_models": 5000}).fit(table, Context())
    with pytest.raises(UnknownName, match="no domain 'gpt-4'"):
        build(Hierarchical, {"domains": ["gpt-4"]}).fit(table, Context())
    with pytest.raises(BadOption, match="k = 3 capabilities need"):
        build(Hierarchical, {"benchmarks": ["BBH", "GPQA"]}).fit(table, Context())
    with pytest.raises(UnknownName, match="no column 'team'"):
        build(Hierarchical, {"domain_column": "team"}).read(None)
    with pytest.raises(BadOption, match="expected at most 4"):
        build(Hierarchical, {"k": 5})
