"""Laws of the comparison of classifiers: every finished trial in its place, sizes told apart, curves drawn."""

from nefstudy.ledger.rows import TrialState
from nefstudy.report.classifiers import (
    classifier_cells,
    classifier_files,
    classifier_lines,
    classifier_markdown,
    draw_sizes,
    picked,
    sized,
)


def trial(row, name, *, size=1000, width=1, **changes):
    config = {"classifier": {"name": name, "epochs": 7, "params": {"width": width}}}
    metrics = {"classifier_parameters": float(size), "classify_seconds": 3.0}
    key = f"{name}-{size}-{width}-{sorted(changes.items())}"
    return row(classifier=name, config=config, metrics=metrics, key=key, **changes)


def test_the_mean_stands_under_its_field_and_start(row):
    """Replicates of one classifier, field and start are averaged; what was not tried is empty."""
    rows = [trial(row, "mlp", seed=s, test_accuracy=a) for s, a in ((0, 0.5), (1, 0.7))]
    rows += [trial(row, "gnn", size=2000, init="random", field="mfn", test_accuracy=0.25)]
    header, *body = classifier_cells(classifier_lines(rows))
    assert header == ["classifier", "parameters", "epochs", "SIREN shared", "MFN random", "s / trial"]
    assert body == [["gnn", "2k", "7", "", "0.250", "3"], ["mlp", "1k", "7", "0.600 ± 0.141", "", "3"]]
    assert classifier_markdown(classifier_lines(rows)).splitlines()[3] == "| mlp | 1k | 7 | 0.600 ± 0.141 |  | 3 |"


def test_hyperparameters_tell_sizes_apart(row):
    """Two widths are two lines and two curves of one panel, smallest first; one width alone is no comparison."""
    wide, narrow, other = trial(row, "mlp", size=9000, width=9), trial(row, "mlp"), trial(row, "gnn")
    assert [line.parameters for line in classifier_lines([wide, narrow])] == [(1000, 1000), (9000, 9000)]
    assert sized([wide, narrow, other]) == {("mlp", "shared"): [narrow, wide]}


def test_validation_is_solid_and_training_dashed(row):
    """Each size has both curves, with the values of its own trial."""
    wide, narrow = trial(row, "mlp", size=9000, width=9), trial(row, "mlp")
    curves = {
        r.key: {"val_accuracy": [(1, v), (2, v)], "train_accuracy": [(1, 1.0)]} for r, v in ((wide, 0.9), (narrow, 0.4))
    }
    lines = draw_sizes(sized([wide, narrow]), curves).axes[0].get_lines()
    assert [(list(line.get_ydata()), line.get_linestyle()) for line in lines] == [
        ([0.4, 0.4], "-"),
        ([1.0], "--"),
        ([0.9, 0.9], "-"),
        ([1.0], "--"),
    ]


def test_validation_picks_the_rung_of_each_seed(row):
    """Not the test split: of several step counts the one with the best validation accuracy is counted, fewest first."""
    rungs = ((25, 0.9, 0.7), (50, 0.95, 0.6), (75, 0.95, 0.99))
    rows = [
        trial(row, "mlp", seed=seed, steps=steps, val_accuracy=val, test_accuracy=test + seed / 100)
        for seed in (0, 1)
        for steps, val, test in rungs
    ]
    assert [(found.seed, found.steps) for found in picked(rows)] == [(0, 50), (1, 50)]
    (line,) = classifier_lines(rows)
    assert (line.accuracy["siren", "shared"].n, round(line.accuracy["siren", "shared"].mean, 3)) == (2, 0.605)


def test_cpu_time_is_preferred_to_the_clock(row):
    """A loaded machine does not make a classifier look slow where CPU time was measured."""
    timed = trial(row, "mlp")
    timed.metrics["classify_cpu_seconds"] = 2.0
    assert [line.seconds for line in classifier_lines([timed])] == [2.0]


def test_without_a_finished_trial_there_is_no_comparison(row):
    """Nothing is written that says nothing; a single classifier has its line, and no picture of sizes."""
    assert classifier_files(None, [trial(row, "mlp", state=TrialState.RUNNING)]) == {}
    assert set(classifier_files(None, [trial(row, "mlp"), trial(row, "mlp", seed=1)])) == {"classifiers.md"}
