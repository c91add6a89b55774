"""The streaming sliding window: equal to MONAI's, in a band of memory that does not grow with the volume."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer

from SwinSSLLib.errors import InputError
from SwinSSLLib.segment import windows
from SwinSSLLib.segment.scoring import Scorer
from SwinSSLLib.segment.windows import Stopped, sliding_scores

WINDOW = (-175.0, 250.0)


def small_network(classes: int = 3) -> torch.nn.Module:
    """A random network that sees its neighbourhood and, through the mean, its whole window."""

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.near = torch.nn.Conv3d(1, classes, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.near(x) + x.mean(dim=(2, 3, 4), keepdim=True) * torch.arange(classes).view(1, -1, 1, 1, 1)

    torch.manual_seed(7)
    return Net().eval()


def random_ct(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(3).integers(-400, 400, shape).astype(np.int16)


def whole(slabs: Iterator[windows.Slab]) -> torch.Tensor:
    parts, end = [], 0
    for start, stop, scores in slabs:
        assert start == end, "slabs follow each other without gap or overlap"
        assert scores.shape[-1] == stop - start
        parts.append(scores.clone())
        end = stop
    return torch.cat(parts, dim=-1)


@pytest.mark.parametrize(
    ("shape", "roi", "overlap", "batch"),
    [
        ((40, 37, 61), (16, 16, 16), 0.5, 2),
        ((40, 37, 61), (24, 16, 32), 0.25, 3),  # non-cubic
        ((33, 20, 50), (16, 24, 16), 0.7, 1),  # smaller than the roi along one axis, odd difference
        ((9, 10, 11), (16, 16, 16), 0.5, 4),  # smaller along all axes
        ((16, 16, 16), (16, 16, 16), 0.5, 1),  # exactly one window
        ((20, 20, 7), (16, 16, 16), 0.0, 1),  # a few slices only
    ],
)
def test_scores_are_those_of_monai(shape, roi, overlap, batch):
    image, network = random_ct(shape), small_network()
    ours = whole(sliding_scores(image, network, roi, hu_window=WINDOW, overlap=overlap, batch=batch))
    scaled = ((torch.from_numpy(image).float() - WINDOW[0]) / (WINDOW[1] - WINDOW[0])).clamp(0, 1)
    with torch.no_grad():
        inferer = SlidingWindowInferer(roi, sw_batch_size=batch, overlap=overlap, mode="gaussian")
        expected = inferer(scaled[None, None], network)[0]
    assert ours.shape == expected.shape == (3, *shape)
    assert (ours - expected).abs().max() <= 1e-5


def test_the_band_does_not_grow_with_the_number_of_slices(monkeypatch):
    seen: list[windows._Band] = []
    advance = windows._Band.advance

    def spy(band, start):
        seen.append(band)
        return advance(band, start)

    monkeypatch.setattr(windows._Band, "advance", spy)
    used, highest = {}, {}
    for slices in (40, 400):
        slabs = sliding_scores(random_ct((40, 40, slices)), small_network(14), (32, 32, 32), hu_window=WINDOW)
        highest[slices] = max(slab.scores.shape[-1] for slab in slabs)
        used[slices] = seen[-1].bytes
    assert used[40] == used[400] == (14 + 1) * 40 * 40 * 32 * 4
    assert highest[400] <= 32, "a slab is never higher than a window"


def test_progress_counts_every_window_and_stop_is_obeyed_at_once():
    seen: list[tuple[int, int]] = []
    for _ in sliding_scores(
        random_ct((40, 20, 40)),
        small_network(),
        (16, 16, 16),
        hu_window=WINDOW,
        batch=3,
        progress=lambda *a: seen.append(a),
    ):
        pass
    total = seen[0][1]
    assert [done for done, _ in seen][-1] == total == 4 * 2 * 4
    assert all(a < b for (a, _), (b, _) in itertools.pairwise(seen))

    calls = 0

    def network(x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return x

    with pytest.raises(Stopped) as stopped:
        list(sliding_scores(random_ct((40, 20, 40)), network, (16, 16, 16), hu_window=WINDOW, stop=lambda: calls == 2))
    assert calls == 2
    assert stopped.value.exit_code == 0


def test_gradients_are_not_kept_and_bf16_stays_close():
    image, network = random_ct((20, 20, 20)), small_network()
    exact = whole(sliding_scores(image, network, (16, 16, 16), hu_window=WINDOW))
    close = whole(sliding_scores(image, network, (16, 16, 16), hu_window=WINDOW, precision="bf16-mixed"))
    assert not exact.requires_grad
    assert 0 < (exact - close).abs().max() < 0.05


@pytest.mark.parametrize("wrong", [{"overlap": 1.0}, {"overlap": -0.1}, {"batch": 0}, {"precision": "fp8"}])
def test_impossible_settings_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        next(sliding_scores(random_ct((16, 16, 16)), small_network(), (16, 16, 16), hu_window=WINDOW, **wrong))


def test_windows_of_air_are_computed_once_and_the_scores_are_the_same_to_the_bit():
    image, network, seen = random_ct((48, 40, 40)), small_network(), []
    image[16:] = -1000
    image[20, 20, 20] = -175  # the lowest HU of the range is 0 as well

    def counted(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return network(x)

    scores, calls = {}, {}
    for skip in (True, False):
        seen.clear()
        scores[skip] = whole(sliding_scores(image, counted, (16, 16, 16), hu_window=WINDOW, skip_air=skip))
        calls[skip] = len(seen)
    assert torch.equal(scores[True], scores[False])
    assert calls[False] == 5 * 4 * 4
    assert calls[True] == 2 * 4 * 4 + 1
    scaled = ((torch.from_numpy(image).float() - WINDOW[0]) / (WINDOW[1] - WINDOW[0])).clamp(0, 1)
    with torch.no_grad():
        expected = SlidingWindowInferer((16, 16, 16), overlap=0.5, mode="gaussian")(scaled[None, None], network)[0]
    assert (scores[True] - expected).abs().max() <= 1e-5
    image[40, 20, 20] = -174
    seen.clear()
    whole(sliding_scores(image, counted, (16, 16, 16), hu_window=WINDOW))
    assert len(seen) > calls[True], "one voxel above it is enough to be looked at"


def test_a_volume_that_is_air_throughout_needs_one_call():
    seen: list[tuple[int, int]] = []
    network, image = small_network(), np.full((40, 20, 40), -1000, np.int16)
    scores = whole(
        sliding_scores(image, network, (16, 16, 16), hu_window=WINDOW, batch=3, progress=lambda *a: seen.append(a))
    )
    with torch.no_grad():
        assert torch.allclose(scores[:, :16, :16, :8], network(torch.zeros(1, 1, 16, 16, 16))[0, :, :, :, :8])
    assert seen[-1] == (32, 32)


def test_with_too_little_memory_fewer_windows_are_taken_at_a_time():
    image, network, sizes, notes = random_ct((40, 20, 40)), small_network(), [], []

    def small(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return network(x)

    scores = whole(sliding_scores(image, small, (16, 16, 16), hu_window=WINDOW, batch=4, note=notes.append))
    assert sizes[:3] == [4, 2, 1]
    assert set(sizes[2:]) == {1}
    assert torch.equal(scores, whole(sliding_scores(image, network, (16, 16, 16), hu_window=WINDOW)))
    (note,) = notes
    assert "1 instead of 4 windows" in note
    assert "cpu" in note


def test_the_scores_go_to_main_memory_before_it_is_given_up():
    network, notes, room = small_network(), [], []

    def tight(x: torch.Tensor) -> torch.Tensor:
        if not room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return network(x)

    scorer = Scorer(tight, (16, 16, 16), WINDOW, note=notes.append)
    windows = [((0, 0, 0), random_ct((16, 16, 16)).astype(np.float32))]
    with pytest.raises(torch.OutOfMemoryError):
        list(scorer(windows))
    scorer.relieve = lambda: room.append(1) is None
    assert len(list(scorer(windows))) == 1
    scorer.finish()
    assert "kept in main memory" in notes[0]


def test_other_errors_of_the_network_are_not_taken_for_want_of_memory():
    def broken(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("sizes of tensors must match")

    with pytest.raises(RuntimeError, match="must match"):
        next(sliding_scores(random_ct((16, 16, 16)), broken, (16, 16, 16), hu_window=WINDOW, batch=2))
