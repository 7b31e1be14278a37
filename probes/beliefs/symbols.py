"""Sequences of a process as a model reads them: which token ends which symbol."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from workbench.errors import DataError
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import pad
from workbench.sampling.processes.process import Exact, Process, read_symbols

_BATCH_TOKENS = 2048
_FINAL = Site(Kind.FINAL_NORM)


@dataclass(frozen=True, kw_only=True, eq=False)
class SymbolRow:
    """One sequence: its token ids, the token that ends each symbol, the symbols, what is known."""

    ids: tuple[int, ...]
    ends: Int[np.ndarray, " symbol"]
    symbols: Int[np.ndarray, " symbol"]
    exact: Exact


@dataclass(frozen=True, kw_only=True, eq=False)
class SymbolStates:
    """Of all symbols of all sequences: states by site, and the model's next-symbol distribution.

    `owner` is the sequence of each symbol and `after` how many symbols are seen there.
    `log_next` is that of the tokens which spell a symbol; −∞ where several tokens do.
    """

    states: Mapping[Site, Float[np.ndarray, "n d_model"]]
    log_next: Float[np.ndarray, "n symbol"]
    owner: Int[np.ndarray, " n"]
    after: Int[np.ndarray, " n"]


def symbol_rows(model: Model, texts: Sequence[str], process: Process) -> list[SymbolRow]:
    """Return texts with the last token of every symbol.

    Raises:
        DataError: a word is no symbol, or the tokenizer joins two symbols or tells no places.
    """
    found = []
    for text in texts:
        symbols = np.array(read_symbols(process, text))
        tokens = model.tokenize(text, limit=model.spec.max_positions)
        places = tokens.offsets[0] if tokens.offsets else ()
        last = {end: i for i, (start, end) in enumerate(places) if end > start}
        wanted = [m.end() for m in re.finditer(r"\S+", text)]
        missing = [end for end in wanted if end not in last]
        if missing:
            raise DataError(
                f"no token of {model.spec.name} ends where symbol {wanted.index(missing[0])} of "
                f"{text[:40]!r} does",
                hint="shorter sequences, or a model whose tokenizer keeps symbols apart",
            )
        ends = np.array([last[end] for end in wanted])
        exact = process.exact(symbols[None])
        found.append(SymbolRow(ids=tuple(tokens.row(0)), ends=ends, symbols=symbols, exact=exact))
    return found


def read_states(
    model: Model, rows: Sequence[SymbolRow], sites: Sequence[Site], context: Context
) -> SymbolStates:
    """Run sequences and keep the states at the end of every symbol, in the order of the rows."""
    spelt = _spelt(rows)
    states: dict[Site, list[np.ndarray]] = {site: [] for site in sites}
    log_next: list[np.ndarray] = []
    owner: list[np.ndarray] = []
    after: list[np.ndarray] = []
    for batch in _batches(rows):
        trace = model.run(pad([r.ids for r in batch]).to(model.device), read=(*sites, _FINAL))
        for i, row in enumerate(batch):
            ends = torch.from_numpy(row.ends)
            for site in sites:
                states[site].append(trace.row(i, site).float().cpu()[ends].numpy())
            logits = model.unembed(trace.row(i, _FINAL)[ends.to(model.device)], normed=True)
            told = torch.log_softmax(logits.float(), dim=-1).cpu().double().numpy()
            log_next.append(np.where(spelt < 0, -np.inf, told[:, spelt]))
            owner.append(np.full(len(row.ends), len(owner)))
            after.append(1 + np.arange(len(row.ends)))
        context.progress(len(owner), len(rows), "sequences read")
    return SymbolStates(
        states={site: np.concatenate(x) for site, x in states.items()},
        log_next=np.concatenate(log_next),
        owner=np.concatenate(owner),
        after=np.concatenate(after),
    )


def _batches(rows: Sequence[SymbolRow]) -> Iterator[Sequence[SymbolRow]]:
    start = 0
    while start < len(rows):
        end, width = start + 1, len(rows[start].ids)
        while end < len(rows) and (end - start + 1) * max(width, len(rows[end].ids)) <= (
            _BATCH_TOKENS
        ):
            width = max(width, len(rows[end].ids))
            end += 1
        yield rows[start:end]
        start = end


def _spelt(rows: Sequence[SymbolRow]) -> Int[np.ndarray, " symbol"]:
    """Return the one token that spells each symbol behind another one, −1 where several do."""
    n = rows[0].exact.log_next.shape[2]
    found = np.full(n, -1)
    for row in rows:
        for k in range(1, len(row.symbols)):
            if row.ends[k] == row.ends[k - 1] + 1:
                found[row.symbols[k]] = row.ids[row.ends[k]]
    return found
