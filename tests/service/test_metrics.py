"""The gauges agree with progress and are well-formed."""

import re

from nefstudy.insight.progress import progress
from nefstudy.service.metrics import exposition

from .conftest import STUDY

LINE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (-?[0-9.e+-]+)$')


def samples(text: str) -> dict[tuple[str, str], float]:
    """(name, labels) -> value of an exposition; every line is checked."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = LINE.match(line)
            assert match, line
            found[match[1], match[2] or ""] = float(match[3])
    return found


def test_gauges_agree_with_progress(client, filled):
    """Each cell's gauges are the numbers of its progress."""
    found = samples(client.get("/metrics").text)
    for phase in progress(filled[0], STUDY).phases:
        for cell in phase.cells:
            labels = f'study="{STUDY}",phase="{phase.phase}",cell="{cell.cell}"'
            assert found["nefstudy_trials_planned", labels] == cell.planned
            assert found["nefstudy_trials", f'{labels},state="complete"'] == cell.complete
            its = f'{labels},objective="val_accuracy"'
            assert found["nefstudy_best_score", its] == cell.best.score == cell.best.val_accuracy
            assert found["nefstudy_best_test_score", its] == cell.best.reported == cell.best.test_accuracy
            assert found["nefstudy_fits_remaining", labels] == cell.remaining_fits
            assert found["nefstudy_field_steps", labels] == 50 * 2 * (5 + 25 + 75 + 1000)
    assert found["nefstudy_outbox", ""] == filled[0].outbox.size()


def test_each_name_is_declared_once_before_its_samples(client):
    """Prometheus wants HELP, TYPE and then all samples of one name together."""
    lines = client.get("/metrics").text.splitlines()
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    order = [re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")]
    assert [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name] == names


def test_odd_labels_are_escaped():
    """Quotes, backslashes and line ends in a label do not end it."""
    text = exposition([("nefstudy_trials", {"study": 'a"b\\c\nd'}, 1)])
    assert r'study="a\"b\\c\nd"' in text
    assert len(samples(text)) == 1
