"""Metrics of a fit, which several tasks report."""

from nefstudy.tasks.task import Metric, SignalTraits, Split

_SPLITS: dict[Split, str] = {"all": "", "val": ", validation", "test": ", test"}


def of_fit(signals: SignalTraits) -> tuple[Metric, ...]:
    """Return the quality metrics, of each split where there are splits, and what the fit cost."""
    splits = _SPLITS if signals.split else {"all": ""}
    quality = tuple(
        Metric(f"{split}_{q.name}", q.label + words, q.unit, q.direction, split, q.domain)  # type: ignore[arg-type]  # of _SPLITS
        for q in signals.kind.quality
        for split, words in splits.items()
    )
    return (
        *quality,
        Metric("diverged", "Diverged fields", direction="minimize"),
        Metric("signals", "Signals"),
        Metric("fit_seconds", "Fitting time", unit="s"),
        Metric("field_steps", "Field-steps"),
    )


def headline(signals: SignalTraits) -> str:
    """Return the name of the first quality metric, of the validation split where there is one."""
    return f"{'val' if signals.split else 'all'}_{signals.kind.metrics[0]}"
