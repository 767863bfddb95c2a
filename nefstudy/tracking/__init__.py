"""MLflow: `export.py` writes one run per trial, and `store.py` creates the SQLite file with a local root's runs."""
