"""Exports of a study: a grid for the next phase, MLflow runs, Optuna studies, replays and a webhook."""
