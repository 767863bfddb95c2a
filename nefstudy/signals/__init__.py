"""Signals: what the fields represent, and the first link of the chain.

A *source* reads a whole labelled data set (digits and photographs that ship with packages, MNIST and CIFAR-10 as
published, parquet files, a folder of images, an npz file) and hands it over as one value, `Signals`: values on one
grid, ids, labels, a split, and a card that says what they are, where they come from, and how fitting standardises
them. `load_signals` is the only door: it finds the source in the
catalogue, checks everything before any fitting starts, puts the set into a stratified order and cuts the subset that
was asked for. `pin` writes the content hash into a configuration, so that changed data is a different experiment.
Whatever comes later sees coordinates and targets only; a new kind of signal is one source and one catalogue line.
"""

from nefstudy.signals.catalog import SIGNALS as SIGNALS
from nefstudy.signals.catalog import SignalSource as SignalSource
from nefstudy.signals.catalog import load_signals as load_signals
from nefstudy.signals.catalog import pin as pin
from nefstudy.signals.catalog import with_options as with_options
from nefstudy.signals.image_set import image_set as image_set
from nefstudy.signals.signal import SignalCard as SignalCard
from nefstudy.signals.signal import Signals as Signals
