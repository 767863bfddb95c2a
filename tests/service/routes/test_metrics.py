"""Tests of the gauges that the service exposes to Prometheus.

They agree with the progress response and are well formed.
"""

import re

from nefstudy.insight.progress import progress
from nefstudy.service.routes.metrics import exposition

from ...present import present
from ..small_study import STUDY

LINE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (-?[0-9.e+-]+)$')


def samples(text: str) -> dict[tuple[str, str], float]:
    """Parse text in Prometheus' format; return a mapping from (name, labels) to value.

    The syntax of every line is checked.
    """
    values = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = LINE.match(line)
            assert match, line
            values[match[1], match[2] or ""] = float(match[3])
    return values


def test_gauges_agree_with_progress(client, filled):
    """Each cell's gauges equal its values in the progress response."""
    gauges = samples(client.get("/metrics").text)
    for phase in progress(filled[0], STUDY).phases:
        for cell in phase.cells:
            labels = f'study="{STUDY}",phase="{phase.phase}",cell="{cell.cell}"'
            assert gauges["nefstudy_trials_planned", labels] == cell.planned
            assert gauges["nefstudy_trials", f'{labels},state="complete"'] == cell.complete
            best = present(cell.best)
            scored = f'{labels},objective="val_accuracy"'
            assert gauges["nefstudy_best_score", scored] == best.score == best.val_accuracy
            assert gauges["nefstudy_best_test_score", scored] == best.reported == best.test_accuracy
            assert gauges["nefstudy_fits_remaining", labels] == cell.remaining_fits
            assert gauges["nefstudy_field_steps", labels] == 50 * 2 * (5 + 25 + 75 + 1000)
    assert gauges["nefstudy_outbox", ""] == filled[0].outbox.size()


def test_each_name_is_declared_once_before_its_samples(client):
    """The samples of each gauge are contiguous and follow a single HELP and TYPE line, as Prometheus requires."""
    lines = client.get("/metrics").text.splitlines()
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    order = [re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")]
    assert [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name] == names


def test_odd_labels_are_escaped():
    """Quotes, backslashes and newlines in a label are escaped."""
    text = exposition([("nefstudy_trials", {"study": 'a"b\\c\nd'}, 1)])
    assert r'study="a\"b\\c\nd"' in text
    assert len(samples(text)) == 1
