"""Laws of a trial's progress: what a person reads, and how often it is told."""

import logging

from nefstudy.tasks.progress import LOG_EVERY_S, Working, fitting, rarely


def test_it_reads_as_a_person_would_say_it():
    """Fields with pace and quality; epochs without; shapes, which have no PSNR, say nothing of it."""
    images = Working("fitting", 1500, 3000, seconds=30.0, steps=1000, psnr=31.26)
    assert str(images) == "fitting 1,500/3,000 fields, 50,000 field-steps/s, 31.3 dB, ETA 0:00:30"
    assert str(Working("fitting", 5, 10, seconds=5.0, steps=2)) == "fitting 5/10 fields, 2 field-steps/s, ETA 0:00:05"
    assert str(Working("classifying", 3, 20, seconds=3.0)) == "classifying 3/20 epochs, ETA 0:00:17"


def test_it_is_told_at_most_so_often():
    """By the clock: the first time a period has passed, and then a period later."""
    now, told = [0.0], []
    tell = rarely(told.append, every_s=2.0, clock=lambda: now[0])
    for second in range(6):
        now[0] = float(second)
        tell(Working("fitting", second + 1, 6, seconds=now[0]))
    assert [working.done for working in told] == [3, 5]


def test_a_long_fit_is_in_the_trials_log(caplog):
    """Every report is passed on; the log has one line in half a minute."""
    now, told = [100.0], []
    tell = fitting(told.append, steps=10, clock=lambda: now[0])
    with caplog.at_level(logging.INFO, logger="nefstudy"):
        for chunk in range(1, 5):
            now[0] += LOG_EVERY_S / 2
            tell(chunk * 8, 32, 20.0)
    assert [working.seconds for working in told] == [15.0, 30.0, 45.0, 60.0]
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(",")[0] for line in lines] == ["fitting 16/32 fields", "fitting 32/32 fields"]
