"""`workbench look`: a strip and a map in the terminal, and the same numbers as JSON."""

import json

ARGS = ("look", "the cat sat . the red dog ran", "--model", "tiny:llama", "--device", "cpu")


def test_it_prints_a_strip_and_a_map(cli) -> None:
    result = cli(*ARGS, "--probe", "token-trace", "--map", "norm")
    assert result.exit_code == 0
    assert "cat" in result.stdout
    assert "token-trace surprisal" in result.stderr
    assert "token-trace norm" in result.stderr
    rows = [line for line in result.stdout.splitlines() if line.split()[:1] == ["2"]]
    assert any(set(row) & set("░▒▓█") for row in rows)


def test_json_holds_every_token_and_layer(cli) -> None:
    found = json.loads(cli(*ARGS, "--probe", "smoothness", "--json").stdout)
    assert len(found["maps"]["smoothness cosine"]) == len(found["layers"])
    assert len(found["maps"]["smoothness cosine"][0]) == len(found["tokens"])
    assert found["maps"]["smoothness cosine"][0][0] is None
    assert found["units"]["smoothness cosine"] == "cosine"


def test_unknown_names_are_refused(cli) -> None:
    result = cli(*ARGS, "--probe", "nothing")
    assert result.exit_code == 1
    assert "token-trace" in result.stderr
    result = cli(*ARGS, "--probe", "smoothness", "--strip", "kl")
    assert result.exit_code == 1
    assert "smoothness cosine" in result.stderr
