"""`workbench look`: a strip and a map in the terminal, and the same numbers as JSON."""

import json

ARGS = ("look", "the cat sat . the red dog ran", "--model", "tiny:llama", "--device", "cpu")


def test_it_prints_a_strip_and_a_map(invoke) -> None:
    result = invoke(*ARGS, "--probe", "token-trace", "--map", "norm")
    assert "cat" in result.stdout
    assert "token-trace surprisal" in result.stderr
    assert "token-trace norm" in result.stderr
    rows = [line for line in result.stdout.splitlines() if line.split()[:1] == ["2"]]
    assert any(set(row) & set("░▒▓█") for row in rows)


def test_json_holds_every_token_and_layer(invoke) -> None:
    found = json.loads(invoke(*ARGS, "--probe", "smoothness", "--json").stdout)
    assert len(found["maps"]["smoothness cosine"]) == len(found["layers"])
    assert len(found["maps"]["smoothness cosine"][0]) == len(found["tokens"])
    assert found["maps"]["smoothness cosine"][0][0] is None
    assert found["units"]["smoothness cosine"] == "cosine"


def test_unknown_names_are_refused(invoke) -> None:
    result = invoke(*ARGS, "--probe", "nothing", code=2)
    assert "token-trace" in result.stderr
    result = invoke(*ARGS, "--probe", "smoothness", "--strip", "kl", code=2)
    assert "smoothness cosine" in result.stderr


def test_a_run_on_one_text_draws_its_map(invoke) -> None:
    result = invoke("probe", "run", "logit-lens", "--text", ARGS[1], *ARGS[2:])
    assert "map: kl" in result.stdout
    rows = [line for line in result.stdout.splitlines() if set(line) & set("░▒▓█")]
    assert [line.split()[0] for line in rows][:2] == ["0", "1"]
