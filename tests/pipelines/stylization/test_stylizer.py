import numpy as np
import pytest

from pipelines.flow import Motion
from pipelines.stylization.stylizer import Neighbour, Stylizer


def still(height: int = 32, width: int = 48) -> Motion:
    return Motion(
        flow=np.zeros((2, height, width), np.float32), mask=np.ones((height, width), np.float32)
    )


def test_a_search_lowers_the_loss(small, frames, style_hwc):
    stylizer = Stylizer(small(), style_hwc)
    short = stylizer.paint(0, frames[0], start=None, iterations=2)
    long = stylizer.paint(0, frames[0], start=None, iterations=25)
    assert long.losses["total"] < 0.5 * short.losses["total"]
    assert (short.iterations, long.iterations) == (2, 25)
    assert long.image.dtype == np.uint8 and long.image.shape == frames[0].shape
    assert not long.diverged


def test_the_total_is_the_weighted_sum(small, frames, style_hwc):
    options = small(total_variation_weight=0.01, style_weight=3, content_weight=2)
    losses = (
        Stylizer(options, style_hwc)
        .paint(1, frames[1], [Neighbour(frames[0], still())], start=None, iterations=2)
        .losses
    )
    total = (
        2 * losses["content"]
        + 3 * losses["style"]
        + 200 * losses["temporal"]
        + 0.01 * losses["total_variation"]
    )
    assert losses["total"] == pytest.approx(total, rel=1e-4)
    assert losses["temporal"] > 0


def test_noise_is_of_the_seed_and_the_frame(small, frames, style_hwc):
    def paint(seed: int, number: int) -> np.ndarray:
        stylizer = Stylizer(small(), style_hwc, seed=seed)
        return stylizer.paint(number, frames[0], start=None, iterations=12).image

    same = paint(1, 0)
    np.testing.assert_array_equal(paint(1, 0), same)
    assert (paint(2, 0) != same).any()
    assert (paint(1, 1) != same).any()


def test_a_result_is_warped_along_the_flow(small, frames, style_hwc):
    motion = still()
    motion.flow[0] = 3  # each pixel was three further to the right
    warped = Stylizer(small(), style_hwc).warped(Neighbour(frames[0], motion))
    np.testing.assert_allclose(warped[:, :-3], frames[0][:, 3:], atol=1e-3)


def test_a_strong_temporal_loss_holds_what_was_there(small, frames, style_hwc):
    before = frames[0][::-1].copy()
    apart = []
    for weight in (0.0, 1e5):
        stylizer = Stylizer(small(temporal_weight=weight), style_hwc)
        painted = stylizer.paint(
            1, frames[1], [Neighbour(before, still())], start=before, iterations=15
        )
        apart.append(np.abs(painted.image.astype(int) - before).mean())
    assert apart[1] < 0.2 * apart[0]


def test_several_passes_have_their_own_temporal_weight(small, frames, style_hwc):
    past = [Neighbour(frames[0], still())]
    for options, weight in ((small(), 200), (small(passes=2), 100)):
        painted = Stylizer(options, style_hwc).paint(1, frames[1], past, start=None, iterations=1)
        losses = painted.losses
        rest = losses["content"] + 20 * losses["style"]
        assert losses["total"] - rest == pytest.approx(weight * losses["temporal"], rel=1e-3)


def test_where_the_map_is_black_the_style_does_not_count(small, frames, style_hwc):
    where = np.zeros((64, 96), np.float32)
    where[:, 48:] = 1
    options = small(content_weight=0, style_layers=("relu1_1",))
    painted = Stylizer(options, style_hwc, style_map_hw=where).paint(
        0, frames[0], start=frames[0], iterations=12
    )
    moved = np.abs(painted.image.astype(int) - frames[0]).mean((0, 2))
    assert moved[:20].max() == 0
    assert moved[28:].mean() > 3


def test_arrays_that_may_not_be_written_are_taken_without_a_warning(
    small, frames, style_hwc, recwarn
):
    frame, style = frames[0].copy(), style_hwc.copy()
    frame.flags.writeable = style.flags.writeable = False
    Stylizer(small(), style).paint(0, frame, start=frame, iterations=1)
    assert not [w for w in recwarn if "writable" in str(w.message)]


def test_the_style_is_scaled_with_the_frame(small, frames, style_hwc):
    losses = [
        Stylizer(small(style_scale=scale), style_hwc)
        .paint(0, frames[0], start=frames[0], iterations=1)
        .losses["style"]
        for scale in (0.5, 1.0, 3.0)
    ]
    assert len(set(losses)) == 3


def test_a_search_that_diverges_goes_on_from_the_best_picture(
    small, style_hwc, frames, monkeypatch
):
    stylizer = Stylizer(small(stop_window=20, stop_change=0), style_hwc)
    gradients = []
    right = stylizer._objective.backward

    def breaks_once(image, targets):
        gradients.append(None)
        losses = right(image, targets)
        return losses | {"total": losses["total"] * (float("nan") if len(gradients) == 17 else 1)}

    monkeypatch.setattr(stylizer._objective, "backward", breaks_once)
    painted = stylizer.paint(0, frames[0], start=frames[0], iterations=60)
    assert not painted.diverged
    assert painted.iterations == 60
    assert len(gradients) == 61  # and that of the result
    assert np.isfinite(list(painted.losses.values())).all()


def test_a_search_that_diverges_twice_is_broken_off_with_finite_losses(
    small, style_hwc, frames, monkeypatch
):
    stylizer = Stylizer(small(stop_window=5, stop_change=0), style_hwc)
    gradients = []
    right = stylizer._objective.backward

    def breaks(image, targets):
        gradients.append(None)
        losses = right(image, targets)
        is_bad = len(gradients) in (8, 12)
        return losses | {"total": losses["total"] * (float("nan") if is_bad else 1)}

    monkeypatch.setattr(stylizer._objective, "backward", breaks)
    painted = stylizer.paint(0, frames[0], start=frames[0], iterations=15)
    assert painted.diverged
    assert np.isfinite(list(painted.losses.values())).all()
