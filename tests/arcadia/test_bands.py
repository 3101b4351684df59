"""Mean and confidence band of several seeds."""

import io

import numpy as np
import pytest
from PIL import Image

from arcadia.bands import band_figure, confidence_band


def test_a_band_by_hand():
    x = np.array([0.0, 10.0])
    curves = [(x, np.array([0.0, 1.0])), (x, np.array([2.0, 3.0])), (x, np.array([4.0, 8.0]))]
    band = confidence_band(curves, num_points=2)
    assert band is not None
    assert band.num_curves == 3
    np.testing.assert_allclose(band.mean, [2, 4])
    # t(0.975, 2 degrees of freedom) = 4.302653; deviations 2 and sqrt(13), over sqrt(3).
    half = 4.302653 * np.array([2.0, np.sqrt(13)]) / np.sqrt(3)
    np.testing.assert_allclose(band.low, band.mean - half, rtol=1e-6)
    np.testing.assert_allclose(band.high, band.mean + half, rtol=1e-6)


def test_only_where_all_curves_have_values():
    early = (np.array([0, 1, 2, 3]), np.array([0.0, 1.0, 2.0, 3.0]))
    late = (np.array([1, 2, 5]), np.array([np.nan, 2.0, 5.0]))
    band = confidence_band([early, late], num_points=5)
    assert band is not None
    assert (band.x[0], band.x[-1]) == (2, 3)
    np.testing.assert_allclose(band.mean, band.x)
    np.testing.assert_allclose(band.low, band.high)
    apart = (np.array([7, 8]), np.array([0.0, 1.0]))
    assert confidence_band([early, apart]) is None
    assert confidence_band([early, (np.array([1]), np.array([np.nan]))]) is None
    with pytest.raises(ValueError, match="1 curve: a confidence band needs at least 2"):
        confidence_band([early])


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    x = np.arange(2)
    inside = []
    for _ in range(400):
        band = confidence_band([(x, rng.normal(size=2)) for _ in range(5)], num_points=2)
        assert band is not None
        inside.append(band.low[0] <= 0 <= band.high[0])
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)


def test_the_figure_has_a_panel_for_each_quantity():
    x = np.arange(0, 50_000, 1_000)
    curves = [(x, np.sin(x / 9_000) + shift) for shift in (0, 0.2, 0.5)]
    png = band_figure({"return": curves, "loss": curves}, "steps", "Three seeds")
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    assert picture.shape[1] > 1_200
    blue = (abs(picture - (0x1F, 0x6F, 0xEB)) < 12).all(axis=2)
    half = picture.shape[1] // 2
    assert blue[:, :half].sum() > 300
    assert blue[:, half:].sum() > 300
