"""A function that makes a ledger large within seconds, by copying its trials with SQL."""

import sqlite3
from pathlib import Path


def multiply(path: Path | str, *, copies: int, number: str, **changed: str) -> None:
    """Copy the trials of a ledger until there are `copies` of each, including the original.

    Args:
        number: SQL expression for a copied measure, in terms of its `number` and its name's `kind`.
        changed: SQL expressions for the columns of `trials` that differ in a copy; `i` counts copies from 1, and
            `:seeds` is the number of original trials.
    """
    connection = sqlite3.connect(path)
    (seeds,) = connection.execute("SELECT max(id) FROM trials").fetchone()
    names = [column[1] for column in connection.execute("PRAGMA table_info(trials)")]
    values = ", ".join(({"id": "id + i * :seeds"} | changed).get(name, name) for name in names)
    for statement in (
        f"INSERT INTO trials ({', '.join(names)}) SELECT {values} FROM n, trials",
        "INSERT INTO documents SELECT trial_id + i * :seeds, config, parameters, needs, metrics, fingerprint, error"
        " FROM n, documents",
        f"INSERT INTO measures SELECT trial_id + i * :seeds, name_id, {number}, word"
        " FROM n, measures JOIN names ON names.id = name_id",
    ):
        count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :copies - 1)"
        connection.execute(f"{count} {statement}", {"copies": copies, "seeds": seeds})
    connection.commit()
    connection.close()
