"""Estimates of a study's trials, fits, time, memory and disk space before it runs."""
