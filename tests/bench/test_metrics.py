"""The metrics: equal to the libraries that have them, and moving the way their meaning says."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from hidream_studio.bench import metrics
from hidream_studio.bench.metrics import Pixels


def scene(side: int = 256, shift: int = 0) -> Pixels:
    """A picture with flat parts, edges and texture."""
    rng = np.random.default_rng(0)
    image = Image.new("RGB", (side, side), (40, 90, 160))
    draw = ImageDraw.Draw(image)
    for index in range(12):
        x, y = (int(v) for v in rng.integers(0, side - 60, 2))
        colour = tuple(int(v) for v in rng.integers(0, 255, 3))
        draw.ellipse((x + shift, y, x + shift + 20 + 4 * index, y + 30), fill=colour)
    texture = rng.normal(0, 12, (side, side, 1))
    return np.clip(np.asarray(image) + texture, 0, 255).astype(np.uint8)


def noisy(picture: Pixels, sigma: float) -> Pixels:
    noise = np.random.default_rng(1).normal(0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def blurred(picture: Pixels, radius: float) -> Pixels:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def test_equal_pictures_have_no_loss():
    values = metrics.compare(scene(), scene())
    assert values["psnr_db"] == metrics.PSNR_CAP_DB
    assert values["ssim"] == pytest.approx(1) and values["ms_ssim"] == pytest.approx(1)
    assert values["gmsd"] == pytest.approx(0, abs=1e-6) and values["detail_ratio"] == pytest.approx(1)


@pytest.mark.parametrize("worse", [lambda p: noisy(p, 20), lambda p: blurred(p, 2)], ids=["noise", "blur"])
def test_ms_ssim_is_torchmetrics_ms_ssim(worse):
    import torch
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    one, other = metrics.luma(worse(scene(256))), metrics.luma(scene(256))
    ours = metrics.ms_ssim(one, other)
    tensors = [torch.from_numpy(grey)[None, None].double() for grey in (one, other)]
    theirs = multiscale_structural_similarity_index_measure(*tensors, data_range=255.0, sigma=1.5, kernel_size=11)
    assert ours == pytest.approx(float(theirs), abs=5e-3)


def test_psnr_is_scikit_images_psnr():
    from skimage.metrics import peak_signal_noise_ratio

    expected = peak_signal_noise_ratio(scene(), noisy(scene(), 9), data_range=255)
    assert metrics.psnr_db(noisy(scene(), 9), scene()) == pytest.approx(expected, abs=1e-3)


def test_gmsd_of_a_picture_with_an_edge_in_one_half_is_the_papers_formula():
    """A slope of 10 a pixel is 20 at half size; Prewitt over 3 sums three lines of it across two pixels: 40."""
    slope = np.tile(np.arange(64, dtype=np.float32) * 10, (64, 1))
    slope[:32] = 0
    flat = np.zeros((64, 64), dtype=np.float32)
    similarity = metrics.GMSD_C / (40.0**2 + metrics.GMSD_C)
    expected = np.array([1.0] * 16 + [similarity] * 16).std()
    assert metrics.gmsd(slope, flat) == pytest.approx(expected, rel=0.05)


def test_more_noise_is_more_loss_in_every_metric():
    little, much = metrics.compare(noisy(scene(), 5), scene()), metrics.compare(noisy(scene(), 40), scene())
    for key in ("psnr_db", "ssim", "ms_ssim", "gmsd", "quarter_psnr_db", "quarter_ssim", "quarter_gmsd"):
        metric = metrics.METRICS_BY_KEY[key]
        assert metric.loss(much[key]) > metric.loss(little[key]), key


def test_gmsd_forgives_a_shift_of_one_pixel_and_not_one_of_eight():
    still = blurred(scene(), 1)
    near, far = (metrics.compare(blurred(scene(shift=shift), 1), still)["gmsd"] for shift in (1, 8))
    assert near < 0.2 * far


def test_blur_thins_detail_out_and_noise_adds_to_it():
    reference = scene()
    assert metrics.compare(blurred(reference, 1.5), reference)["detail_ratio"] < 0.3
    assert metrics.compare(noisy(reference, 30), reference)["detail_ratio"] > 1.5


def test_the_composition_survives_what_destroys_detail():
    values = metrics.compare(blurred(scene(512), 2), scene(512))
    assert values["quarter_ssim"] > values["ssim"] + 0.1


def test_a_grid_of_32_pixels_raises_the_seam_ratio_and_one_of_17_does_not():
    flat = np.full((256, 256, 3), 128, dtype=np.uint8)
    for period, is_grid in ((32, True), (17, False)):
        steps = (np.arange(256) // period % 2 * 6).astype(np.uint8)
        picture = noisy(flat + steps[None, :, None] + steps[:, None, None], 2)
        assert (metrics.seam_ratio(picture) > 1.5) == is_grid
    assert metrics.seam_ratio(flat) == 1.0


def test_ms_ssim_is_left_out_where_a_side_is_too_short():
    values = metrics.compare(scene(256), scene(256))
    assert "ms_ssim" in values and "quarter_ms_ssim" not in values


def test_pictures_of_two_sizes_are_not_compared():
    with pytest.raises(ValueError, match="one size"):
        metrics.compare(scene(256), scene(288))


def test_a_limit_holds_on_the_better_side():
    by_key = metrics.METRICS_BY_KEY
    assert by_key["ssim"].holds(0.91, 0.9) and not by_key["ssim"].holds(0.89, 0.9)
    assert by_key["gmsd"].holds(0.04, 0.05) and not by_key["gmsd"].holds(0.06, 0.05)
    assert by_key["detail_ratio"].holds(0.95, 0.9) and by_key["detail_ratio"].holds(1.05, 0.9)
    assert not by_key["detail_ratio"].holds(1.5, 0.9)


def test_every_metric_says_what_it_means_in_one_line():
    for metric in metrics.METRICS:
        assert metric.meaning.endswith(".") and "\n" not in metric.meaning and len(metric.meaning) < 160
