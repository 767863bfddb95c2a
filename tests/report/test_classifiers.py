"""Sizes of a classifier are drawn with the curves of their own trials."""

from nefstudy.ledger.rows import TrialState
from nefstudy.report.classifiers import draw_sizes, size_files, sized


def trial(row, name, *, size=1000, width=1, **changes):
    config = {"classifier": {"name": name, "epochs": 7, "params": {"width": width}}}
    metrics = {"classifier_parameters": float(size), "classify_seconds": 3.0}
    return row(classifier=name, config=config, metrics=metrics, key=f"{name}-{size}-{width}", **changes)


def test_hyperparameters_make_sizes(row):
    """Two widths are two curves of one panel, smallest first; one width alone is not a comparison."""
    wide, narrow, other = trial(row, "mlp", size=9000, width=9), trial(row, "mlp"), trial(row, "gnn")
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


def test_without_several_sizes_there_is_no_picture(row):
    """A running trial and a single size are not drawn."""
    running = trial(row, "mlp", size=5, width=2, state=TrialState.RUNNING)
    assert size_files(None, [trial(row, "mlp"), running]) == {}
