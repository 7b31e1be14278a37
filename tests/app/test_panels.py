"""The parts of the pages that need no page: words, forms, files, costs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from app.look import server_flags
from app.panels.reproduce import as_command, as_python
from app.panels.table_panel import as_csv, as_json, as_parquet, shown_frame
from app.panels.wording import page_words, plain_html, plain_markdown, verdict_html
from workbench.options import option, split_list
from workbench.result.tables import Column, Table
from workbench.runs.spec import DataRef, ModelRef, RunSpec


def test_markdown_of_foreign_text_is_inert() -> None:
    hostile = "[a](javascript:x) ![i](http://e) $x$ **b** `c` <i> :red[d] # h\n- l"
    plain = plain_markdown(hostile)
    for mark in "[]()$*`<>#!":
        assert plain.count(mark) == plain.count(f"\\{mark}")
    assert "\n" not in plain
    assert plain_html("<b>&\x1b") == "&lt;b&gt;&amp;␛"


def test_only_the_first_clause_of_a_verdict_is_bold():
    found = verdict_html("Heads look <back>: to_first 0.4; most head 1.", "1rem")
    bold = "<strong>Heads look &lt;back&gt;:</strong> to_first 0.4; most head 1.</p>"
    assert found == f'<p style="font-size:1rem">{bold}'
    assert "<strong>Nothing was found.</strong></p>" in verdict_html("Nothing was found.", "1rem")
    found = verdict_html("No order (scores: a = b): 3 of 6 explain it", "1rem")
    assert "<strong>No order (scores: a = b):</strong> 3 of 6" in found


def test_advice_is_in_the_words_of_the_page() -> None:
    said = page_words("give --text or --data, raise --max-tokens; see `workbench reason tasks`")
    assert "--" not in said
    assert "workbench" not in said
    assert "“Longest text (tokens)”" in said
    assert page_words("a -- b, x--y and -1") == "a -- b, x--y and -1"


def test_downloads_hold_every_number(tmp_path: Path) -> None:
    table = Table.from_rows([{"a": 0.1 + 0.2, "t": " x<b>"}, {"a": None, "t": "y"}])
    path = tmp_path / "t.parquet"
    path.write_bytes(as_parquet(table))
    assert pq.read_table(path).to_pydict()["a"][0] == 0.1 + 0.2
    assert json.loads(as_json(table)) == table.rows()
    assert pd.read_csv(pd.io.common.BytesIO(as_csv(table)))["a"][0] == 0.1 + 0.2


def test_columns_are_written_with_the_digits_their_interval_allows() -> None:
    table = Table.from_rows(
        [{"x": 0.123456, "lo": 0.1, "hi": 0.15, "w": "a\tb "}],
        {"x": Column(unit="nats", low="lo", high="hi")},
    )
    frame, config = shown_frame(table)
    assert config["x"]["type_config"]["format"] == "%.3f"
    assert config["lo"]["type_config"]["format"] == "%.3f"
    assert config["x"]["label"] == "x (nats)"
    assert frame["w"][0] == "a⇥b·"


def test_lists_of_addresses_split_outside_brackets_only() -> None:
    assert split_list("q.3[0,-1], resid_post.2") == ["q.3[0,-1]", " resid_post.2"]


@dataclass(frozen=True, kw_only=True)
class Every:
    """Hold an option of every type."""

    number: int = option(3, help="n", low=1, high=9)
    share: float = option(0.5, help="s", low=0, high=1, unit="nats")
    word: str = option("a", help="w")
    choice: Literal["x", "y"] = option("y", help="c")
    on: bool = option(True, help="o")
    maybe: int | None = option(None, help="m")
    several: tuple[str, ...] = option(("p", "q"), help="v")
    some: tuple[Literal["u", "v"], ...] = option(("u",), help="z")


def test_every_type_of_option_becomes_a_widget_with_its_default() -> None:
    def page() -> None:
        import streamlit as st

        from app.panels.forms import option_form

        st.session_state["values"] = option_form(st.session_state["options"], key="k")

    from workbench.options import build, describe

    at = AppTest.from_function(page)
    at.session_state["options"] = describe(Every)
    at.run()
    assert not at.exception
    assert build(Every, at.session_state["values"]) == Every()
    at.number_input(key="k option number").set_value(7)
    at.multiselect(key="k option some").set_value(["u", "v"])
    at.text_input(key="k option several").set_value("r")
    at.run()
    values = build(Every, at.session_state["values"])
    assert (values.number, values.some, values.several) == (7, ("u", "v"), ("r",))


def test_commands_quote_what_a_shell_would_read() -> None:
    spec = RunSpec(name="token-trace", data=DataRef(texts=("it's $HOME `x`\n-- ",)))
    assert as_command(spec) == "workbench probe run token-trace --text 'it'\"'\"'s $HOME `x`\n-- '"
    odd = RunSpec(name="token-trace", model=ModelRef(trust_remote_code=True))
    assert "--spec run.toml" in as_command(odd)
    assert "trust_remote_code=True" in as_python(odd)


def test_the_server_listens_to_this_machine_only_and_tells_nobody() -> None:
    flags = server_flags(server__port="9")
    pairs = dict(zip(flags[::2], flags[1::2], strict=True))
    assert pairs["--server.address"] == "127.0.0.1"
    assert pairs["--browser.gatherUsageStats"] == "false"
    assert pairs["--server.port"] == "9"


@pytest.mark.parametrize("name", ["x.exe", "x"])
def test_uploads_that_cannot_be_read_are_refused(name: str, store_path: Path) -> None:
    from app.panels.data_form import keep_upload
    from workbench.errors import DataError

    with pytest.raises(DataError, match="expected one of"):
        keep_upload(name, b"a")
    kept = keep_upload("texts.txt", b"a cat\n")
    assert kept.read_bytes() == b"a cat\n"
    assert keep_upload("other.txt", b"a cat\n") == kept
