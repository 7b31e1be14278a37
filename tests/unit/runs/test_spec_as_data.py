"""A spec is data: TOML and back, one hash, and every problem named at once."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import BadOption, DataError
from workbench.runs.spec import DataRef, ModelRef, RunSpec

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NAME = st.text("abcxyz-", min_size=1, max_size=10)
OPTION = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False),
    TEXT,
    st.lists(TEXT, max_size=3),
)
MODELS = st.fixed_dictionaries({"name": TEXT, "backend": TEXT, "trust_remote_code": st.booleans()})
DATA = st.fixed_dictionaries(
    {
        "texts": st.lists(TEXT, max_size=3),
        "path": TEXT,
        "field": TEXT,
        "limit": st.none() | st.integers(1, 1000),
    }
)
SPECS = st.fixed_dictionaries(
    {
        "name": NAME,
        "options": st.dictionaries(NAME, OPTION, max_size=3),
        "model": st.none() | MODELS,
        "data": DATA,
        "seed": st.integers(0, 2**31),
        "max_tokens": st.integers(1, 10_000),
    }
)


@given(SPECS)
def test_toml_round_trip(values: dict[str, Any]) -> None:
    spec = RunSpec.from_dict(values)
    again = RunSpec.from_toml(spec.to_toml())
    assert again == spec
    assert again.hash == spec.hash


@given(SPECS, SPECS)
def test_the_hash_tells_specs_apart(a: dict[str, Any], b: dict[str, Any]) -> None:
    one, other = RunSpec.from_dict(a), RunSpec.from_dict(b)
    assert (one.hash == other.hash) == (one.as_dict() == other.as_dict())
    assert one.hash == RunSpec.from_dict(a).hash


def test_the_hash_does_not_depend_on_the_order_of_options() -> None:
    a = RunSpec(name="x", options={"p": 1, "q": 2})
    assert a.hash == RunSpec(name="x", options={"q": 2, "p": 1}).hash
    assert a.run_id == f"x-{a.hash[:12]}"


def test_every_problem_is_named_at_once() -> None:
    text = """
    nam = "isotropy"
    seed = "one"
    max_tokens = 0
    [model]
    nme = "default"
    trust_remote_code = 1
    [data]
    texts = "letters"
    limit = -3
    """
    with pytest.raises(BadOption) as error:
        RunSpec.from_toml(text)
    for part in (
        "unknown key nam",
        "seed is 'one'; expected a whole number",
        "max_tokens is 0; expected at least 1",
        "unknown key model.nme",
        "model.trust_remote_code is 1; expected true or false",
        "data.texts is 'letters'; expected a list of texts",
        "data.limit is -3; expected at least 1",
        "name is missing",
    ):
        assert part in error.value.message


@pytest.mark.parametrize("text", ["name = ", "[" * 10_000, "name = 3", 'name = "x"\nmodel = 3'])
def test_what_is_not_a_spec_is_a_bad_option(text: str) -> None:
    with pytest.raises(BadOption):
        RunSpec.from_toml(text)


def test_an_empty_model_table_is_the_default_model() -> None:
    assert RunSpec.from_toml('name = "x"\n[model]\n').model == ModelRef()
    assert RunSpec.from_toml('name = "x"\n').model is None


def test_toml_is_what_toml_readers_read() -> None:
    spec = RunSpec(name="x", options={"a": True}, data=DataRef(texts=('"quoted"\n\x1b',)))
    assert tomllib.loads(spec.to_toml())["data"]["texts"] == ['"quoted"\n\x1b']


def test_a_changed_file_is_another_run(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")
    spec = RunSpec(name="x", data=DataRef(path=str(path)))
    before = spec.pinned()
    path.write_text("two")
    assert before.run_id != spec.pinned().run_id
    assert before.pinned() == spec.pinned()


@pytest.mark.parametrize("name", ["missing.txt", "with\0nul.txt", "x" * 5000])
def test_files_that_cannot_be_hashed(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot read"):
        RunSpec(name="x", data=DataRef(path=str(tmp_path / name))).pinned()


def test_shipped_files_are_found_wherever_the_package_is() -> None:
    found = DataRef(path="shipped:prompts.jsonl").file
    assert found is not None
    assert found.is_file()
    assert DataRef(path="-").file is None


def test_one_text_is_no_list_of_letters() -> None:
    assert DataRef(texts="a word").texts == ("a word",)
    assert DataRef(texts=["a", "b"]) == DataRef(texts=("a", "b"))
