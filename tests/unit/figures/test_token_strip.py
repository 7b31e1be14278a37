"""A strip shows every character, holds no foreign markup and says exact values."""

from html.parser import HTMLParser

import pytest

from workbench.errors import UnknownName
from workbench.figures.glyphs import figure_text, visible
from workbench.figures.token_strip import is_special, strip_html, strip_page, strip_style
from workbench.result.tables import Table
from workbench.result.views import TokenStrip

VIEW = TokenStrip("t", "tokens", token="token", color="norm")


class Reader(HTMLParser):
    """Collects the tokens as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tokens: list[str] = []
        self.spans: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        self.attributes |= set(found)
        if "wb-t" in (found.get("class") or "").split():
            self.spans.append(found)
        if tag == "bdi":
            self._inside = True
            self.tokens.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "bdi":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.tokens[-1] += data


def test_every_token_is_shown_as_text_and_nothing_else(tokens: Table) -> None:
    page = Reader(strip_html(tokens, VIEW))
    assert page.tokens == [visible(t) for t in tokens["token"]]
    assert page.tags <= {"div", "span", "bdi", "b", "i", "wbr", "br"}
    assert page.attributes <= {
        "class", "data-i", "data-group", "title", "style", "tabindex", "role", "aria-label",
        "aria-live",
    }  # fmt: skip


def test_blanks_line_ends_and_controls_show() -> None:
    assert visible(" a\n\t\x1b\x00") == "·a↵⇥␛␀"
    assert visible("\u202e\u200b\u2066") == "⟨RLO⟩⟨ZWSP⟩⟨LRI⟩"
    assert visible("\u0085\ud800") == "⟨U+0085⟩⟨U+D800⟩"
    assert figure_text("<b>&") == "&lt;b&gt;&amp;"
    assert figure_text("abcdef", limit=4) == "abc…"


def test_special_tokens_are_marked(tokens: Table) -> None:
    spans = Reader(strip_html(tokens, VIEW)).spans
    marked = [i for i, s in enumerate(spans) if "wb-sp" in (s["class"] or "").split()]
    assert marked == [0]
    assert is_special("</s>")
    assert not is_special("<b>")
    told = Table(tokens.frame.assign(special=[i == 3 for i in range(len(tokens))]))
    spans = Reader(strip_html(told, VIEW)).spans
    assert [i for i, s in enumerate(spans) if "wb-sp" in (s["class"] or "").split()] == [3]


def test_hover_says_exact_values_and_unit(tokens: Table) -> None:
    spans = Reader(strip_html(tokens, VIEW)).spans
    assert "norm 1234.57 activation units" in (spans[0]["title"] or "")


def test_one_huge_value_does_not_take_the_whole_scale(tokens: Table) -> None:
    html = strip_html(tokens, VIEW)
    assert "≥ 25" in html
    classes = {(s["class"] or "").split()[1] for s in Reader(html).spans}
    assert len(classes) > 10


def test_values_on_both_sides_of_zero_get_the_diverging_scale(tokens: Table) -> None:
    html = strip_html(tokens, TokenStrip("t", "x", token="token", color="gain"))
    classes = [(s["class"] or "").split()[1] for s in Reader(html).spans]
    assert all(c.startswith("wb-d") for c in classes)
    assert ".wb-d0{" in strip_style()


def test_groups_rows_and_flags(tokens: Table) -> None:
    view = TokenStrip(
        "t", "x", token="token", color="norm", rows=("best", "gain"), group="text", flag="split"
    )
    both = strip_html(tokens, view)
    assert both.count('class="wb-tokens"') == 2
    named = "<span>token</span><small>best</small><small>gain</small>"
    assert both.count(named) == 2, "rows are labelled at the head of each strip"
    one = Reader(strip_html(tokens, view, groups=["second"], selected=1))
    assert len(one.spans) == len(tokens) - 8
    assert "wb-on" in (one.spans[1]["class"] or "")
    assert "wb-fl" in (one.spans[0]["class"] or "")
    assert visible(tokens["best"][8]) in one.tokens


def test_missing_values_are_hatched_not_coloured(tokens: Table) -> None:
    frame = tokens.frame.copy()
    frame.loc[1, "norm"] = float("nan")
    spans = Reader(strip_html(Table(frame), VIEW)).spans
    assert "wb-none" in (spans[1]["class"] or "")
    assert "norm –" in (spans[1]["title"] or "")


def test_a_whole_page_cannot_be_closed_early_by_a_token(tokens: Table) -> None:
    page = strip_page(tokens, VIEW)
    assert page.count("<script>") == 1
    assert page.count("</script>") == 1
    assert "onerror=alert" not in page.replace("&lt;img src=x onerror=alert", "").replace(
        "&lt;img·src=x·onerror=alert", ""
    )


def test_a_missing_column_is_named(tokens: Table) -> None:
    with pytest.raises(UnknownName, match="nope"):
        strip_html(tokens, TokenStrip("t", "x", token="token", color="nope"))


def test_ten_thousand_tokens_stay_small() -> None:
    rows = [{"token": f" word{i % 97}", "norm": float(i % 331)} for i in range(10_000)]
    html = strip_html(Table.from_rows(rows), VIEW)
    assert len(html) < 1_600_000
