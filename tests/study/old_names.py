"""A function that gives studies and cells in a ledger names that only older versions accepted."""

import json
import sqlite3


def make_old(url: str, study: str, *, cell: str | None = None) -> str:
    """Rename a study, or a cell of its plan, to a name that only older versions accepted; return the study's name."""
    name = study if cell else "gr\u00f6\u00dfe"
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        if cell:
            ((text,),) = database.execute("SELECT plan FROM studies WHERE study = ?", (study,))
            told = json.loads(text)
            told["cells"][0]["cell"] = cell
            database.execute("UPDATE studies SET plan = ? WHERE study = ?", (json.dumps(told), study))
            return name
        tables = [table for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if any(column[1] == "study" for column in database.execute(f"PRAGMA table_info({table})")):
                database.execute(f"UPDATE {table} SET study = ? WHERE study = ?", (name, study))
    database.close()
    return name
