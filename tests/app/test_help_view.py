"""Help: concepts, errors and the doctor."""

from app.panels.help_panel import CONCEPTS, error_table
from workbench import errors


def test_every_concept_and_error_is_listed(open_page) -> None:
    page = open_page("help")
    for word, _ in CONCEPTS:
        assert word in page.words
    codes = set(page.at.dataframe[0].value["code"])
    assert {"bad-option", "run-not-found", "too-little-data"} <= codes
    assert codes == set(error_table()["code"])
    assert errors.FitError.code in codes


def test_the_doctor_reports(open_page) -> None:
    page = open_page("help")
    page.press("Check now")
    assert "python" in page.words
    assert [done.value for done in page.at.success] == ["Nothing failed."]
    assert not page.at.error


def test_the_doctor_says_which_line_failed(open_page, monkeypatch) -> None:
    from app import health

    broken = health.Check(name="store", state="failed", found="cannot be written", hint="chmod")
    monkeypatch.setattr(health, "checkup", lambda: (broken,))
    page = open_page("help")
    page.press("Check now")
    assert "cannot be written — try: chmod" in page.words
    assert [error.value for error in page.at.error] == [
        "Something failed; each line says what to try."
    ]
    assert not page.at.success
