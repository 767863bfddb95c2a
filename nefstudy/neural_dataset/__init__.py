"""Neural datasets on disk: Arrow shards of weights under a manifest with hashes (see FORMAT.md).

`schema.py` defines the format as types, `quality.py` measures reconstructions, `write.py` fits and writes missing
shards, `read.py` opens, verifies and reconstructs, and `export.py` writes a rung for other tools.
"""

from nefstudy.neural_dataset.export import export_rung as export_rung
from nefstudy.neural_dataset.read import NeuralDataset as NeuralDataset
from nefstudy.neural_dataset.read import find_neural_dataset as find_neural_dataset
from nefstudy.neural_dataset.read import list_neural_datasets as list_neural_datasets
from nefstudy.neural_dataset.read import open_neural_dataset as open_neural_dataset
from nefstudy.neural_dataset.write import finish_neural_dataset as finish_neural_dataset
from nefstudy.neural_dataset.write import write_neural_dataset as write_neural_dataset
