"""Old run records brought to today's schema."""

from typing import Any

from workbench.errors import CorruptRun

SCHEMA_VERSION = 1


def migrate(record: Any) -> dict[str, Any]:
    """Return a record of any known schema version in today's.

    Raises:
        CorruptRun: the record has no version, or one from the future.
    """
    version = record.get("schema_version") if isinstance(record, dict) else None
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise CorruptRun(
            f"run record has schema version {version!r}; this workbench reads 1 to "
            f"{SCHEMA_VERSION}",
            hint="update latent-workbench",
        )
    return dict(record)
