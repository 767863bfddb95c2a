"""Evaluation: how good a neural dataset is, before and beside what a classifier makes of it.

Numbers in, numbers out; nothing here knows of fields, files or fitting. `reconstruction` and `similarity` compare
what fields say with the signals they were fitted to, one score per signal: PSNR and SSIM on the grid, PSNR between
the grid's points against the bilinear image, IoU for occupancy. `structure` asks what the weights themselves reveal:
how far a k-means clustering of them agrees with the labels.
"""

from nefstudy.evaluation.reconstruction import bilinear as bilinear
from nefstudy.evaluation.reconstruction import cell_centres as cell_centres
from nefstudy.evaluation.reconstruction import iou as iou
from nefstudy.evaluation.reconstruction import off_grid_psnr as off_grid_psnr
from nefstudy.evaluation.reconstruction import off_grid_ratio as off_grid_ratio
from nefstudy.evaluation.reconstruction import psnr as psnr
from nefstudy.evaluation.similarity import ssim as ssim
from nefstudy.evaluation.structure import nmi as nmi
