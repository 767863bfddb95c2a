"""The metrics of every task that fits fields: quality, diverged and constant fields, fitting time and field-steps."""

from nefstudy.tasks.task import Metric, SignalTraits, Split

_SPLITS: dict[Split, str] = {"all": "", "val": ", validation", "test": ", test"}


def fit_metrics(signals: SignalTraits) -> tuple[Metric, ...]:
    """Return the metrics of a fit: its quality, per split that the signals have, and its cost."""
    splits = {split: words for split, words in _SPLITS.items() if signals.test or split != "test"}
    splits = splits if signals.split else {"all": ""}
    quality = tuple(
        Metric(f"{split}_{q.name}", q.label + words, q.unit, q.direction, split, q.domain)
        for q in signals.kind.quality
        for split, words in splits.items()
    )
    return (
        *quality,
        Metric("diverged", "Diverged fields", direction="minimize"),
        Metric("constant", "Fields with a constant output", direction="minimize"),
        Metric("signals", "Signals"),
        Metric("fit_seconds", "Fitting time", unit="s"),
        Metric("field_steps", "Field-steps"),
    )


def headline_metric(signals: SignalTraits) -> str:
    """Return the name of the first quality metric of the signals' kind, on the validation split if there is one."""
    return f"{'val' if signals.split else 'all'}_{signals.kind.metrics[0]}"
