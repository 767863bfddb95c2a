"""Flags that the commands of `nefstudy` and the study scripts share."""

from typing import Annotated

from typer import Option

Root = Annotated[
    str | None,
    Option(help="Directory or URI of neural datasets, ledger and MLflow store (NEFSTUDY_ROOT, else ./runs)."),
]
LedgerUrl = Annotated[str | None, Option(help="SQLAlchemy URL of the ledger (NEFSTUDY_LEDGER, else ROOT/ledger.db).")]
Json = Annotated[bool, Option("--json", help="Print JSON.")]
