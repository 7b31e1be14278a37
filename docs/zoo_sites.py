"""Tables of what every site of every model of the zoo gave beside plain transformers.

The comparisons are those of the slow tests (`tests/zoo`). What is known of a model type is kept
in `build/zoo`, under the code it was compared with, so that an interrupted run goes on.
"""

import dataclasses
import hashlib
import importlib.util
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests" / "zoo" / "conftest.py"
RUNS = {
    "alone": "logits of one text",
    "padding left": "a batch padded on the left",
    "padding right": "a batch padded on the right",
    "generate": "greedy generation",
    "fork": "one prefix continued twice",
    "rollouts": "rollouts from a shared prefix",
    "unembed": "logits from the last state",
}
Outcomes = Sequence[dict[str, Any]]


def outcomes(name: str, backend: str) -> Outcomes:
    """Compare one model type on one backend with plain transformers."""

    def compare() -> Any:
        return [dataclasses.asdict(o) for o in _comparison().examine(name, backend)]

    known: Outcomes = kept(f"{name}@{backend}", compare)
    return known


def kept(name: str, find: Callable[[], Any]) -> Any:
    """Return what was found under that name with the same code, or find and keep it."""
    file = ROOT / "build" / "zoo" / _state_of_the_code() / f"{name.replace(':', '+')}.json"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(find()), encoding="utf-8")
        part.replace(file)
    return json.loads(file.read_text(encoding="utf-8"))


def comparison(found: dict[str, list[Outcomes]]) -> Iterator[str]:
    """Yield how many comparisons hold on each backend, then site by site, then why not."""
    yield "\n## Beside plain transformers\n"
    yield "| | " + " | ".join(f"`{b}`" for b in found) + " |"
    yield "| --- " * (1 + len(found)) + "|"
    flat = {b: [o for outcome in each for o in outcome] for b, each in found.items()}
    counts = {b: Counter(o["outcome"] for o in each) for b, each in flat.items()}
    loads = {b: sum(o[0]["outcome"] == "works" for o in each) for b, each in found.items()}
    yield _row("model types that load", [f"{n} of {len(found[b])}" for b, n in loads.items()])
    yield _row("comparisons that hold", [c["works"] for c in counts.values()])
    yield _row("refused, with the reason", [c["refused"] for c in counts.values()])
    yield _row("offered and more than 1e-4 away", [c["differs"] for c in counts.values()])
    yield _row("ended in an unexpected error", [c["unexpected"] for c in counts.values()])
    yield _row("largest relative error", [_largest(each) for each in flat.values()])
    yield from _sites(found)
    yield from _reasons(flat)


def _sites(found: dict[str, list[Outcomes]]) -> Iterator[str]:
    yield "\n### Site by site\n"
    yield (
        "Model types in which it works, of those that load; a site works where at least one layer "
        "offers it, and every layer that does is compared. nnsight and TransformerLens are "
        "compared with hooks, site by site and edit by edit.\n"
    )
    yield "| | " + " | ".join(f"`{b}` read | edit" for b in found) + " |"
    yield "| --- " * (1 + 2 * len(found)) + "|"
    tallies = {b: _tally(each) for b, each in found.items()}
    kinds = dict.fromkeys(
        what.partition(" ")[2]
        for tally in tallies.values()
        for what in tally
        if what.startswith("read ")
    )
    for kind in kinds:
        cells = [_cell(t[f"{verb} {kind}"]) for t in tallies.values() for verb in ("read", "edit")]
        yield _row(kind, cells)
    yield "\n| | " + " | ".join(f"`{b}`" for b in found) + " |"
    yield "| --- " * (1 + len(found)) + "|"
    for run, words in RUNS.items():
        yield _row(words, [_cell(t[run]) if run in t else "not offered" for t in tallies.values()])


def _tally(each: Sequence[Outcomes]) -> dict[str, Counter[str]]:
    """Count model types by capability: one works where any layer does and none is wrong."""
    tally: dict[str, Counter[str]] = {}
    for outcome in each:
        seen: dict[str, set[str]] = {}
        for o in outcome[1:]:
            seen.setdefault(o["capability"].partition(".")[0], set()).add(o["outcome"])
        for what, kinds in seen.items():
            order = ("unexpected", "differs", "works", "refused")
            tally.setdefault(what, Counter())[next(k for k in order if k in kinds)] += 1
    return tally


def _cell(counts: Counter[str]) -> str:
    wrong = counts["differs"] + counts["unexpected"]
    return f"{counts['works']} of {counts.total()}" + (f", {wrong} wrong" if wrong else "")


def _reasons(flat: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    yield "\n### What is refused, by reason\n"
    yield "| backend | reason | model types | what |"
    yield "| --- | --- | --- | --- |"
    for backend, each in flat.items():
        who: dict[str, dict[str, set[str]]] = {}
        for o in each:
            if o["outcome"] == "refused":
                named = who.setdefault(_kind_of(o["detail"]), {})
                named.setdefault(o["name"], set()).add(_site_of(o["capability"]))
        for reason, named in sorted(who.items(), key=lambda item: -len(item[1])):
            sites = dict.fromkeys(site for some in named.values() for site in sorted(some))
            yield f"| `{backend}` | {reason} | {len(named)} | {', '.join(sites)} |"


def _site_of(capability: str) -> str:
    return re.sub(r"^(read|edit) ", "", capability).partition(".")[0]


def _kind_of(reason: str) -> str:
    """Return a reason without what differs between model types, layers and numbers."""
    reason = re.sub(r"^.*? cannot (?:read|edit) \S+: ", "", reason)
    reason = re.sub(r"; parts were found for.*|Available architectures: .*", "", reason)
    reason = re.sub(r"\b(?:read|edit) \w+\.\d+: ", "", reason)
    reason = re.sub(r"\b[A-Z]\w*(?:For\w+|Model|LMHead\w*)\b", "the model", reason)
    reason = re.sub(
        r"no part of the model gives \w+ by itself", "no part gives it by itself", reason
    )
    reason = re.sub(r"layers? \d+(?:, \d+)*", "some layers", reason)
    reason = re.sub(r"only some layers have \w+", "only some layers have it", reason)
    reason = re.sub(r"error [\d.e+-]+", "error above what is", reason)
    reason = re.sub(r"the (first|last) head of [qkvz]", r"the \1 head", reason)
    return _plain(reason)


def _plain(reason: str) -> str:
    return " ".join(re.sub(r"([\\`*_<>\[\]|#])", r"\\\1", reason).split())


def _row(name: str, cells: Sequence[Any]) -> str:
    return f"| {name} | " + " | ".join(map(str, cells)) + " |"


def _largest(each: Sequence[dict[str, Any]]) -> str:
    errors = [float(o["detail"]) for o in each if o["outcome"] == "works" and o["detail"]]
    return f"{max(errors, default=0.0):.1e}"


def _comparison() -> Any:
    """Load the comparisons of the slow tests."""
    if "zoo_comparison" not in sys.modules:
        spec = importlib.util.spec_from_file_location("zoo_comparison", TESTS)
        if spec is None or spec.loader is None:
            raise SystemExit(f"{TESTS} is missing")
        sys.modules["zoo_comparison"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["zoo_comparison"]


@cache
def _state_of_the_code() -> str:
    """Return a hash of all that decides what a comparison finds."""
    files = sorted((ROOT / "workbench" / "model").rglob("*.py"))
    found = hashlib.sha256(f"{transformers.__version__} {torch.__version__}".encode())
    for file in (TESTS, *files):
        found.update(file.read_bytes())
    return found.hexdigest()[:16]
