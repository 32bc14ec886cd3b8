"""How far one picture is from another, in numbers with a published meaning. Knows nothing of runs or files.

Structure is judged on luma, as the papers do; PSNR sees colour. MS-SSIM is written out here, from its paper, because
the library that has it needs torch, and a benchmark over HTTP does not; a test holds it against that library.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import correlate1d
from skimage.metrics import structural_similarity

from hidream_studio.job.sizes import PATCH_PX

Pixels = NDArray[np.uint8]  # (H, W, 3)
Luma = NDArray[np.float32]  # (H, W), in [0, 255]

PSNR_CAP_DB = 99.0  # equal pictures have no finite PSNR, and JSON no infinity
REDUCTION = 4  # the composition is what is left at a quarter of the side
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli, Bovik 2003, by scale
MS_SSIM_MIN_SIDE = 11 * 2 ** (len(MS_SSIM_WEIGHTS) - 1)  # the 11-tap window still fits at the last scale
SSIM_C1, SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # Wang et al. 2004
GMSD_C = 170.0  # Xue et al. 2014, for luma in [0, 255]
HIGH_FREQUENCY = 0.25  # cycles per pixel: finer than half of what the grid can hold


@dataclass(frozen=True)
class Metric:
    """A number's name and how to read it."""

    key: str
    label: str
    unit: str
    better: Literal["higher", "lower", "one"]  # "one": 1 is the reference's own value
    meaning: str  # one line
    decimals: int = 3

    def loss(self, value: float) -> float:
        """The value turned so that 0 or less is best and more is worse; comparable only with itself."""
        if self.better == "one":
            return abs(math.log(max(value, 1e-6)))
        return value if self.better == "lower" else -value

    def holds(self, value: float, limit: float) -> bool:
        """Whether `value` is at least as good as `limit`."""
        return self.loss(value) <= self.loss(limit) + 1e-12


METRICS = (
    Metric("psnr_db", "PSNR", "dB", "higher",
           "Mean squared error over all pixels and colours; from 40 on no eye sees it, a shift costs much.", 1),
    Metric("ssim", "SSIM", "", "higher", "Local contrast and structure at full size; 1 is equal (Wang et al. 2004)."),
    Metric("ms_ssim", "MS-SSIM", "", "higher",
           "SSIM at five scales: layout counts more than detail; 1 is equal (Wang et al. 2003)."),
    Metric("gmsd", "GMSD", "", "lower",
           "How unevenly edges differ, at half size, which forgives small shifts; 0 is equal (Xue et al. 2014)."),
    Metric("quarter_psnr_db", "PSNR ¼", "dB", "higher", "PSNR on 4× reduced pictures: composition and colour.", 1),
    Metric("quarter_ssim", "SSIM ¼", "", "higher", "SSIM on 4× reduced pictures: composition."),
    Metric("quarter_ms_ssim", "MS-SSIM ¼", "", "higher", "MS-SSIM on 4× reduced pictures: layout."),
    Metric("quarter_gmsd", "GMSD ¼", "", "lower", "GMSD on 4× reduced pictures: the large edges."),
    Metric("detail_ratio", "Fine detail", "×", "one",
           "Spectral energy finer than 0.25 cycles a pixel over the reference's: below 1 detail thins out, above 1 "
           "there is noise or ringing.", 2),
    Metric("seam_ratio", "Patch seams", "×", "lower",
           "Steps across the model's 32-pixel patch borders over steps elsewhere: 1 is no grid. No reference.", 2),
    Metric("adherence", "As asked", "", "higher",
           "Share of pictures that meet all their prompt asks for (colour, shape, place, text). No reference.", 2),
)  # fmt: skip
METRICS_BY_KEY = {metric.key: metric for metric in METRICS}


def luma(pixels: Pixels) -> Luma:
    """BT.601 luma, the grey of the SSIM and GMSD papers: (H, W) in [0, 255]."""
    weighted: Luma = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return weighted


def reduced(pixels: Pixels, factor: int = REDUCTION) -> Pixels:
    """The picture at a `factor`-th of its sides, by averaging."""
    height, width = pixels.shape[:2]
    size = (max(width // factor, 1), max(height // factor, 1))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def psnr_db(picture: Pixels, reference: Pixels) -> float:
    difference = picture.astype(np.float32) - reference.astype(np.float32)
    error = float(np.mean(difference**2))
    return PSNR_CAP_DB if error == 0 else float(min(10 * math.log10(255**2 / error), PSNR_CAP_DB))


def ssim(picture: Luma, reference: Luma) -> float | None:
    """Gaussian-weighted SSIM with the paper's constants; None where the window does not fit."""
    if min(reference.shape) < 11:
        return None
    value = structural_similarity(
        picture, reference, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return float(value)


def ms_ssim(picture: Luma, reference: Luma) -> float | None:
    """Multi-scale SSIM (Wang, Simoncelli and Bovik 2003); None where a side is under 176 px."""
    if min(reference.shape) < MS_SSIM_MIN_SIDE:
        return None
    product = 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        full, contrast = _ssim_terms(picture, reference)
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        product *= max(full if last else contrast, 0.0) ** weight
        if not last:
            picture, reference = _halved(picture), _halved(reference)
    return product


def gmsd(picture: Luma, reference: Luma) -> float:
    """Gradient magnitude similarity deviation (Xue, Zhang, Mou and Bovik 2014): Prewitt gradients at half size."""
    first, second = _gradient(_halved(picture)), _gradient(_halved(reference))
    similarity = (2 * first * second + GMSD_C) / (first**2 + second**2 + GMSD_C)
    return float(similarity.std())


def detail_energy(picture: Luma) -> float:
    """Spectral energy finer than 0.25 cycles per pixel, in any direction, per pixel; Hann window against edges."""
    height, width = picture.shape
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    centred = (picture - picture.mean()) * window
    power = np.abs(np.fft.rfft2(centred)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    twice = np.full(power.shape[1], 2.0)  # rfft2 leaves out the mirrored half
    twice[0] = 1.0
    if width % 2 == 0:
        twice[-1] = 1.0
    energy = float(((power * twice) * (radius > HIGH_FREQUENCY)).sum())
    return energy / (float((window**2).sum()) * float(height * width))


def seam_ratio(pixels: Pixels) -> float:
    """Mean absolute step across 32-px patch borders over the mean step elsewhere; 1.0 on a picture of no steps."""
    grey = luma(pixels)
    at_seams, elsewhere = [], []
    for axis in (0, 1):
        steps = np.abs(np.diff(grey, axis=axis)).mean(axis=1 - axis)  # one mean for each border between lines
        is_seam = (np.arange(steps.size) + 1) % PATCH_PX == 0
        at_seams.append(steps[is_seam])
        elsewhere.append(steps[~is_seam])
    seams, others = np.concatenate(at_seams), np.concatenate(elsewhere)
    if seams.size == 0 or others.size == 0 or float(others.mean()) < 1e-6:
        return 1.0
    return float(seams.mean() / others.mean())


def compare(picture: Pixels, reference: Pixels) -> dict[str, float]:
    """Every full-reference metric that the size allows, by key. Both (H, W, 3) of one size.

    Raises
    ------
    ValueError
        when the sizes differ.
    """
    if picture.shape != reference.shape:
        raise ValueError(f"pictures of one size are compared, not {picture.shape} with {reference.shape}")
    values: dict[str, float | None] = {}
    for prefix, one, other in (("", picture, reference), ("quarter_", reduced(picture), reduced(reference))):
        grey, grey_reference = luma(one), luma(other)
        values[f"{prefix}psnr_db"] = psnr_db(one, other)
        structural: dict[str, Callable[[Luma, Luma], float | None]] = {"ssim": ssim, "ms_ssim": ms_ssim, "gmsd": gmsd}
        for key, metric in structural.items():
            values[prefix + key] = metric(grey, grey_reference)
    reference_energy = detail_energy(luma(reference))
    if reference_energy > 1e-9:
        values["detail_ratio"] = detail_energy(luma(picture)) / reference_energy
    return {key: value for key, value in values.items() if value is not None}


def _window() -> NDArray[np.float32]:
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    taps: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return taps


def _ssim_terms(picture: Luma, reference: Luma) -> tuple[float, float]:
    """(SSIM, its contrast-structure part), means over where the 11×11 window fits."""

    def blur(values: Luma) -> Luma:
        once = correlate1d(values, _window(), axis=0)
        return np.asarray(correlate1d(once, _window(), axis=1)[5:-5, 5:-5])

    mean_a, mean_b = blur(picture), blur(reference)
    variance_a = blur(picture * picture) - mean_a**2
    variance_b = blur(reference * reference) - mean_b**2
    covariance = blur(picture * reference) - mean_a * mean_b
    contrast = (2 * covariance + SSIM_C2) / (variance_a + variance_b + SSIM_C2)
    luminance = (2 * mean_a * mean_b + SSIM_C1) / (mean_a**2 + mean_b**2 + SSIM_C1)
    return float((luminance * contrast).mean()), float(contrast.mean())


def _halved(grey: Luma) -> Luma:
    """Means of 2×2 blocks; an odd last line is left out."""
    height, width = grey.shape[0] // 2 * 2, grey.shape[1] // 2 * 2
    blocks = grey[:height, :width].reshape(height // 2, 2, width // 2, 2)
    means: Luma = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means


def _gradient(grey: Luma) -> Luma:
    """Magnitude of the Prewitt gradient with a third as weight."""
    flat = np.ones(3, dtype=np.float32)
    slope = np.array([1, 0, -1], dtype=np.float32) / 3
    horizontal = correlate1d(correlate1d(grey, slope, axis=1), flat, axis=0)
    vertical = correlate1d(correlate1d(grey, slope, axis=0), flat, axis=1)
    magnitude: Luma = np.hypot(horizontal, vertical)
    return magnitude
