"""`python -m nefstudy`: the same as `nefstudy`."""

from nefstudy.cli import app

app()
