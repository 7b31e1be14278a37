"""What is compared: tasks, sizes, trainings of the same budget, and the reasoners on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import BadOption
from workbench.model.default_model import DEFAULT_NAME
from workbench.sampling.sentences import answer_lead

_INIT_STD = 0.02
WRITER = "writer"
ANSWER_ONLY, CHAIN, ANEW = "answer-only", "chain-of-thought", "answer-only-anew"


@dataclass(frozen=True, kw_only=True)
class BenchTask:
    """A generated task: where its problems come from, and what else is asked after training.

    `stages` are the written steps that continuous thoughts replace at last, `chance` what giving
    the commonest answer gets. `further` are problems unlike those of the training, by their row.
    The writer makes `writing` times the updates of the preset, and all learn from `drawn` times
    its problems: looking a link up is learned from many graphs, not from few seen often. A network
    from nothing begins with weights of a standard deviation of `init_std` and learns to write at
    the highest `rate`, 0 for the preset's: with small weights or a higher rate the writer learned
    no links in 1,000 updates.
    """

    address: str
    stages: int
    chance: float
    further: Mapping[str, str] = field(default_factory=dict)
    writing: int = 1
    drawn: int = 1
    init_std: float = _INIT_STD
    rate: float = 0.0

    @property
    def asked(self) -> dict[str, Any]:
        """What of it decides which problems are asked; the rest is in the trainings' options."""
        budget = ("writing", "drawn", "init_std", "rate")
        return {name: value for name, value in vars(self).items() if name not in budget}


@dataclass(frozen=True, kw_only=True)
class ReasonerPreset:
    """How much every training may do.

    Every arm makes `writing` updates that all share, in which a random network learns to write
    chains, and `updates` of its own, of `batch` problems (or sampled responses) each. `rate` and
    `own_rate` are their highest learning rates; reinforcement has that of its recipe's preset
    `hybrid`. `judged` problems are like those trained on, `further` of each other row. `tokens`
    bound what is written. With a `model`, all weights of that one are trained on.
    """

    writing: int
    updates: int
    problems: int
    held_out: int
    batch: int
    layers: int
    width: int
    rate: float
    own_rate: float
    judged: int
    further: int
    tokens: int = 64
    responses: int = 4
    hybrid: str = "tiny"
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A recipe of the registry with its options; `begins` names the training it starts from."""

    recipe: str
    begins: str = WRITER
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way of reasoning: the training it runs on, and a reasoner of the registry.

    `folder` and `model` are where the training leaves the reasoner's weights and the model they
    belong to; `replaced` are the options that put something else in place of its thoughts, by what
    that is. Controls run on one task.
    """

    training: str
    reasoner: str
    options: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    model: str = ""
    replaced: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_control: bool = False


# An update by reinforcement also samples and asks the reference: half as many make as many passes.
SAMPLED = 2
_SUMS = "chained-sums?largest=9&terms=yes"
_GRAPH = "graph-search?words=1&animals=14&chain=search"
TASKS = {
    "chained-sums": BenchTask(
        address=f"{_SUMS}&least=2&most=3",
        stages=3,
        chance=0.11,
        further={f"{n} terms": f"{_SUMS}&least={n}&most={n}" for n in (4, 5)},
    ),
    "graph-search": BenchTask(
        address=f"{_GRAPH}&least=1&most=2",
        stages=4,
        chance=0.5,
        further={
            "unseen links": f"{_GRAPH}&least=1&most=2&names=unseen",
            "3 hops": f"{_GRAPH}&least=3&most=3",
        },
        writing=3,
        drawn=5,
        init_std=0.08,
        rate=3e-3,
    ),
    # The answer is the number of moves: one that no training has written cannot be asked for.
    "blocksworld": BenchTask(
        address="blocksworld?blocks=4&brief=yes", stages=4, chance=0.33, writing=2
    ),
}
CONTROL_TASK = "chained-sums"

PRESETS = {
    "tiny": ReasonerPreset(
        writing=12, updates=12, problems=64, held_out=8, batch=8, layers=2, width=16, rate=3e-3,
        own_rate=2e-3, judged=8, further=4, tokens=24,
    ),
    "cpu": ReasonerPreset(
        writing=1000, updates=600, problems=4000, held_out=32, batch=32, layers=2, width=64,
        rate=5e-3, own_rate=2e-3, judged=200, further=100,
    ),
    # Written down for a machine with an accelerator; its figures are not known.
    "gpu": ReasonerPreset(
        writing=1200, updates=960, problems=8000, held_out=64, batch=32, layers=0, width=0,
        rate=1e-4, own_rate=5e-5, judged=200, further=100, tokens=96, responses=8,
        hybrid="gpu", model=DEFAULT_NAME,
    ),
}  # fmt: skip

MIXED = {what: {"fed": what} for what in ("zero", "noise", "other")}
THOUGHTS = {**MIXED, "shuffled": {"fed": "shuffled"}}
TRAININGS = {
    WRITER: Training(recipe="chain-writer", begins=""),
    ANSWER_ONLY: Training(recipe="chain-writer", options={"learns": "answers"}),
    ANEW: Training(recipe="chain-writer", begins="", options={"learns": "answers"}),
    CHAIN: Training(recipe="chain-writer"),
    "sentences": Training(recipe="sentence-chain"),
    **{
        arm: Training(recipe="coconut", options={"arms": arm})
        for arm in ("coconut", "pause", "no-thought", "no-curriculum")
    },
    **{
        arm: Training(recipe="hybrid", options={"arms": arm})
        for arm in ("hrpo", "grpo", "hrpo-no-decay", "decay-only")
    },
}


def _thoughts(name: str, **more: Any) -> Arm:
    return Arm(training=name, reasoner="coconut", folder=name, model="model", **more)


def _mixtures(name: str, **more: Any) -> Arm:
    return Arm(training=name, reasoner="hrpo", folder=f"{name}-0", model="..", **more)


ARMS = {
    ANSWER_ONLY: Arm(training=ANSWER_ONLY, reasoner="cot"),
    CHAIN: Arm(training=CHAIN, reasoner="cot"),
    "sentence-discretized": Arm(training="sentences", reasoner="sentence-discretized"),
    "sentence-continuous": Arm(
        training="sentences",
        reasoner="sentence-continuous",
        options={"decode": "answer"},
        replaced=THOUGHTS,
    ),
    "coconut": _thoughts("coconut", replaced=THOUGHTS),
    "pause": _thoughts("pause"),
    "soft-thinking": Arm(training=CHAIN, reasoner="soft-thinking", replaced=MIXED),
    "moi": Arm(training=CHAIN, reasoner="moi", options={"greedy": True}, replaced=MIXED),
    "hrpo": _mixtures("hrpo", replaced={**MIXED, "tokens": {"gate": 1.0}}),
    ANEW: Arm(training=ANEW, reasoner="cot", is_control=True),
    "no-thought": _thoughts("no-thought", is_control=True),
    "no-curriculum": _thoughts("no-curriculum", replaced=THOUGHTS, is_control=True),
    "grpo": _mixtures("grpo", is_control=True),
    "hrpo-no-decay": _mixtures("hrpo-no-decay", is_control=True),
    "decay-only": _mixtures("decay-only", is_control=True),
}


def training_options(name: str, task: BenchTask, sizes: ReasonerPreset) -> dict[str, Any]:
    """Return the options of a training, its budget shared out over its stages."""
    training, updates = TRAININGS[name], sizes.updates
    scratch = not training.begins and not sizes.model
    shared = {"problems": sizes.problems * task.drawn, "held_out": sizes.held_out}
    begun = {**shared, "scratch": scratch, **training.options}
    if training.recipe == "chain-writer":
        return begun | _writing_options(name, task, sizes, scratch=scratch)
    if training.recipe == "sentence-chain":
        rates = dict.fromkeys(("embedding_rate", "prediction_rate"), sizes.own_rate)
        halves = {"embedding": updates // 2, "prediction": updates - updates // 2}
        return {**begun, "writing": 0, "batch": sizes.batch, **halves, **rates}
    if training.recipe == "coconut":
        steps = updates // task.stages
        told = {"stages": task.stages, "steps": steps, "judged": 2, "tokens": sizes.tokens}
        return {**begun, "writing": 0, "batch": sizes.batch, "rate": sizes.own_rate, **told}
    del begun["held_out"]
    return begun | {
        "preset": sizes.hybrid,
        "format_steps": 0,
        "seeds": 1,
        "steps": updates // SAMPLED,
        "prompts": sizes.batch // sizes.responses,
        "responses": sizes.responses,
        "new_tokens": sizes.tokens,
        "judged": 2,
        "mark": answer_lead(task.address).strip(),
    }


def _writing_options(
    name: str, task: BenchTask, sizes: ReasonerPreset, *, scratch: bool
) -> dict[str, Any]:
    """Return the options of a training on written text: the writer's, or one that goes on."""
    if TRAININGS[name].begins:
        return {"steps": sizes.updates, "batch": sizes.batch, "rate": sizes.own_rate}
    steps = sizes.writing * task.writing + (sizes.updates if name == ANEW else 0)
    shape = {name: vars(sizes)[name] for name in ("layers", "width")} if scratch else {}
    if scratch and task.init_std != _INIT_STD:
        shape["init_std"] = task.init_std
    rate = (scratch and task.rate) or sizes.rate
    return {"steps": steps, "batch": sizes.batch, "rate": rate, **shape}


def chosen(names: str, known: Mapping[str, Any], what: str) -> tuple[str, ...]:
    """Return the names of a comma-separated list, all of them without one.

    Raises:
        BadOption: a name is not known.
    """
    found = tuple(name.strip() for name in names.split(",") if name.strip()) or tuple(known)
    unknown = [name for name in found if name not in known]
    if unknown:
        raise BadOption(f"{what} {', '.join(unknown)}; expected some of {', '.join(known)}")
    return found
