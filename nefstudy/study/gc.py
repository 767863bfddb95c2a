"""On-demand removal of neural datasets (`nefstudy dataset gc`), with a table of the decisions."""

from collections.abc import Sequence

from rich.table import Table

from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger
from nefstudy.study.retention import Verdict, collect, parse_keep, verdicts


def run_gc(ledger: Ledger, root: str, *, keep: str | None, study: str | None, dry_run: bool) -> list[Verdict]:
    """Drop the neural datasets that are no longer kept, unless `dry_run`; return a verdict on each dataset.

    Args:
        keep: overrides the retention in the plan of `study`, or in every plan.

    Raises:
        BadConfig: an unknown study, or an invalid `keep`.
        StudyBusy: a driver runs a study; not with `dry_run`.
    """
    names = [row.study for row in ledger.studies.all()]
    if study is not None and study not in names:
        raise BadConfig(f"unknown study {study!r}: the ledger holds {', '.join(names) or 'none yet'}; name one of them")
    if keep is not None:
        parse_keep(keep)
    overrides = {} if keep is None else dict.fromkeys(names if study is None else [study], keep)
    return verdicts(ledger, keep=overrides, root=root) if dry_run else collect(ledger, root, keep=overrides)


def gc_table(decided: Sequence[Verdict], *, dry_run: bool) -> Table:
    """Return the verdicts as a table for the terminal: dropped datasets first, each group sorted by size."""
    dropped = sum(verdict.bytes for verdict in decided if verdict.goes)
    kept = sum(verdict.bytes for verdict in decided if not verdict.goes)
    word = "would be dropped" if dry_run else "dropped"
    table = Table(
        title=f"{dropped / 1e6:,.1f} MB {word}, {kept / 1e6:,.1f} MB kept",
        box=None,
        pad_edge=False,
        title_justify="left",
    )
    for name in ("dataset", "cell", "MB", "", "reason"):
        table.add_column(name, justify="right" if name == "MB" else "left", no_wrap=name != "reason")
    for verdict in sorted(decided, key=lambda verdict: (not verdict.goes, -verdict.bytes, verdict.dataset)):
        fate = word if verdict.goes else "kept"
        table.add_row(verdict.dataset, verdict.cell, f"{verdict.bytes / 1e6:.1f}", fate, verdict.reason)
    return table
