"""Entry point of `python -m nefstudy`, equivalent to `nefstudy`."""

from nefstudy.cli import app

app()
