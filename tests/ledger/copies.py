"""A large ledger made in seconds: trials that were lived through, copied by the database itself."""

import sqlite3
from pathlib import Path


def multiply(path: Path | str, *, copies: int, number: str, **changed: str) -> None:
    """Make each trial of a ledger into so many, the first of which is itself.

    Args:
        number: SQL of a copied measure, from its `number` and the `kind` of its name.
        changed: SQL of the columns of `trials` in which a copy differs; i counts copies from 1, `:seeds` is the
            number of trials that are copied.
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
