"""`workbench generate`: let a model write, with reads and edits at every step."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.escaping import typed, visible
from app.cli.output import console, say, write_json
from app.cli.policies import FLAGS, SETTINGS, make_policy
from app.cli.progress_bar import ProgressBar
from app.cli.run_flags import MODEL, loaded_model, stdin_is_piped
from workbench.errors import DataError, InputError
from workbench.runs import typed_edits

if TYPE_CHECKING:
    from workbench.model.masks import Layout
    from workbench.model.model import Model
    from workbench.model.tokens import Tokens
    from workbench.model.trace import Trace
    from workbench.progress import Progress


def _number(flag: str, *, least: int, default: int, words: str) -> Callable[..., Any]:
    kind = click.IntRange(min=least)
    return click.option(flag, type=kind, default=default, show_default=True, help=words)


@click.command(
    epilog="\b\nExample:\n  workbench generate --text 'Once upon a time' --limit 40\n"
    "  workbench generate --text 'Hello' --policy contrastive --alpha 0.6 --json\n"
    "  workbench generate --text 'I think' --edit 'scale:mlp_out.3:0.5'"
)
@click.option(
    "--text",
    multiple=True,
    help="A prompt; may be repeated.  [default: one per line of standard input]",
)
@click.option(
    "--parts",
    metavar="FILE",
    help="Prompts whose parts do not see each other: 'Options:{{ one;|| two;}} Answer:'. Text is "
    "taken as written, blocks nest, a line of --- begins the next prompt.",
)
@click.option("--chat", is_flag=True, help="Wrap each prompt in the model's chat template.")
@click.option(
    "--policy",
    type=click.Choice(list(SETTINGS)),
    default="greedy",
    show_default=True,
    help="How the next token is chosen.",
)
@click.option("--temperature", type=float, help="sample: 0 is greedy.  [default: 1]")
@click.option("--top-p", type=float, help="sample: mass of the nucleus.  [default: 1]")
@click.option("--top-k", type=int, help="sample: most tokens kept.  [default: all]")
@click.option("--k", type=int, help="contrastive, momentum: candidates.  [default: 5]")
@click.option(
    "--alpha",
    type=float,
    help="contrastive: weight of the penalty (0.6); momentum: friction (0.2).",
)
@click.option(
    "--skip-first/--with-first",
    default=None,
    help="contrastive: leave the first position out of the penalty.",
)
@_number("--limit", least=1, default=64, words="Most tokens to generate.")
@_number("--seed", least=0, default=0, words="Seed; every prompt draws from its own stream.")
@click.option("--edit", "edits", multiple=True, help=typed_edits.HELP)
@click.option(
    "--read",
    "reads",
    multiple=True,
    metavar="SITE",
    help="Record a site, such as resid_post.-1, or several: attn_out.*[-1], mlp_out.4:8.  "
    "May be repeated.",
)
@click.option("--save", metavar="FILE", help="Write what was read to a safetensors file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(text: Sequence[str], chat: bool, as_json: bool, save: str | None, **flags: Any) -> None:
    """Generate text from prompts, with any policy, reads and edits."""
    if flags["parts"] and (text or chat):
        raise InputError("--parts brings its own prompts", hint="leave out --text and --chat")
    if save and not flags["reads"]:
        raise InputError("--save without --read has nothing to write", hint="--read resid_post.-1")
    policy = make_policy(flags["policy"], {k: flags[k] for k in _SETTINGS})
    parts = _read(flags["parts"])
    prompts = [one for one, _ in parts] or [typed(one) for one in text] or _piped()
    with ProgressBar() as progress:
        model = loaded_model(flags, progress)
        asked = _in_parts(model, parts) if parts else _asked(model, prompts, chat)
        trace = _generate(model, asked, policy, flags, progress)
    rows = _rows(model, prompts, trace)
    reads = _reads(trace, len(rows))
    if save:
        _save(trace, len(rows), Path(save))
        say(f"wrote {save}")
    if as_json:
        facts = {"model": model.spec.name, "policy": flags["policy"], "seed": flags["seed"]}
        write_json({**facts, "rows": rows, "reads": reads})
    else:
        _draw(rows, reads)


command.params.extend((*FLAGS, *MODEL))

_SETTINGS = tuple(dict.fromkeys(name for names in SETTINGS.values() for name in names))


def _piped() -> list[str]:
    if not stdin_is_piped():
        raise InputError("no prompt was given", hint="--text 'Once upon a time'")
    try:
        lines = sys.stdin.buffer.read().decode().splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"standard input is not valid UTF-8: {error}") from error
    prompts = [line for line in lines if line.strip()]
    if not prompts:
        raise DataError("standard input holds no prompt")
    return prompts


def _asked(model: "Model", prompts: Sequence[str], chat: bool) -> "tuple[Tokens, Layout | None]":
    from workbench.model.tokens import pad
    from workbench.sampling.rendering import message_ids, text_ids

    empty = [i for i, prompt in enumerate(prompts, start=1) if not prompt.strip()]
    if empty:
        raise InputError(f"prompts {empty} are empty", hint="give a word to begin with")
    tokenizer, name = model.tokenizer, model.spec.name
    if chat:
        rows = [message_ids(tokenizer, prompt, name=name) for prompt in prompts]
    else:
        rows = [text_ids(tokenizer, prompt) for prompt in prompts]
    return pad(rows, side="left").to(model.device), None


def _read(path: str | None) -> list[tuple[str, str]]:
    if not path:
        return []
    from workbench.sampling.parts import read_parts

    return read_parts(path)


def _in_parts(model: "Model", parts: Sequence[tuple[str, str]]) -> "tuple[Tokens, Layout | None]":
    from workbench.model.masks import lay_out
    from workbench.sampling.parts import pieces_of

    return lay_out([pieces_of(model.tokenizer, one, source=place) for one, place in parts])


def _generate(
    model: "Model",
    asked: "tuple[Tokens, Layout | None]",
    policy: Any,
    flags: Mapping[str, Any],
    progress: "Progress",
) -> "Trace":
    from workbench.model.generation import GenerationOptions

    prompts, layout = asked
    return model.generate(
        prompts,
        policy=policy,
        limit=flags["limit"],
        read=list(flags["reads"]),
        edits=[e for text in flags["edits"] for e in typed_edits.parse_edits(text, model.spec)],
        options=GenerationOptions(
            seeds=flags["seed"], layout=layout, keep_logprobs=True, progress=progress
        ),
    )


def _rows(model: "Model", prompts: Sequence[str], trace: "Trace") -> list[dict[str, Any]]:
    return [
        {
            "prompt": prompt,
            "text": model.decode(ids),
            "tokens": list(ids),
            "n_tokens": len(ids),
            "logprobs_nats": list(logprobs),
            "ended": ended,
        }
        for prompt, ids, logprobs, ended in zip(
            prompts, trace.generated, trace.logprobs, trace.ended, strict=True
        )
    ]


def _reads(trace: "Trace", n: int) -> list[dict[str, Any]]:
    return [
        {
            "site": str(site),
            "row": i + 1,
            "shape": list(x.shape),
            "mean_norm": float(x.float().flatten(1).norm(dim=-1).mean()),
        }
        for site in trace.activations
        for i in range(n)
        for x in [trace.row(i, site)]
    ]


def _save(trace: "Trace", n: int, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {
        f"{i + 1}.{site}": trace.row(i, site).contiguous().cpu()
        for site in trace.activations
        for i in range(n)
    }
    try:
        save_file(tensors, path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot write {path}: {error}", hint="choose another --save") from error


def _draw(rows: Sequence[Mapping[str, Any]], reads: Sequence[Mapping[str, Any]]) -> None:
    from rich.text import Text

    from app.cli.output import show_table
    from workbench.result.tables import Table

    out = console()
    for row in rows:
        out.print(
            Text.assemble(
                (visible(row["prompt"], keep_newlines=True), "dim"),
                visible(row["text"], keep_newlines=True),
            )
        )
        mean = sum(row["logprobs_nats"]) / max(1, row["n_tokens"])
        say(f"{row['n_tokens']} tokens, {mean:.2f} nats per token, ended by {row['ended']}")
    if reads:
        show_table(Table.from_rows(reads), title="reads")
