"""`workbench look`: one text token by token, and layer by layer, in the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from app.cli.escaping import typed, visible_cell
from app.cli.layout import number
from app.cli.output import console, say, write_json
from app.cli.progress_bar import ProgressBar
from app.cli.run_flags import MODEL, loaded_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.text import Text

    from workbench.result.grid import Grid
    from workbench.runs.text_grid import TextGrid

_DEFAULT = ("token-trace", "logit-lens")
_SHADES = " ░▒▓█"
_CELL = 3


@click.command(
    epilog="\b\nExample:\n  workbench look 'The Eiffel Tower is in Paris.'\n"
    "  workbench look 'Why is it so?' --probe all --map 'smoothness cosine'\n"
    "  workbench look 'Guten Tag' --json"
)
@click.argument("text")
@click.option(
    "--probe",
    "probes",
    multiple=True,
    metavar="NAME",
    help="What to measure; may be repeated; all for every one.  [default: token-trace, logit-lens]",
)
@click.option("--strip", metavar="METRIC", help="Colour of the tokens.  [default: surprisal]")
@click.option("--map", "map_", metavar="METRIC", help="Cells of the map.  [default: kl]")
@click.option("--longest", type=click.IntRange(min=1), default=256, show_default=True,
              help="Cut the text to so many tokens.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Seed of the controls.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(text: str, probes: Sequence[str], as_json: bool, **flags: Any) -> None:
    """Show one text as a strip of tokens and a map of layers, from any probe with a grid."""
    from workbench.runs.text_grid import grid

    names = () if "all" in probes else probes or _DEFAULT
    with ProgressBar() as progress:
        model = loaded_model(flags, progress)
        found = grid(
            typed(text),
            model=model,
            probes=names,
            seed=flags["seed"],
            longest=flags["longest"],
            progress=progress,
        )
    for problem in found.problems:
        say(f"left out: {problem}")
    if found.n_cut:
        say(f"the text was cut to {flags['longest']} tokens")
    if as_json:
        write_json(_plain(found))
        return
    _draw(found, flags["strip"], flags["map_"])


command.params.extend(MODEL)


def _draw(found: "TextGrid", strip: str | None, map_: str | None) -> None:
    grid = found.grid
    strip = _named(strip, tuple(grid.strips), found.strip_name)
    out = console()
    out.print(_strip(grid, strip))
    say(f"strip: {_about(grid, strip, grid.token_strip(strip))}")
    if grid.maps:
        map_ = _named(map_, tuple(grid.maps), found.map_name)
        for line in _map(grid, map_, max(1, (out.width - 6) // _CELL)):
            out.print(line, no_wrap=True, overflow="crop")
        say(f"map: {_about(grid, map_, grid.map(map_))}; layers downwards")
    say(f"strips: {', '.join(grid.strips)}")
    say(f"maps: {', '.join(grid.maps) or 'none'}")


def _named(given: str | None, known: Sequence[str], default: str) -> str:
    """Return the metric that is meant, with or without the name of its probe."""
    from workbench.errors import UnknownName

    if given is None:
        return default
    meant = [name for name in known if name == given or name.split(" ", 1)[1] == given]
    if not meant:
        raise UnknownName(f"no metric is called {given!r}; there are {', '.join(known)}")
    return meant[0]


def _strip(grid: "Grid", metric: str) -> "Text":
    from rich.text import Text

    values, line = grid.token_strip(metric), Text()
    levels = _levels(values.tolist())
    for token, value, level in zip(grid.tokens, values.tolist(), levels, strict=True):
        line.append(visible_cell(token), style=_style(level))
        line.append(f" {number(value)} " if level is not None else " – ", style="dim")
    return line


def _map(grid: "Grid", metric: str, per_block: int) -> "list[Text]":
    from rich.text import Text

    values = grid.map(metric)
    levels = _levels(values.reshape(-1).tolist())
    width, lines = values.shape[1], []
    for start in range(0, width, per_block):
        columns = range(start, min(start + per_block, width))
        lines.append(Text("      " + "".join(f"{p:<{_CELL}}" for p in columns), style="dim"))
        for i, layer in enumerate(grid.layers):
            line = Text(f"{layer:>4}  ", style="dim")
            for p in columns:
                level = levels[i * width + p]
                shade = "·" if level is None else _SHADES[level]
                line.append(shade * (_CELL - 1) + " ", style=_style(level))
            lines.append(line)
    return lines


def _levels(values: Sequence[float]) -> list[int | None]:
    """Return for each value one of five levels between the least and the largest."""
    import numpy as np

    x = np.array(values, dtype=np.float64)
    finite = x[np.isfinite(x)]
    if not len(finite):
        return [None] * len(x)
    low, high = float(finite.min()), float(finite.max())
    scale = (len(_SHADES) - 1) / (high - low) if high > low else 0.0
    return [round((v - low) * scale) if np.isfinite(v) else None for v in x.tolist()]


def _style(level: int | None) -> str:
    return ("", "blue", "cyan", "yellow", "bold red")[level] if level is not None else "dim"


def _about(grid: "Grid", metric: str, values: "NDArray[np.float64]") -> str:
    """Return a metric's name, range, unit and meaning."""
    import numpy as np

    column, finite = grid.columns.get(metric), values[np.isfinite(values)]
    ends = f"{number(finite.min())} to {number(finite.max())} " if finite.size else ""
    return f"{metric}, {ends}{column.unit if column else ''} ({column.help if column else ''})"


def _plain(found: "TextGrid") -> dict[str, Any]:
    from workbench.result.tables import plain_cell

    grid = found.grid
    return {
        "model": found.model,
        "tokens": list(grid.tokens),
        "layers": list(grid.layers),
        "strips": {name: plain_cell(x.tolist()) for name, x in grid.strips.items()},
        "maps": {name: plain_cell(x.tolist()) for name, x in grid.maps.items()},
        "words": {name: [list(row) for row in x] for name, x in grid.words.items()},
        "units": {name: c.unit for name, c in grid.columns.items() if c.unit},
        "problems": list(found.problems),
    }
