"""Answers are found and compared strictly."""

import time

import pytest

from workbench.sampling.grading import ChoiceGrader, MathGrader, NumberGrader, last_box


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so 3 + 4 = 7. The answer is 7.", "7"),
        ("The answer is $1,234.50", "1234.50"),
        ("She has 21-15 = 6 left", "6"),
        ("the difference 21-15", "15"),
        ("The answer is -12", "-12"),
        ("The answer is \N{MINUS SIGN}12", "-12"),
        ("#### 72", "72"),
        ("The answer is 5.\nQuestion: what is 9?", "5"),
        ("12,34 apples", "34"),
        ("no number here", None),
        ("", None),
    ],
)
def test_number_is_extracted(text, answer):
    assert NumberGrader().extract(text) == answer


@pytest.mark.parametrize(
    ("text", "reference", "right"),
    [
        ("The answer is 1,000", "#### 1000", True),
        ("The answer is 5.0", "5", True),
        ("The answer is 5", "500", False),
        ("The answer is 500", "5", False),
        ("The answer is 5.0001", "5", False),
        ("The answer is -5", "5", False),
        ("I do not know", "5", False),
    ],
)
def test_numbers_compare_exactly(text, reference, right):
    assert NumberGrader().is_correct(text, reference) is right


def test_last_box_balances_braces():
    assert last_box(r"\boxed{1} and \boxed{\frac{1}{2}}.") == r"\frac{1}{2}"
    assert last_box(r"\boxed{1") is None


def test_choice():
    assert ChoiceGrader().extract("I think it's a dog. The answer is (B).") == "B"
    assert ChoiceGrader().is_correct("The answer is C", "C")
    assert not ChoiceGrader().is_correct("The answer is C", "D")


@pytest.mark.slow
def test_symbolic_equality_and_time_limit():
    grader = MathGrader()
    assert grader.is_correct(r"so \boxed{\frac{2}{4}}", r"\frac{1}{2}")
    assert not grader.is_correct(r"\boxed{x+2}", "x+1")
    start = time.monotonic()
    assert not grader.is_correct(r"\boxed{9^{9^{9^{9}}}}", r"7^{7^{7^{7}}}")
    assert time.monotonic() - start < 30
    assert grader.is_correct(r"\boxed{2x+2}", "2(x+1)")
