"""A classifier on a neural dataset that is there already, whoever fitted it."""

from typing import Any

from nefstudy.classifiers.catalog import complete
from nefstudy.classifiers.train import train_classifier
from nefstudy.config import ClassifierConfig
from nefstudy.neural_dataset.read import open_neural_dataset
from nefstudy.tasks.classification import ClassificationConfig, survivors


def read_weights(
    root: str, digest: str, *, steps: int | None, classifier: ClassifierConfig, seed: int = 0
) -> dict[str, Any]:
    """What a classifier makes of one rung, the longest unless another is named: accuracies by split.

    Raises:
        BadNeuralDataset: no such neural dataset or rung.
        FitDiverged: too few of its fields are sound.
    """
    dataset = open_neural_dataset(root, digest)
    chosen = dataset.rungs[-1] if steps is None else steps
    rung = dataset.rung(chosen)
    trial = ClassificationConfig(dataset=dataset.recipe, steps=chosen, classifier=complete(classifier), seed=seed)
    trained = train_classifier(trial.classifier, survivors(trial, dataset, rung), seed=seed)
    return {"dataset": digest, "steps": chosen, "classifier": classifier.name, **trained.metrics}
