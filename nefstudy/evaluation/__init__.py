"""Evaluation: quality metrics of a neural dataset that need no classifier.

Arrays in, numbers out: this package is independent of fields, files and fits. `reconstruction` and `similarity` compare
the outputs of fields with their signals, one score per signal: PSNR and SSIM on the grid, PSNR off the grid against
the bilinear image, three ratios of off-grid to in-grid quality, IoU for occupancy. `structure` measures how well a
k-means clustering of the weights agrees with the labels.
"""

from nefstudy.evaluation.reconstruction import bilinear as bilinear
from nefstudy.evaluation.reconstruction import cell_centers as cell_centers
from nefstudy.evaluation.reconstruction import iou as iou
from nefstudy.evaluation.reconstruction import off_grid_nmse_ratio as off_grid_nmse_ratio
from nefstudy.evaluation.reconstruction import off_grid_psnr as off_grid_psnr
from nefstudy.evaluation.reconstruction import off_grid_ratio_bilinear as off_grid_ratio_bilinear
from nefstudy.evaluation.reconstruction import off_grid_ratio_published as off_grid_ratio_published
from nefstudy.evaluation.reconstruction import psnr as psnr
from nefstudy.evaluation.reconstruction import published_points as published_points
from nefstudy.evaluation.similarity import ssim as ssim
from nefstudy.evaluation.structure import agreement as agreement
