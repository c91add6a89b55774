"""Views: turned about the right axis, corrupted by the right amount, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from SwinSSLLib.data.phantom import make_phantom
from SwinSSLLib.pretrain.draws import Draws
from SwinSSLLib.pretrain.official_views import official_cutout
from SwinSSLLib.pretrain.views import centre_crop, cutout_mask, make_views, rotate, source_size
from SwinSSLLib.settings import ViewSettings


def a_phantom_block(size: int = 24) -> torch.Tensor:
    image = make_phantom(3, spacing=(12.0, 12.0, 12.0), shape=(size, size, size)).image.array
    return torch.from_numpy(image.astype(np.float32))[None, None]


def sorted_slices(block: torch.Tensor) -> torch.Tensor:
    """Intensities of every superior-inferior slice, sorted: (K, I * J)."""
    return block[0, 0].permute(2, 0, 1).flatten(1).sort(dim=1).values


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_rotation_stays_within_its_axial_slice(turns):
    block = a_phantom_block()
    turned = rotate(block, torch.tensor([turns]), "axial")
    assert not torch.equal(turned, block)
    assert torch.equal(sorted_slices(turned), sorted_slices(block))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_the_public_code_turns_in_another_plane(turns):
    block = a_phantom_block()
    turned = rotate(block, torch.tensor([turns]), "sagittal")
    assert not torch.equal(sorted_slices(turned), sorted_slices(block))
    # Project-MONAI/research-contributions, Pretrain/utils/ops.py:56-61: x.rot90(k, (2, 3)) on (C, X, Y, Z)
    assert torch.equal(turned[0], block[0].rot90(turns, (2, 3)))


def test_rotations_compose_modulo_four():
    block = torch.rand(1, 1, 5, 5, 3)
    for first in range(4):
        for second in range(4):
            both = rotate(rotate(block, torch.tensor([first])), torch.tensor([second]))
            assert torch.equal(both, rotate(block, torch.tensor([first + second])))


def test_each_sample_turns_by_its_own_angle():
    blocks = torch.rand(4, 2, 6, 6, 4)
    turned = rotate(blocks, torch.arange(4))
    for turns in range(4):
        assert torch.equal(turned[turns], torch.rot90(blocks[turns], turns, (1, 2)))


def test_a_landmark_in_patient_space_goes_where_it_should():
    """A quarter turn by the right-hand rule about the superior axis: right goes to front, front to left."""
    centre = np.array([4, 4, 2])
    affine = np.diag([2.0, 2.0, 3.0, 1.0])  # RAS: i to the right, j to anterior, k to superior
    affine[:3, 3] = [-8.0, -8.0, -6.0]  # the centre voxel lies at the origin
    for landmark, turns, goes_to in [
        ((6.0, 0.0, 3.0), 1, (0.0, 6.0, 3.0)),
        ((0.0, 6.0, 3.0), 1, (-6.0, 0.0, 3.0)),
        ((6.0, 0.0, -3.0), 2, (-6.0, 0.0, -3.0)),
        ((6.0, 0.0, 0.0), 3, (0.0, -6.0, 0.0)),
    ]:
        block = torch.zeros(1, 1, 9, 9, 5)
        i, j, k = (np.linalg.inv(affine) @ [*landmark, 1.0])[:3].round().astype(int)
        block[0, 0, i, j, k] = 1
        found = np.argwhere(rotate(block, torch.tensor([turns]))[0, 0].numpy() == 1)[0]
        assert np.allclose((affine @ [*found, 1.0])[:3], goes_to), (landmark, turns, found - centre)


def test_a_plane_that_is_not_square_is_refused_and_source_size_makes_it_square():
    with pytest.raises(ValueError, match="square"):
        rotate(torch.zeros(1, 1, 4, 6, 5), torch.tensor([1]))
    assert source_size((64, 32, 96), "axial") == (64, 64, 96)
    assert source_size((64, 32, 96), "sagittal") == (64, 96, 96)


def test_a_view_that_is_not_cubic_holds_only_real_voxels():
    roi = (64, 32, 32)
    blocks = torch.rand(8, 1, *source_size(roi, "axial")) + 1  # no voxel is 0
    views = make_views(blocks, ViewSettings(cutout_share=0.0), roi, Draws(0))
    assert views.target.shape == (8, 1, *roi)
    assert float(views.target.min()) >= 1
    assert set(views.rotation.tolist()) > {0}
    for block, target, turns in zip(blocks, views.target, views.rotation.tolist(), strict=True):
        assert torch.equal(target, centre_crop(torch.rot90(block, turns, (1, 2))[None], roi)[0])


def test_angles_are_uniform():
    views = make_views(torch.zeros(4000, 1, 1, 1, 1), ViewSettings(cutout_share=0), (1, 1, 1), Draws(0))
    counts = np.bincount(views.rotation.numpy(), minlength=4)
    assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("size", [(64, 64, 64), (96, 64, 32)])
def test_the_cutout_removes_exactly_what_was_asked(size, share):
    mask = cutout_mask(6, size, share, (0.05, 0.25), Draws(0))
    removed = mask.flatten(1).sum(1)
    assert removed.tolist() == [round(share * np.prod(size))] * 6
    assert not torch.equal(mask[0], mask[1])
    middle = mask[:, :, size[0] // 4 : -(size[0] // 4)].float().mean()
    assert abs(float(middle) - share) < 0.15 * (1 + share)  # borders are not spared, the middle is not either


def test_the_cutout_is_made_of_boxes():
    """Along any axis the removed runs are as long as box sides, not single voxels as random pixels would be."""
    mask = cutout_mask(1, (64, 64, 64), 0.3, (0.05, 0.25), Draws(0))[0, 0].float()
    starts = (mask[1:] - mask[:-1] > 0).sum() + mask[0].sum()
    assert float(mask.sum() / starts) > 0.05 * 64


def test_views_follow_from_the_seed_and_leave_the_target_whole():
    blocks, roi = torch.rand(3, 1, 32, 32, 32), (32, 32, 32)
    first, second, other = (make_views(blocks, ViewSettings(), roi, Draws(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.corrupted, second.corrupted)
    assert torch.equal(first.rotation, second.rotation)
    assert not torch.equal(first.corrupted, other.corrupted)
    assert torch.equal(first.corrupted[~first.mask], first.target[~first.mask])
    assert torch.equal(first.target, rotate(blocks, first.rotation))


def test_what_stands_in_removed_places():
    blocks, roi = torch.rand(2, 1, 32, 32, 32) * 0.5 + 0.25, (32, 32, 32)
    zeros, swap, noise = (
        make_views(blocks, ViewSettings(fill=fill), roi, Draws(0)) for fill in ("zeros", "swap", "noise")
    )
    assert float(zeros.corrupted[zeros.mask].abs().max()) == 0
    assert torch.equal(swap.corrupted[0][swap.mask[0]], swap.target[1][swap.mask[0]])
    removed = noise.corrupted[noise.mask]
    assert 0 <= float(removed.min()) < 0.1
    assert 0.9 < float(removed.max()) <= 1
    assert float(removed.std()) > 0.1


def altered_by_the_public_rule(random: np.random.Generator, side: int = 96) -> float:
    """Share altered by the noise stage, written anew in numpy from its description (reference: ops.py:17-43)."""
    tolerance, largest = int(0.05 * side), int(0.25 * side)
    wanted = random.uniform(0, 0.3) * side**3
    altered, counted = np.zeros((side,) * 3, bool), 0
    while counted < wanted:
        starts = random.integers(0, side - tolerance, 3)
        ends = np.minimum(starts + random.integers(tolerance, largest, 3), side)
        altered[tuple(slice(*pair) for pair in zip(starts, ends, strict=True))] = True
        counted += int(np.prod(ends - starts))
    return float(altered.mean())


def test_official_mode_has_the_statistics_of_the_public_code():
    """Mean 13.8 %, not 30 %, of the voxels at 96^3; both means here have a standard error of 0.4 %."""
    settings, blocks = ViewSettings(cutout="official"), torch.full((40, 1, 96, 96, 96), -1.0)
    ours = [
        float(share)
        for seed in range(9)
        for share in (official_cutout(blocks, settings, Draws(seed), swap=False) != -1).flatten(1).float().mean(1)
    ]
    theirs = [altered_by_the_public_rule(np.random.default_rng(seed)) for seed in range(400)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=0.016)
    assert np.mean(ours) == pytest.approx(0.138, abs=0.012)
    assert np.std(ours) == pytest.approx(np.std(theirs), abs=0.012)
    assert np.max(ours) < 0.3


def test_official_mode_swaps_boxes_with_other_samples():
    values = torch.arange(4.0).add(10).view(4, 1, 1, 1, 1).expand(4, 1, 48, 48, 48).contiguous()
    corrupted = official_cutout(values, ViewSettings(cutout="official"), Draws(1))
    foreign = [(corrupted[n] >= 10) & (corrupted[n] != 10 + n) for n in range(4)]
    assert any(bool(places.any()) for places in foreign)
    assert torch.equal(values[0], torch.full((1, 48, 48, 48), 10.0))  # the whole ones stay whole


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("fill", ["noise", "zeros"])
def test_a_sub_volume_has_the_same_views_in_however_many_processes(processes, fill):
    blocks, roi, settings = torch.rand(8, 1, 32, 32, 32), (32, 32, 32), ViewSettings(fill=fill)
    whole = make_views(blocks, settings, roi, Draws(5, 17))
    share = len(blocks) // processes
    for rank in range(processes):
        mine = slice(rank * share, (rank + 1) * share)
        part = make_views(blocks[mine], settings, roi, Draws(5, 17, first=mine.start, total=len(blocks)))
        for name in ("corrupted", "target", "mask", "rotation"):
            assert torch.equal(getattr(part, name), getattr(whole, name)[mine]), name
