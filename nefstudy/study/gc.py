"""Dropping neural datasets on request: which study's plan is overruled, and what is said of each."""

from collections.abc import Sequence

from rich.table import Table

from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger
from nefstudy.study.retention import Verdict, collect, parse_keep, verdicts


def collected(ledger: Ledger, root: str, *, keep: str | None, study: str | None, dry_run: bool) -> list[Verdict]:
    """What went, or with `dry_run` would go, and what stays.

    Raises:
        BadConfig: an unknown study, or a `keep` that is none.
        StudyBusy: a study is driven; not with `dry_run`.
    """
    names = [row.study for row in ledger.studies.all()]
    if study is not None and study not in names:
        raise BadConfig(f"unknown study {study!r}: the ledger holds {', '.join(names) or 'none yet'}; name one of them")
    if keep is not None:
        parse_keep(keep)
    overruled = {} if keep is None else dict.fromkeys(names if study is None else [study], keep)
    return verdicts(ledger, keep=overruled, root=root) if dry_run else collect(ledger, root, keep=overruled)


def gc_table(found: Sequence[Verdict], *, dry_run: bool) -> Table:
    """The verdicts for a terminal, what goes first and by size."""
    gone = sum(verdict.bytes for verdict in found if verdict.goes)
    kept = sum(verdict.bytes for verdict in found if not verdict.goes)
    word = "would go" if dry_run else "gone"
    table = Table(
        title=f"{gone / 1e6:,.1f} MB {word}, {kept / 1e6:,.1f} MB stay", box=None, pad_edge=False, title_justify="left"
    )
    for name in ("dataset", "cell", "MB", "", "because"):
        table.add_column(name, justify="right" if name == "MB" else "left", no_wrap=name != "because")
    for verdict in sorted(found, key=lambda verdict: (not verdict.goes, -verdict.bytes, verdict.dataset)):
        said = word if verdict.goes else "stays"
        table.add_row(verdict.dataset, verdict.cell, f"{verdict.bytes / 1e6:.1f}", said, verdict.reason)
    return table
