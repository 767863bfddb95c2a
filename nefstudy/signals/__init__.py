"""Signals: the data that neural fields represent.

A *source* reads a full data set (digits and photographs that ship with packages, MNIST and CIFAR-10 as published,
parquet files, a folder of images, an npz file) and returns it as one value, `Signals`: values on one grid, ids,
optional labels and split, a card with a description and the constants for standardization, and their *kind*.
`load_signals` is the only entry point: it looks up the source in the catalog, validates the data before any fitting
starts, puts the set into a stratified order and returns the requested subset. `pin` writes the content hash into a
configuration, so that changed data is a different experiment. Later stages use coordinates and targets, and get the
rest from the `SignalKind`: loss, metrics, pictures and labels. A new kind needs one `SignalKind` and one source that
passes it to `signal_set`.
"""

from nefstudy.signals.catalog import SIGNALS as SIGNALS
from nefstudy.signals.catalog import SignalSource as SignalSource
from nefstudy.signals.catalog import load_signals as load_signals
from nefstudy.signals.catalog import pin as pin
from nefstudy.signals.image_set import image_set as image_set
from nefstudy.signals.kinds import KINDS as KINDS
from nefstudy.signals.signal import Quality as Quality
from nefstudy.signals.signal import SignalCard as SignalCard
from nefstudy.signals.signal import SignalKind as SignalKind
from nefstudy.signals.signal import Signals as Signals
from nefstudy.signals.signal_set import signal_set as signal_set
