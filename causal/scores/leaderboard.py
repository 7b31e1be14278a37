"""Score tables: reading, base-model domains, snapshot identity and filters."""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd

from causal.scores.cleaning import CleaningReport, clean, tidy_names
from causal.scores.rows import DomainRows
from causal.scores.schemas import MTEB_GROUPS, Schema, detect, family_name, task_group
from workbench.errors import BadRows, DataError, ModelNotFound, TooLittleData, UnknownName
from workbench.result.result import Note
from workbench.result.tables import Table

BUNDLED = "leaderboard_2025-02-20.parquet"
SUFFIXES = (".csv", ".parquet", ".pq", ".tsv", ".json", ".jsonl")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Which state of a leaderboard the numbers come from.

    `sha256` is that of the file as read, or of the cells when there was no file.
    """

    source: str
    sha256: str
    rows: int
    schema: str
    latest: str = ""

    @property
    def id(self) -> str:
        """A short name to print beside every number."""
        until = f", submissions to {self.latest}" if self.latest else ""
        return f"{self.schema}, {self.rows} rows{until}, sha256 {self.sha256[:12]}"


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreTable:
    """Models by benchmarks, with facts about each model and a domain label with its evidence.

    `frame` holds the facts under fixed names (`model`, `domain`, `evidence`, …) and one numeric
    column per benchmark, in the leaderboard's own units, without missing cells.
    """

    frame: pd.DataFrame
    benchmarks: tuple[str, ...]
    snapshot: Snapshot
    report: CleaningReport
    notes: tuple[Note, ...] = ()

    def __len__(self) -> int:
        """Return the number of models."""
        return len(self.frame)

    @property
    def scores(self) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
        """The scores, one row per model."""
        return self.frame[list(self.benchmarks)].to_numpy(dtype=np.float64)

    def domain_counts(self) -> dict[str, int]:
        """Rows per domain, largest first, without the unknown ones."""
        counts = self.frame.loc[self.frame["domain"] != "", "domain"].value_counts()
        return {str(name): int(n) for name, n in counts.items()}

    def rows(self, domains: Iterable[str]) -> DomainRows:
        """Split the scores of the named domains.

        Raises:
            UnknownName: a name is no domain of this table.
        """
        names, counts = tuple(domains), self.domain_counts()
        missing = [name for name in names if name not in counts]
        if missing:
            known = ", ".join(f"{d} ({n})" for d, n in list(counts.items())[:12])
            raise UnknownName(f"no domain {', '.join(map(repr, missing))}; there are {known}")
        labels = self.frame["domain"].to_numpy()
        blocks = tuple(self.scores[labels == name] for name in names)
        return DomainRows(names=names, benchmarks=self.benchmarks, blocks=blocks)

    def keep(
        self, mask: "np.ndarray[tuple[int], np.dtype[np.bool_]]", *notes: Note
    ) -> "ScoreTable":
        """Keep the rows of a mask, adding notes."""
        frame = self.frame[mask].reset_index(drop=True)
        return replace(self, frame=frame, notes=(*self.notes, *notes))

    def as_table(self) -> Table:
        """Return the cells as a plain table that remembers its snapshot."""
        frame = self.frame.copy()
        frame.attrs.update(asdict(self.snapshot))
        return Table(frame)


def read_scores(
    source: str | Path,
    *,
    schema: Schema | None = None,
    scores: tuple[str, ...] = (),
    grouped: bool = False,
) -> ScoreTable:
    """Read a leaderboard from a path, a hub data file or the shipped extract (`bundled`).

    A hub file is written `hub:owner/name/path/in/the/dataset.parquet`. With `grouped`, tasks are
    averaged by the kind their name ends with and families stand in for base models.

    Raises:
        ModelNotFound: there is no such file.
        BadRows: the file cannot be read as a table.
        UnknownName: its columns fit no known table and no schema was given.
    """
    raw, digest, name = _load(source)
    return _build(raw, Origin(name, digest), schema=schema, scores=scores, grouped=grouped)


def from_table(
    table: Table,
    *,
    schema: Schema | None = None,
    scores: tuple[str, ...] = (),
    grouped: bool = False,
) -> ScoreTable:
    """Read a leaderboard from a table in memory, recognising its columns."""
    attrs = table.frame.attrs
    digest = attrs.get("sha256") or _digest(table.frame)
    origin = Origin(str(attrs.get("source", "table in memory")), str(digest))
    built = _build(table.frame, origin, schema=schema, scores=scores, grouped=grouped)
    if {f.name for f in fields(Snapshot)} <= attrs.keys():
        # A table that was read before keeps the identity of the file it came from.
        known = Snapshot(**{f.name: attrs[f.name] for f in fields(Snapshot)})
        return replace(built, snapshot=known)
    return built


def bundled() -> ScoreTable:
    """Return the shipped facts-only extract of the repaired snapshot."""
    return read_scores("bundled")


@dataclass(frozen=True)
class Origin:
    """Where cells came from and the hash of what was read."""

    source: str
    sha256: str


def _build(
    raw: pd.DataFrame,
    origin: Origin,
    *,
    schema: Schema | None,
    scores: tuple[str, ...],
    grouped: bool,
) -> ScoreTable:
    raw = tidy_names(raw)
    if raw.empty:
        raise TooLittleData(f"{origin.source} holds no rows")
    schema = schema or detect(map(str, raw.columns))
    notes: tuple[Note, ...] = ()
    if grouped:
        raw, schema, notes = _grouped(raw, schema)
    frame, names, report = clean(raw, schema, scores=scores)
    latest = str(frame["submitted"].max()) if "submitted" in frame else ""
    snapshot = Snapshot(
        source=origin.source,
        sha256=origin.sha256,
        rows=report.rows_read,
        schema=schema.name,
        latest=latest,
    )
    return ScoreTable(
        frame=frame,
        benchmarks=names,
        snapshot=snapshot,
        report=report,
        notes=(*notes, *report.notes()),
    )


def _load(source: str | Path) -> tuple[pd.DataFrame, str, str]:
    text = str(source)
    if text == "bundled":
        content = resources.files("causal").joinpath("data", BUNDLED).read_bytes()
        return _parse(content, ".parquet", text), hashlib.sha256(content).hexdigest(), BUNDLED
    path = _from_hub(text) if text.startswith("hub:") else Path(text).expanduser()
    if not path.is_file():
        raise ModelNotFound(
            f"no file {text}",
            hint="give a CSV or Parquet file, `hub:owner/name/file`, or `bundled`",
        )
    if path.suffix.lower() not in SUFFIXES:
        raise BadRows(f"{path.name} ends in {path.suffix!r}; expected {', '.join(SUFFIXES)}")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return _parse(content, path.suffix.lower(), path.name), digest, path.name


def _parse(content: bytes, suffix: str, name: str) -> pd.DataFrame:
    buffer = io.BytesIO(content)
    try:
        if suffix in (".parquet", ".pq"):
            return pd.read_parquet(buffer)
        if suffix in (".json", ".jsonl"):
            return pd.read_json(buffer, lines=suffix == ".jsonl")
        return pd.read_csv(buffer, sep="\t" if suffix == ".tsv" else ",")
    except (ValueError, OSError) as error:
        raise BadRows(
            f"{name} cannot be read as a table: {error}", hint="check the file and its ending"
        ) from error


def _from_hub(text: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    parts = text.removeprefix("hub:").split("/", 2)
    if len(parts) < 3:
        raise BadRows(f"{text!r} names no file", hint="write hub:owner/name/path/to/file.parquet")
    owner, name, filename = parts
    try:
        return Path(hf_hub_download(f"{owner}/{name}", filename, repo_type="dataset"))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise DataError(
            f"{text} could not be fetched: {error}", hint="download it once and give its path"
        ) from error


def _digest(frame: pd.DataFrame) -> str:
    hashes = pd.util.hash_pandas_object(frame.astype(str), index=False).to_numpy()
    columns = "\x00".join(map(str, frame.columns)).encode()
    return hashlib.sha256(columns + hashes.tobytes()).hexdigest()


def _grouped(raw: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, Schema, tuple[Note, ...]]:
    model = schema.facts["model"]
    groups = {g: [c for c in raw if task_group(str(c)) == g] for g in MTEB_GROUPS}
    groups = {g: columns for g, columns in groups.items() if columns}
    if not groups:
        raise UnknownName("no column name ends in a known kind of task, so none can be grouped")
    frame = pd.DataFrame({"model": raw[model]})
    for group, columns in groups.items():
        numeric = raw[columns].apply(pd.to_numeric, errors="coerce")
        # A mean over the tasks that happen to be present would compare unlike things.
        frame[group] = numeric.mean(axis=1).where(numeric.notna().all(axis=1))
    frame["domain"] = [family_name(str(name)) for name in raw[model]]
    grouped = Schema(
        name=f"{schema.name}-grouped",
        facts={"model": "model", "domain": "domain"},
        scores=tuple(groups),
    )
    used = sum(map(len, groups.values()))
    note = Note(
        f"{used} tasks averaged into {len(groups)} groups by the end of their name, "
        f"{len(raw.columns) - 1 - used} tasks left out; the domain is the first word of the "
        "model's name, not a declared base model",
        level="warning",
        code="grouped-tasks",
    )
    return frame, grouped, (note,)
