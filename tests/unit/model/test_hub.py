"""The hub: its local cache, a stand-in server on loopback, and no network at all."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from workbench.errors import ModelError, ModelNotFound
from workbench.model.catalog import available_models, fetch_model
from workbench.model.hub import cached_names, cached_snapshot, is_hub_id
from workbench.model.loading import load_model

Saved = Callable[..., Path]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt2", True),
        ("owner/model-1.5B", True),
        ("a/b/c", False),
        ("model.gguf", False),
        ("owner/two words", False),
        ("owner/..model", False),
        ("m" * 97, False),
        ("", False),
    ],
)
def test_what_looks_like_a_hub_id(name: str, expected: bool) -> None:
    assert is_hub_id(name) is expected


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache of the layout huggingface_hub keeps."""
    home = tmp_path / "hub-cache"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(home))
    return home


@pytest.fixture
def kept(hub_cache: Path, checkpoint: Saved) -> Path:
    """`owner/model`, fetched before."""
    repo = hub_cache / "models--owner--model"
    (repo / "snapshots").mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    checkpoint("llama").rename(repo / "snapshots" / COMMIT)
    return repo / "snapshots" / COMMIT


def test_a_model_fetched_before_loads_without_network(kept: Path) -> None:
    assert cached_names() == ("owner/model",)
    assert cached_snapshot("owner/model") == kept
    assert cached_snapshot("owner/model", "other-branch") is None
    model = load_model("owner/model", device="cpu")
    assert (model.spec.name, model.spec.n_layers) == ("owner/model", 3)
    listed = {one.name: one for one in available_models()}
    assert listed["owner/model"].ready
    assert listed["owner/model"].n_bytes > 0


def test_a_misspelt_name_suggests_what_is_kept(kept: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        load_model("owner/modle")
    assert "owner/model" in caught.value.hint


def test_an_incomplete_copy_is_reported(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    (kept / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="cannot be reached"):
        load_model("owner/model")
    assert "incomplete" in caplog.text
    listed = {one.name: one for one in available_models()}
    assert not listed["owner/model"].ready


def test_no_network_is_said_at_once(hub_cache: Path) -> None:
    with pytest.raises(ModelNotFound, match="hub cannot be reached") as caught:
        fetch_model("owner/model")
    assert "default" in caught.value.hint


class _Hub(BaseHTTPRequestHandler):
    """Serves one folder the way the hub serves a repository."""

    folder: Path

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        if self.path.startswith("/api/models/owner/model/tree/"):
            self._reply(json.dumps(self._tree()).encode(), {}, body=body)
        elif self.path.startswith("/api/models/owner/model"):
            names = [{"rfilename": path.name} for path in sorted(self.folder.iterdir())]
            about = {"id": "owner/model", "sha": COMMIT, "siblings": names}
            self._reply(json.dumps(about).encode(), {}, body=body)
        elif "/owner/model/resolve/" in self.path:
            content = (self.folder / self.path.rsplit("/", 1)[1]).read_bytes()
            etag = f'"{sha256(content).hexdigest()}"'
            self._reply(content, {"ETag": etag, "X-Repo-Commit": COMMIT}, body=body)
        elif "gated" in self.path:
            self._refuse(403, "GatedRepo")
        else:
            self._refuse(404, "RepoNotFound")

    def _tree(self) -> list[dict[str, object]]:
        return [
            {
                "type": "file",
                "path": path.name,
                "size": path.stat().st_size,
                "oid": sha256(path.read_bytes()).hexdigest(),
            }
            for path in sorted(self.folder.iterdir())
        ]

    def _reply(self, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(checkpoint: Saved) -> Iterator[str]:
    """The address of a server on loopback that holds `owner/model`."""
    folder = checkpoint("llama")
    (folder / "pytorch_model.bin").write_bytes(b"never to be fetched")
    handler = type("Handler", (_Hub,), {"folder": folder})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


_SCRIPT = """
import json
from workbench.errors import WorkbenchError
from workbench.model.catalog import fetch_model
from workbench.model.loading import load_model

seen = []
fetched = fetch_model("owner/model", lambda done, total, label: seen.append([done, total, label]))
logits = load_model("owner/model", device="cpu").run("the cat", logits="last").logits
refused = {}
for name in ("owner/absent", "owner/gated"):
    try:
        fetch_model(name)
    except WorkbenchError as error:
        refused[name] = [type(error).__name__, error.message]
print(json.dumps({"seen": seen, "note": fetched.note, "logits": logits.flatten().tolist(),
                  "refused": refused}))
"""


def test_a_model_is_fetched_over_the_network(served: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": served,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "hf-home"),
        "WORKBENCH_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    names = {path.name for path in Path(found["note"]).iterdir()}
    assert "model.safetensors" in names
    assert "pytorch_model.bin" not in names
    assert found["seen"][-1][0] == found["seen"][-1][1] > 1
    expected = load_model("tiny:llama", device="cpu").run("the cat", logits="last").logits
    assert expected is not None
    assert torch.equal(torch.tensor(found["logits"]), expected.flatten())
    assert found["refused"]["owner/absent"] == [
        ModelNotFound.__name__,
        "the hub has no model 'owner/absent' that can be read",
    ]
    assert found["refused"]["owner/gated"][0] == ModelError.__name__
    assert "gated" in found["refused"]["owner/gated"][1]
