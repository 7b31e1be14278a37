"""Models are listed and shown; text is generated with policies, reads and edits."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file, save_file

from workbench.errors import BadEdit, BadSite, DataError
from workbench.model.edits import Edit, Op
from workbench.model.tiny import tiny_model
from workbench.runs.typed_edits import parse_edits

Invoke = Callable[..., Result]

GENERATE = ("generate", "--model", "tiny:llama", "--text", "the dog", "--limit", "6")


def test_list(invoke: Invoke) -> None:
    rows = json.loads(invoke("models", "list", "--json").stdout)
    assert {"SmolLM2-135M-Instruct", "tiny:llama"} <= {row["name"] for row in rows}
    assert "tiny:gpt2" in invoke("models", "list").stdout


def test_show(invoke: Invoke) -> None:
    facts = json.loads(invoke("models", "show", "tiny:llama", "--json").stdout)
    assert (facts["n_layers"], facts["backend"]) == (3, "hooks")
    sites = {site["kind"]: site for site in facts["sites"]}
    assert sites["resid_post"]["shape"] == "batch pos 32"
    assert sites["k"]["shape"] == "batch pos 2 8"
    assert sites["resid_post"]["edit"] is True
    assert "31,968" in invoke("models", "show", "tiny:llama").stdout
    assert "expected one of" in invoke("models", "show", "tiny:x", code=2).stderr


@pytest.mark.slow
def test_parity(invoke: Invoke) -> None:
    facts = json.loads(invoke("models", "show", "tiny:llama", "--parity", "--json").stdout)
    assert {row["backend"] for row in facts["parity"]} == {"hooks", "transformer-lens", "nnsight"}
    assert all(row["passed"] for row in facts["parity"])


def test_parity_that_fails_is_a_failure(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.model import parity

    row = parity.ParityRow(
        backend="hooks", attention="eager", check="logits", batch="even", reference="plain",
        largest=0.5, mean=0.1, allowed=0.0, n_tokens=4,
    )  # fmt: skip
    monkeypatch.setattr(parity, "parity_table", lambda *_, **__: [row])
    done = invoke("models", "show", "tiny:llama", "--parity", code=1)
    assert "differs from the plain forward pass" in done.stderr


def test_fetch(invoke: Invoke) -> None:
    assert "nothing to fetch" in invoke("models", "fetch", "tiny:llama", code=2).stderr


def test_generate_is_greedy_and_repeatable(invoke: Invoke) -> None:
    first = json.loads(invoke(*GENERATE, "--json").stdout)
    row = first["rows"][0]
    assert (row["prompt"], row["n_tokens"], len(row["logprobs_nats"])) == ("the dog", 6, 6)
    assert json.loads(invoke(*GENERATE, "--json").stdout) == first
    assert row["text"] in invoke(*GENERATE).stdout


def test_every_policy_runs(invoke: Invoke) -> None:
    greedy = json.loads(invoke(*GENERATE, "--json").stdout)["rows"][0]["tokens"]
    same = [
        ("--policy", "contrastive", "--alpha", "0", "--k", "1"),
        ("--policy", "momentum", "--alpha", "0"),
        ("--policy", "sample", "--temperature", "0"),
        ("--policy", "sample", "--top-k", "1"),
        ("--policy", "speculative", "--draft", "layers:2"),
        ("--policy", "reward", "--weight", "0"),
        ("--policy", "beam", "--width", "1"),
        ("--policy", "hidden-states", "--rate", "0"),
    ]
    for flags in same:
        rows = json.loads(invoke(*GENERATE, *flags, "--json").stdout)["rows"]
        assert rows[0]["tokens"] == greedy, flags
    seeds = {
        tuple(json.loads(invoke(*GENERATE, "--policy", "sample", "--seed", seed, "--json").stdout)[
            "rows"
        ][0]["tokens"])
        for seed in ("0", "1", "2")
    }  # fmt: skip
    assert len(seeds) > 1


def test_settings_of_another_policy_are_refused(invoke: Invoke) -> None:
    done = invoke(*GENERATE, "--alpha", "0.5", code=2)
    assert "--alpha means nothing to the policy greedy" in done.stderr
    done = invoke(*GENERATE, "--policy", "backspace", code=2)
    assert "--backspace ID" in done.stderr
    done = invoke(*GENERATE, "--policy", "sample", "--top-p", "2", code=2)
    assert "top_p is 2" in done.stderr


def test_edits_change_what_is_written_and_reads_are_kept(invoke: Invoke, tmp_path: Path) -> None:
    direction = torch.linspace(-1, 1, 32)
    save_file({"v": direction}, tmp_path / "v.safetensors")
    out = tmp_path / "reads.safetensors"
    read = ("--read", "resid_post.1", "--save", str(out), "--json")
    plain = json.loads(invoke(*GENERATE, *read).stdout)
    before = load_file(out)["1.resid_post.1"]
    edit = f"add:resid_post.1:{tmp_path / 'v.safetensors'}[v]:40"
    steered = json.loads(invoke(*GENERATE, "--edit", edit, *read).stdout)
    after = load_file(out)["1.resid_post.1"]
    torch.testing.assert_close(after[0], before[0] + 40 * direction)
    assert plain["reads"][0]["mean_norm"] < steered["reads"][0]["mean_norm"]
    assert plain["rows"][0]["tokens"] != steered["rows"][0]["tokens"]


def test_prompts_from_standard_input_and_none(invoke: Invoke) -> None:
    assert "no prompt was given" in invoke("generate", "--model", "tiny:llama", code=2).stderr
    empty = invoke("generate", "--model", "tiny:llama", "--text", " ", code=2)
    assert "prompts [1] are empty" in empty.stderr
    save = invoke(*GENERATE, "--save", "x.safetensors", code=2)
    assert "--save without --read" in save.stderr


def test_chat_templates(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.runs.models import shared_model
    from workbench.runs.spec import ModelRef

    plain = json.loads(invoke(*GENERATE, "--read", "embed", "--json").stdout)
    chat = json.loads(invoke(*GENERATE, "--chat", "--read", "embed", "--json").stdout)
    assert chat["reads"][0]["shape"][0] > plain["reads"][0]["shape"][0]
    tokenizer = shared_model(ModelRef(name="tiny:llama")).tokenizer
    monkeypatch.setattr(tokenizer, "chat_template", None)
    assert "has no chat template" in invoke(*GENERATE, "--chat", code=2).stderr
    monkeypatch.setattr(tokenizer, "chat_template", "{{ raise_exception('only tools') }}")
    failed = invoke(*GENERATE, "--chat", code=None)
    assert failed.exit_code == 1
    assert "the chat template of tiny:llama fails" in failed.stderr
    assert "only tools" in failed.stderr
    assert "unexpected" not in failed.stderr


def _edit(text: str) -> Edit:
    (found,) = parse_edits(text, tiny_model("llama").spec)
    return found


def test_edits_as_words(tmp_path: Path) -> None:
    edit = _edit("ablate:z.2@0,3")
    assert (edit.op, str(edit.site), edit.heads) == (Op.ABLATE, "z.2", (0, 3))
    assert _edit("scale:attn_out.1[0,-1]:0.5").value == 0.5
    every = parse_edits("scale:mlp_out.*:0.5", tiny_model("llama").spec)
    assert [str(edit.site) for edit in every] == ["mlp_out.0", "mlp_out.1", "mlp_out.2"]
    save_file({"a:b": torch.ones(3)}, tmp_path / "x.safetensors")
    save_file({"k": torch.ones(3)}, tmp_path / "y.safetensors")
    value = _edit(f"add:resid_post.0:{tmp_path / 'y.safetensors'}[k]:-2").value
    assert isinstance(value, torch.Tensor)
    assert value.tolist() == [-2.0] * 3
    with pytest.raises(DataError, match="holds no tensor 'j'; it holds k"):
        _edit(f"add:resid_post.0:{tmp_path / 'y.safetensors'}[j]")
    with pytest.raises(DataError, match="cannot read"):
        _edit(f"add:resid_post.0:{tmp_path / 'none.safetensors'}[j]")


@pytest.mark.parametrize(
    "text",
    ["", "add", "multiply:resid_post.0:2", "add:resid_post.0", "scale:mlp_out.0:half",
     "ablate:z.1@x", "add:resid_post.0:1:2:3", "ablate:mlp_out.1@0"],
)  # fmt: skip
def test_words_that_are_no_edit(text: str) -> None:
    with pytest.raises(BadEdit):
        _edit(text)


def test_an_edit_at_no_site() -> None:
    with pytest.raises(BadSite):
        _edit("ablate:nowhere.1")
