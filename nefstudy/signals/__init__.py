"""Signals: what the fields represent, and the first link of the chain.

A *source* reads a whole data set (digits and photographs that ship with packages, MNIST and CIFAR-10 as published,
parquet files, a folder of images, an npz file) and returns it as one value, `Signals`: values on one grid, ids, labels
and a split where there are some, a card that describes them and how fitting standardizes them, and their *kind*.
`load_signals` is the only door: it finds the source in the
catalogue, checks everything before any fitting starts, puts the set into a stratified order and cuts the subset that
was asked for. `pin` writes the content hash into a configuration, so that changed data is a different experiment.
Later stages see coordinates and targets, and ask the `SignalKind` for the rest: loss, metrics, pictures, words. A new
kind is one `SignalKind` and one source that passes it to `signal_set`.
"""

from nefstudy.signals.catalog import SIGNALS as SIGNALS
from nefstudy.signals.catalog import SignalSource as SignalSource
from nefstudy.signals.catalog import load_signals as load_signals
from nefstudy.signals.catalog import pin as pin
from nefstudy.signals.catalog import with_options as with_options
from nefstudy.signals.image_set import image_set as image_set
from nefstudy.signals.kinds import KINDS as KINDS
from nefstudy.signals.signal import Quality as Quality
from nefstudy.signals.signal import SignalCard as SignalCard
from nefstudy.signals.signal import SignalKind as SignalKind
from nefstudy.signals.signal import Signals as Signals
from nefstudy.signals.signal_set import signal_set as signal_set
