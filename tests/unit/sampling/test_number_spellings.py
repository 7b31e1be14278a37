"""One written table of spellings, and agreement with math-verify on rendered numbers."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.sampling.grading import MathGrader, NumberGrader
from workbench.sampling.numerals import in_digits, whole_number
from workbench.sampling.spellings import one_spelling
from workbench.sampling.symbolic import compare

HASH, ANSWER, BOX, LAST = "gsm8k-hash", "answer-is", "boxed", "last-number"
LONG = "9" * 5000

# response, reference, whether it is right, what is extracted, the convention
TABLE = [
    # conventions
    ("#### 72", "#### 72", True, "72", HASH),
    ("#### 7\n#### 8", "7", True, "7", HASH),
    ("#### 7\n#### 8", "8", False, "7", HASH),
    ("#### 7 apples", "7", True, "7", HASH),
    ("#### Answer: 7", "7", True, "7", HASH),
    ("#### $1,000", "1000", True, "1000", HASH),
    ("#### seven", "7", True, "7", HASH),
    ("#### 12\nThe answer is 13", "13", False, "12", HASH),
    ("#### Step 1\n3 + 4\nThe answer is 7", "7", True, "7", ANSWER),
    ("##### 7\nThe answer is 8", "8", True, "8", ANSWER),
    ("The answer is 7. No: the answer is 9.", "9", True, "9", ANSWER),
    ("**Answer:** 7", "7", True, "7", ANSWER),
    ("The answer is:\n\n7", "7", True, "7", ANSWER),
    ("The answer is:\n- 7", "7", True, "7", ANSWER),
    ("The answer is $\\boxed{7}$.", "7", True, "7", ANSWER),
    ("so \\boxed{3} or rather \\boxed{\\frac{1}{2}}", "1/2", True, "0.5", BOX),
    ("so \\boxed{7", "7", False, None, BOX),
    ("She has 21-15 = 6 left", "6", True, "6", LAST),
    ("the difference 21-15", "15", True, "15", LAST),
    ("nothing at all", "5", False, None, LAST),
    ("", "5", False, None, LAST),
    # calculator annotations
    ("<<1+1=2>>", "2", False, None, LAST),
    ("They are <<6*7=42>>", "42", False, None, LAST),
    ("They are 6*7=<<6*7=42>>42 eggs", "42", True, "42", LAST),
    ("They are 6*7=<<6*7=4", "4", False, "7", LAST),
    # the next question
    ("The answer is 7. Question: … The answer is 9", "7", True, "7", ANSWER),
    ("The answer is 7. Question 2: … The answer is 9", "7", True, "7", ANSWER),
    ("The answer is 7. Q2: … The answer is 9", "7", True, "7", ANSWER),
    ("The answer is 7. Q: … The answer is 9", "7", True, "7", ANSWER),
    ("The answer is 7. Problem 3. … The answer is 9", "7", True, "7", ANSWER),
    ("The answer is 7.\n\n**Question 2**\n… The answer is 9", "7", True, "7", ANSWER),
    ("The answer is 7.\nq2) … The answer is 9", "7", True, "7", ANSWER),
    ("The answer is 7. Next question: … The answer is 9", "7", True, "7", ANSWER),
    ("The answer is 7. Question two: … The answer is 9", "7", True, "7", ANSWER),
    ("#### 7 Problem #2: … #### 9", "7", True, "7", HASH),
    ("Question: 3 and 4?\nThe answer is 7", "7", True, "7", ANSWER),
    ("The question is hard. The answer is 7", "7", True, "7", ANSWER),
    # fractions, powers, decimals
    ("The answer is 1/2", "1", False, "0.5", ANSWER),
    ("The answer is 1/2", "0.5", True, "0.5", ANSWER),
    ("The answer is 1/3", "0.333", False, "1/3", ANSWER),
    ("The answer is ½", "1/2", True, "0.5", ANSWER),
    ("The answer is 2½ cups", "2.5", True, "2.5", ANSWER),
    ("The answer is 1⁄2", "0.5", True, "0.5", ANSWER),
    ("The answer is 2 1/2", "5/2", True, "2.5", ANSWER),
    ("The answer is $-2\\frac{1}{2}$", "-2.5", True, "-2.5", ANSWER),
    ("The answer is \\dfrac{3}{4}", "0.75", True, "0.75", ANSWER),
    ("The answer is .5", "0.5", True, "0.5", ANSWER),
    ("The answer is -.5", "-0.5", True, "-0.5", ANSWER),
    ("The answer is 5.0", "5", True, "5.0", ANSWER),
    ("The answer is 5.0001", "5", False, "5.0001", ANSWER),
    ("1e3", "1000", True, "1000", LAST),
    ("1e3", "1", False, "1000", LAST),
    ("The answer is 1.5e-3", "0.0015", True, "0.0015", ANSWER),
    ("The answer is 3*10^2", "300", True, "300", ANSWER),
    ("The answer is 3 × 10²", "300", True, "300", ANSWER),
    ("The answer is 10^{3}", "1000", True, "1000", ANSWER),
    ("The answer is 1/0", "1", False, None, ANSWER),
    ("The answer is 1e999999999", "1", False, None, ANSWER),
    (f"The answer is {LONG}", LONG[:50], False, None, ANSWER),
    # signs
    ("The answer is -12", "-12", True, "-12", ANSWER),
    ("The answer is −3", "-3", True, "-3", ANSWER),
    ("The answer is (-5)", "-5", True, "-5", ANSWER),
    ("The answer is -$5", "-5", True, "-5", ANSWER),
    ("The answer is -5", "5", False, "-5", ANSWER),
    ("it leaves 21 - 15", "-15", False, "15", LAST),
    # thousands
    ("The answer is 1,000", "1000", True, "1000", ANSWER),
    ("The answer is 1 000", "1000", True, "1000", ANSWER),
    ("The answer is 1\N{NARROW NO-BREAK SPACE}000", "1000", True, "1000", ANSWER),
    ("The answer is 1'000", "1000", True, "1000", ANSWER),
    ("The answer is 1{,}000", "1000", True, "1000", ANSWER),
    ("The answer is 1.000,5", "1", False, None, ANSWER),
    ("it makes 1.000,5", "5", False, None, LAST),
    ("The answer is 12,34", "12", False, None, ANSWER),
    ("The answer is 1.000.000", "1", False, None, ANSWER),
    ("The answer is 1_000", "1", False, None, ANSWER),
    # currency, percent, units, words
    ("The answer is $1,234.50", "1234.5", True, "1234.50", ANSWER),
    ("The answer is 5€", "5", True, "5", ANSWER),
    ("The answer is US$5", "5", True, "5", ANSWER),
    ("The answer is \\$5.", "5", True, "5", ANSWER),
    ("The answer is 50%", "50", True, "50", ANSWER),
    ("The answer is 50%", "0.5", False, "50", ANSWER),
    ("The answer is 5kg", "5", True, "5", ANSWER),
    ("The answer is 5 million", "5000000", True, "5000000", ANSWER),
    ("The answer is 5k", "5", False, None, ANSWER),
    ("The answer is twenty-one.", "21", True, "21", ANSWER),
    ("The answer is two hundred and five", "205", True, "205", ANSWER),
    ("The answer is one of them", "1", False, None, ANSWER),
    # equations, and what is not worked out
    ("The answer is 2 x 3 = 6", "6", True, "6", ANSWER),
    ("The answer is 6 = 2 x 3", "6", True, "6", ANSWER),
    ("The answer is 3 + 4", "3", False, None, ANSWER),
    ("The answer is 21 - 15", "21", False, None, ANSWER),
    ("The answer is 2x", "2", False, None, ANSWER),
    ("The answer is x+3", "3", False, None, ANSWER),
    ("The answer is $\\sqrt{16}$", "16", False, None, ANSWER),
    ("The answer is 16π", "16", False, None, ANSWER),
    # ranges, alternatives, times, dates, denials
    ("The answer is 5-7", "5", False, None, ANSWER),
    ("The answer is 5 to 7", "5", False, None, ANSWER),
    ("The answer is 5 or 6", "5", False, None, ANSWER),
    ("The answer is 3 hours and 20 minutes", "3", False, None, ANSWER),
    ("The answer is 3:30", "3", False, None, ANSWER),
    ("It ends at 3:30", "30", False, None, LAST),
    ("It was on 12/25/2024", "2024", False, None, LAST),
    ("The answer is not 7.", "7", False, None, ANSWER),
    ("The answer is unknown; it may be. There are 5.", "5", False, None, ANSWER),
]


def test_the_table_is_long_and_says_each_thing_once():
    assert len(TABLE) >= 60
    assert len({row[:2] for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize(("text", "reference", "right", "answer", "convention"), TABLE)
def test_spelling(text, reference, right, answer, convention):
    found = NumberGrader().find(text)
    assert (found.answer, found.convention, found.grader) == (answer, convention, "number")
    assert NumberGrader().is_correct(text, reference) is right


NUMBERS = st.builds(
    Fraction, st.integers(-99_999, 99_999), st.sampled_from([1, 1, 2, 3, 4, 8, 10, 100, 7])
)


def _renderings(value: Fraction) -> dict[str, str]:
    """Return spellings of a number by name, with those that math-verify reads in LaTeX."""
    plain, up, down = in_digits(value), value.numerator, value.denominator
    found = {"plain": plain, "fraction": f"{up}/{down}"}
    if down == 1:
        found |= {"commas": f"{up:,}", "power": f"{up}*10^0"}
    elif up > 0:
        found["latex"] = f"\\frac{{{up}}}{{{down}}}"
        if up > down:
            found["mixed"] = f"{up // down}\\frac{{{up % down}}}{{{down}}}"
    return found


@settings(max_examples=60, deadline=None)
@given(NUMBERS, NUMBERS, st.booleans())
def test_rendered_numbers_agree_with_math_verify(value, other, same):
    wanted = value if same else other
    for spelling in _renderings(value).values():
        ours = NumberGrader().is_correct(f"The answer is {spelling}", in_digits(wanted))
        assert ours is compare((spelling, in_digits(wanted)))
        assert ours is (value == wanted)


FRAMES = ["The answer is {}.", "#### {}", "\\boxed{{{}}}", "so it is {}", "Answer: **{}**"]


@settings(max_examples=100, deadline=None)
@given(NUMBERS, st.sampled_from(FRAMES), st.sampled_from([" apples", "", " %", "\n"]))
def test_every_frame_gives_the_number_back(value, frame, after):
    signs = str.maketrans("-", "\N{MINUS SIGN}")
    for spelling in (*_renderings(value).values(), in_digits(value).translate(signs)):
        found = NumberGrader().extract(frame.format(spelling + after))
        assert found is not None
        assert Fraction(found) == value


@given(st.text(alphabet="0123456789.,:/-+^xe*=%$ ()\\{}abQ#\n½²−", max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_the_reading(text):
    for frame in ("{}", "The answer is {}", "#### {}"):
        found = NumberGrader().extract(frame.replace("{}", text))
        assert found is None or abs(Fraction(found)) < 10**900


def test_whole_numbers_are_nothing_else():
    assert whole_number(one_spelling("$1{,}000$")) == 1000
    assert whole_number(one_spelling("2\\frac{1}{2}")) == Fraction(5, 2)
    for text in ("5 apples", "5 or 6", "x", "5+6", "1e999999999", ""):
        assert whole_number(one_spelling(text)) is None


@pytest.mark.parametrize(
    ("text", "reference", "right", "convention"),
    [
        ("\\boxed{1e3}", "1000", True, "boxed"),
        ("\\boxed{1/2}", "1", False, "boxed"),
        ("The answer is $\\frac{1}{2}$.", "0.5", True, "answer-is"),
        ("first \\boxed{1} then \\boxed{2", "1", False, "boxed"),
        ("\\boxed{1}\nQuestion 2: …\n\\boxed{2}", "1", True, "boxed"),
        ("so\n5,000", "5000", True, "last-line"),
    ],
)
def test_expressions_that_are_numbers_compare_exactly(text, reference, right, convention):
    assert MathGrader().find(text).convention == convention
    assert MathGrader().is_correct(text, reference) is right
