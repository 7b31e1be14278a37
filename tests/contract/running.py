"""How each plugin is run quickly: every run is made once and shared by all checks.

A plugin from outside needs nothing here unless its defaults take long on a tiny model, or it
cannot run without trained weights.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import torch

from causal.searches import stability
from causal.searches.algorithms import run as run_search
from tests.contract.material import FAMILY, concept_rows, digits, folder, rows_file, table_for
from workbench.methods.contracts import BringsModel
from workbench.methods.registry import find
from workbench.methods.shapes import follows
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.tiny import tiny_model
from workbench.runs.execute import execute
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store
from workbench.training.adapter import Adapter, LoraShape
from workbench.training.checkpoint import Checkpoint, Manifest

# A copy that breaks a promise runs as the plugin behind that prefix does.
BROKEN = "broken-"
SUMS = "sums?terms=2&largest=9"
PROSQA = "prosqa?hops=2&classes=6&brief=yes"
BLOCKS = "blocksworld?blocks=4&brief=yes"
QUICK = {
    ("probe", "decoders"): {"new_tokens": 4},
    ("probe", "critical-tokens"): {"draws": 8, "samples": 4, "new_tokens": 6},
    ("probe", "hybrid-trace"): {"untrained": True, "tokens": 4},
    ("probe", "future-tokens"): {"offsets": 2, "layers": "1", "classes": 4, "dims": 4},
    ("probe", "look-ahead"): {"ahead": 1, "layers": "1", "dims": 4},
    ("probe", "order-sensitivity"): {"orders": 2, "layouts": "plain,mask"},
    ("probe", "docnade"): {"letters": 0, "topics": 2, "dims": 4, "epochs": 2, "layers": "-1:"},
    ("probe", "soft-inputs"): {"fitted": 16, "held": 4, "steps": 1, "patch": 3, "series": "ar"},
    ("probe", "steering"): {"doses": "-1,1", "new_tokens": 4, "prompts": 2, "randoms": 1},
    # One site: the mean difference, which costs a tenth, is read at every one of them.
    ("probe", "languages"): {"parallel": "text", "about": "king|cat|in"},
    ("probe", "linear"): {"at": ["resid_post.1[-1]"], "regularisation": 1.0},
    ("probe", "sentence-lens"): {"sentences": 4, "limit": 4, "controls": 2, "fitted": 60},
    ("probe", "context-ablation"): {"largest": 4},
    ("probe", "patching"): {"layers": "1"},
    ("probe", "contrastive-estimate"): {"draws": 8, "samples": 4, "new_tokens": 6, "top_p": 1.0},
    ("recipe", "tuned-lens"): {"preset": "tiny", "steps": 2, "start_tokens": 0},
    ("probe", "concept-effect"): {
        "controls": ("other",), "template": "{text} and", "answers": (" sat", " ran"),
        "layers": "0:3:2", "fit": 20, "pairs": 8, "draws": 2, "neighbours": 2,
    },
    ("probe", "edit-effect"): {"edits": ("ablate:mlp_out.1",), "tokens": 4},
    ("probe", "beliefs"): {"n_folds": 2, "shown": 1},
    ("probe", "elicitation"): {"questions": 4, "steps": 1, "interviews": 2},
    ("probe", "head-tuning"): {"examples": 10, "draws": 4, "ratios": "0.5,2"},
    ("recipe", "belief-network"): {"preset": "tiny", "steps": 2, "judged": 4},
    ("recipe", "diffusion-network"): {"preset": "tiny"},
    ("recipe", "question-network"): {"preset": "tiny", "steps": 2, "judged": 4, "asked": 4},
    **{("probe", f"choice-{name}"): {"n_folds": 2, "layers": "0:2"}
       for name in ("structure", "swap", "correctness")},
    ("probe", "diffusion"): {
        "decoders": ("confidence", "chosen-blocks", "energy"), "many": (9,), "draws": 2,
    },
    ("recipe", "dictionary"): {"preset": "tiny", "steps": 2},
    ("recipe", "sentence-words"): {"preset": "tiny", "own": 2},
    ("recipe", "sentence-decoder"): {"preset": "tiny", "own": 2, "steps": 2},
    ("recipe", "sentence-codec"): {
        "preset": "tiny", "steps": 2, "tasks": ("prosqa?classes=6&hops=2",),
    },
    ("recipe", "pooled-codec"): {
        "preset": "tiny", "steps": 2, "tasks": ("prosqa?classes=6&hops=2",),
    },
    ("recipe", "coconut"): {
        "preset": "tiny", "stages": 2, "steps": 2, "writing": 2, "judged": 4,
        "arms": "coconut,pause", "tokens": 12,
    },
    ("recipe", "chain-writer"): {"preset": "tiny", "steps": 2, "tokens": 12},
    ("recipe", "sentence-chain"): {
        "preset": "tiny", "problems": 12, "held_out": 4, "batch": 4,
        "writing": 4, "embedding": 4, "prediction": 4,
    },
    ("recipe", "hybrid"): {
        "preset": "tiny", "seeds": 1, "arms": "grpo,hrpo", "format_steps": 2, "steps": 2,
        "prompts": 2, "responses": 2, "new_tokens": 6, "judged": 6, "problems": 40, "rank": 2,
    },
    ("recipe", "contrastive-estimate"): {
        "preset": "tiny", "temperature": 2.0, "top_p": 1.0, "new_tokens": 6,
        "questions": 12, "epochs": 2, "rank": 2, "samples": 12,
    },
    ("recipe", "cdpo"): {
        "preset": "tiny", "temperature": 2.0, "top_p": 1.0, "new_tokens": 6,
        "questions": 12, "held_out": 4, "epochs": 1, "rank": 2, "samples": 12,
    },
    ("discovery", "hierarchical"): {
        "k": 2, "null_draws": 5, "order_draws": 5, "restarts": 3, "variants": False,
        "resamples": 5, "scaling": "pooled", "subspace": "domain", "gate": 0.9, "least_models": 60,
    },
    ("discovery", "recovery"): {"sizes": (100,), "seeds": 2, "restarts": 2, "domains": 2},
    ("question", "what-if"): {"shock": ("z1=1",)},
    ("question", "effects"): {"cause": "z1", "effect": "z2"},
    ("question", "place"): {"model": "m0"},
    ("refuter", "held-out-domain"): {"draws": 19},
}  # fmt: skip


# Options that a plugin of a kind gets where it has them.
QUICK_OF_KIND = {
    "reasoner": {"tokens": 6, "limit": 4},
    "discovery": {"scope": "centred", "resamples": 2, "orders": 1, "least_models": 60},
    "refuter": {"draws": 5},
}


# Weights that one plugin needs and another trains: the recipe, the option that names their folder,
# and where in the recipe's folder the model and the weights are.
TRAINED_BY = {
    ("reasoner", "coconut"): ("coconut", "checkpoint", "model", "coconut"),
    ("reasoner", "hrpo"): ("hybrid", "checkpoint", "model", "."),
    ("reasoner", "sentence-continuous"): ("sentence-chain", "checkpoint", ".", "."),
    ("reasoner", "sentence-discretized"): ("sentence-chain", "checkpoint", ".", "."),
    ("recipe", "cdpo"): ("contrastive-estimate", "estimate", "", "."),
    ("probe", "tuned-lens"): ("tuned-lens", "checkpoint", "", "."),
    ("probe", "sentence-lens"): ("sentence-codec", "codec", "", "."),
    ("probe", "dictionary"): ("dictionary", "dictionary", "", "."),
    ("probe", "dictionary-feature"): ("dictionary", "dictionary", "", "."),
    ("probe", "sentence-words"): ("sentence-words", "checkpoint", "", "."),
    ("probe", "diffusion"): ("diffusion-network", "network", "", "."),
    ("recipe", "sentence-decoder"): ("sentence-words", "lens", "", "."),
}


# Probes of models that answer: the recipe whose model they read, the task it was trained on, and
# how many problems they need.
ANSWERING = ("question-network", "corr2cause?nodes=3&wording=brief&letters=4", 12)
ANSWERED = {("probe", f"choice-{name}") for name in ("structure", "swap", "correctness")}
TASKS = {
    ("recipe", "question-network"): ANSWERING[1],
    ("recipe", "belief-network"): "hidden-markov?length=6",
    ("recipe", "diffusion-network"): "sums?terms=3&smallest=10&largest=33",
    ("reasoner", "coconut"): PROSQA,
    ("reasoner", "sentence-continuous"): BLOCKS,
    ("reasoner", "sentence-discretized"): BLOCKS,
    ("recipe", "chain-writer"): PROSQA,
    ("recipe", "coconut"): PROSQA,
    ("recipe", "sentence-chain"): BLOCKS,
    ("recipe", "hybrid"): SUMS,
}


# How many texts are enough where every text costs many generations.
TEXTS = {
    ("probe", "hybrid-trace"): 3, ("probe", "order-sensitivity"): 4, ("probe", "edit-effect"): 4,
    ("probe", "branches"): 8, ("probe", "context-ablation"): 8, ("probe", "score"): 8,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A spec that runs quickly, and the model it runs on."""

    spec: RunSpec
    model: Model | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """A run, the setup behind it and the store that keeps it."""

    run: Run
    store: Store
    setup: Setup = field(repr=False)

    @property
    def result(self):
        """The result; fails with the reason where there is none."""
        assert self.run.failure is None, self.run.failure
        return self.run.result


def setup(kind: str, name: str) -> Setup:
    """Return the quick setup of a plugin."""
    plugin = find(kind, name)
    known = {info.name for info in plugin.options}
    quick = {k: v for k, v in QUICK_OF_KIND.get(kind, {}).items() if k in known}
    name = name.removeprefix(BROKEN)
    options = {**quick, **QUICK.get((kind, name), {}), **_weights(kind, name)}
    spec = RunSpec(kind=kind, name=plugin.name, options=options, resamples=20)
    return _SETUPS[plugin.takes](replace(spec, model=ModelRef(name=f"tiny:{FAMILY}", device="cpu")))


def _on_texts(spec: RunSpec) -> Setup:
    limit = TEXTS.get((spec.kind, spec.name))
    path = concept_rows() if spec.name == "concept-effect" else rows_file()
    data = DataRef(path=str(path), label="label", group="group", limit=limit)
    return Setup(spec=replace(spec, data=data), model=tiny_model(FAMILY))


def _on_task(spec: RunSpec) -> Setup:
    key = (spec.kind, spec.name)
    task, model = TASKS.get(key, SUMS), tiny_model(FAMILY)
    if spec.kind == "probe":
        task = find(*key).recipe.default_task
    if spec.name in ("cdpo", "contrastive-estimate") and spec.kind == "recipe":
        task = digits()
    if spec.kind == "reasoner" and key in TRAINED_BY:
        recipe, _, place, _ = TRAINED_BY[key]
        model = load_model(str(trained(recipe) / place))
    limit = None if spec.kind == "recipe" else 4 if spec.kind == "reasoner" else 2
    if key in ANSWERED:
        recipe, task, limit = ANSWERING
        model = load_model(str(trained(recipe)))
    spec = replace(spec, data=DataRef(task=task, limit=limit), model=ModelRef(name=model.spec.name))
    is_own = follows(find(*key).recipe, BringsModel)
    return Setup(spec=spec, model=None if is_own else model)


def _on_table(spec: RunSpec) -> Setup:
    path = folder() / f"{'planted' if spec.name == 'hierarchical' else 'searched'}.csv"
    if spec.name == "recovery":
        return Setup(spec=replace(spec, model=None))
    if not path.exists():
        table_for(spec.name).frame.to_csv(path, index=False)
    # A process for each fit costs seconds.
    stability.WORKER.call = lambda request, *, seconds: run_search(request)
    return Setup(spec=replace(spec, model=None, data=DataRef(path=str(path))))


def _on_graph(spec: RunSpec) -> Setup:
    about = run_of("discovery", "hierarchical")
    return Setup(spec=replace(spec, model=None, graph=about.run.run_id))


_SETUPS: dict[str, Callable[[RunSpec], Setup]] = {
    "texts": _on_texts,
    "labelled texts": _on_texts,
    "task": _on_task,
    "table": _on_table,
    "graph": _on_graph,
}


@cache
def run_of(kind: str, name: str, *, repeat: int = 0, batch_tokens: int = 2048) -> Outcome:
    """Run a plugin; `repeat` runs it anew, in a store of its own."""
    made = setup(kind, name)
    about = made.spec.graph
    store = run_of("discovery", "hierarchical").store if about else None
    store = store or Store(folder() / f"{kind}-{name}-{repeat}-{batch_tokens}")
    spec = replace(made.spec, batch_tokens=batch_tokens)
    run = execute(spec, store=store, model=made.model, fresh=bool(about))
    return Outcome(run=run, store=store, setup=made)


def trained(recipe: str) -> Path:
    """Return the checkpoint that a recipe's run left."""
    outcome = run_of("recipe", recipe)
    assert outcome.run.failure is None, outcome.run.failure
    return outcome.store.checkpoint(outcome.run.run_id)


def _weights(kind: str, name: str) -> dict[str, str]:
    if (kind, name) == ("probe", "contrastive-estimate"):
        return {"estimate": str(_contrast())}
    if (kind, name) == ("probe", "corpus-match"):
        return {"corpus": str(rows_file()), "new_tokens": 4}
    if (kind, name) in TRAINED_BY:
        recipe, option, _, place = TRAINED_BY[kind, name]
        return {option: str(trained(recipe) / place)}
    return {}


@cache
def _contrast() -> Path:
    """Two random adapters as a contrastive estimate."""
    model, shape = tiny_model(FAMILY), LoraShape(rank=2)
    tensors = {}
    for i, side in enumerate(("positive", "negative")):
        generator = torch.Generator().manual_seed(i)
        adapter = Adapter(model, shape, generator=generator, suffix=side)
        for parameter in adapter.parameters().values():
            parameter.data.normal_(generator=generator, std=0.3)
        tensors |= adapter.tensors(f"{side}.")
    manifest = Manifest(
        recipe="contrastive-estimate",
        options={"adapter": shape.as_dict()},
        base_model=model.spec.name,
        base_hash=model.spec.weights_hash,
        seed=0,
        data_hash="",
    )
    Checkpoint(manifest=manifest, tensors=tensors).save(folder() / "contrast")
    return folder() / "contrast"
