"""One spelling for the many ways in which numbers and marks are typed."""

import re

_SIGNS = {
    **dict.fromkeys("\N{MINUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{SMALL HYPHEN-MINUS}", "-"),
    **dict.fromkeys("\N{FRACTION SLASH}\N{DIVISION SLASH}", "/"),
    **dict.fromkeys("\N{MULTIPLICATION SIGN}\N{MIDDLE DOT}\N{DOT OPERATOR}", "*"),
    **dict.fromkeys(
        "\N{NO-BREAK SPACE}\N{THIN SPACE}\N{FIGURE SPACE}", "\N{NARROW NO-BREAK SPACE}"
    ),
    **{chr(ord("\N{FULLWIDTH DIGIT ZERO}") + i): str(i) for i in range(10)},
}
_TYPED = str.maketrans(_SIGNS)
_VULGAR = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5",
    "⅗": "3/5", "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8",
    "⅞": "7/8", "⅐": "1/7", "⅑": "1/9", "⅒": "1/10",
}  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SMALL = r"\s*(?:\{\s*(-?\d+)\s*\}|(\d))"
_REWRITTEN: tuple[tuple[str, str], ...] = (
    (r"\\(?:left|right|displaystyle|quad|qquad)\b", " "),
    (r"\\[()\[\]]", " "),
    (r"\\(?:text|mathrm|mathbf|textbf|mbox)\s*\{([^{}]*)\}", r"\1"),
    (r"\\([$%#])", r"\1"),
    (r"(?:\^\s*\{?\\circ\}?|°)", " "),
    (r"\\(?:times|cdot)\b", "*"),
    (r"\\approx\b", "≈"),
    (r"\\ |\\;", " "),
    # Only three digits after it make a separator of thousands of one of these.
    (r"(?<=\d)(?:\\[,!]|\{,\}|\N{NARROW NO-BREAK SPACE}|['’])(?=\d{3}(?!\d))", ","),
    (r"\N{NARROW NO-BREAK SPACE}|\\[,!]", " "),
    (r"\*\*|__|`", ""),
)
_FRACTION = re.compile(rf"(?P<whole>\d\s*)?\\[dt]?frac{_SMALL}{_SMALL}")
_PATTERNS = tuple((re.compile(pattern), new) for pattern, new in _REWRITTEN)
_ANNOTATION = re.compile(r"<<[^<>\n]*(?:>>|$)", re.MULTILINE)


def without_annotations(text: str) -> str:
    """Take calculator annotations such as `<<3+4=7>>` out of a text, open ones too.

    Source: Cobbe et al. 2021, arXiv:2110.14168, where a calculator writes them, not the solver.
    """
    return _ANNOTATION.sub("", text)


def one_spelling(text: str) -> str:
    r"""Return a text with one sign for minus, product and fraction, and without markup.

    `\frac{1}{2}`, `½` and `1⁄2` become `1/2`, `10²` becomes `10^2`, `1{,}000` becomes `1,000`;
    emphasis, `\text` and the marks of formulas go.
    """
    text = text.translate(_TYPED)
    text = re.sub(r"(?<=\d)[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda m: "^" + m[0].translate(_RAISED), text)
    for vulgar, plain in _VULGAR.items():
        text = re.sub(rf"(\d)?\s*{vulgar}", rf"\1 {plain}", text) if vulgar in text else text
    for pattern, new in _PATTERNS:
        text = pattern.sub(new, text)
    return _FRACTION.sub(_written, text)


def _written(found: "re.Match[str]") -> str:
    whole, up, down = found["whole"], found[2] or found[3], found[4] or found[5]
    return f"{whole.strip()} {up}/{down}" if whole else f"{up}/{down}"
