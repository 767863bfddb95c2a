"""Tests of a trial's progress: its text, and how often it is reported."""

import logging

from nefstudy.tasks.progress import LOG_EVERY_S, TrialProgress, fit_progress, throttled


def test_the_text_has_the_numbers_that_apply():
    """The progress text of a fit shows fields, speed and PSNR, if known. The text for training shows epochs."""
    images = TrialProgress("fitting", 1500, 3000, seconds=30.0, steps=1000, psnr=31.26)
    assert str(images) == "fitting 1,500/3,000 fields, 50,000 field-steps/s, 31.3 dB, ETA 0:00:30"
    assert (
        str(TrialProgress("fitting", 5, 10, seconds=5.0, steps=2))
        == "fitting 5/10 fields, 2 field-steps/s, ETA 0:00:05"
    )
    assert str(TrialProgress("classifying", 3, 20, seconds=3.0)) == "classifying 3/20 epochs, ETA 0:00:17"


def test_a_throttled_callback_reports_once_per_period():
    """A throttled callback forwards at most one report per period, the first one after a full period."""
    now = [0.0]
    reports: list[TrialProgress] = []
    report = throttled(reports.append, every_s=2.0, clock=lambda: now[0])
    for second in range(6):
        now[0] = float(second)
        report(TrialProgress("fitting", second + 1, 6, seconds=now[0]))
    assert [progress.done for progress in reports] == [3, 5]


def test_a_long_fit_is_in_the_trials_log(caplog):
    """Every progress report of a fit is forwarded, but the log gets only one line per half minute."""
    now = [100.0]
    reports: list[TrialProgress] = []
    report = fit_progress(reports.append, steps=10, clock=lambda: now[0])
    with caplog.at_level(logging.INFO, logger="nefstudy"):
        for chunk in range(1, 5):
            now[0] += LOG_EVERY_S / 2
            report(chunk * 8, 32, 20.0)
    assert [progress.seconds for progress in reports] == [15.0, 30.0, 45.0, 60.0]
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(",")[0] for line in lines] == ["fitting 16/32 fields", "fitting 32/32 fields"]
