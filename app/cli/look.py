"""`workbench look`: one text token by token, and layer by layer, in the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from app.cli.escaping import typed
from app.cli.output import console, say, write_json
from app.cli.progress_bar import ProgressBar
from app.cli.run_flags import MODEL, loaded_model
from app.cli.token_map import about, map_lines, strip_line

if TYPE_CHECKING:
    from workbench.runs.text_grid import TextGrid

_DEFAULT = ("token-trace", "logit-lens")


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
    out.print(strip_line(grid, strip))
    say(f"strip: {about(grid, strip, grid.token_strip(strip))}")
    if grid.maps:
        map_ = _named(map_, tuple(grid.maps), found.map_name)
        for line in map_lines(grid, map_, out.width):
            out.print(line, no_wrap=True, overflow="crop")
        say(f"map: {about(grid, map_, grid.map(map_))}; layers downwards")
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
