"""Scores against closed forms, SimpleITK and SciPy, and the rules for organs that are not there."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import binary_erosion, distance_transform_edt

from SwinSSLLib.data.labelmaps import read_label_map
from SwinSSLLib.data.volumes import Volume, write_volume
from SwinSSLLib.errors import InputError
from SwinSSLLib.evaluate.metrics import Evaluation, evaluate, evaluate_files, mean_of, mean_over_cases
from SwinSSLLib.organs import ORGANS
from SwinSSLLib.segment.results import write_labels

SPACING = (1.5, 1.5, 2.0)
SPLEEN, KIDNEY, LIVER = ORGANS[0], ORGANS[1], ORGANS[5]


def label_map(array: np.ndarray, spacing=SPACING) -> Volume:
    return Volume(array.astype(np.uint8), spacing, (-10.0, 20.0, 30.0), tuple(np.eye(3).ravel()), name="case")


def a_cube(first: int, label: int = 1) -> Volume:
    array = np.zeros((48, 40, 30))
    array[first : first + 20, 10:30, 8:20] = label
    return label_map(array)


def two_blobs(seed: int, label: int = 6) -> Volume:
    """An irregular organ of two parts; another seed gives a similar one."""
    rng = np.random.default_rng(seed)
    grid = np.indices((44, 40, 26))
    array = np.zeros(grid.shape[1:])
    for centre, size in (((18, 18, 12), (11, 9, 7)), ((30, 26, 15), (6, 8, 5))):
        c, s = np.array(centre) + rng.uniform(-1.5, 1.5, 3), np.array(size) * rng.uniform(0.85, 1.15, 3)
        array[sum(((grid[n] - c[n]) / s[n]) ** 2 for n in range(3)) < 1] = label
    return label_map(array)


@pytest.mark.parametrize("shift", [0, 1, 3, 25])
def test_a_shifted_cube_in_closed_form(shift):
    (score,) = evaluate(a_cube(2 + shift), a_cube(2), [SPLEEN])
    assert score.dice == pytest.approx(max(20 - shift, 0) / 20)
    # The two faces across the shift are `shift` voxels away from the other cube's: more than 5 % of its surface.
    assert score.hd95_mm == pytest.approx(shift * 1.5)
    assert score.reference_ml == pytest.approx(20 * 20 * 12 * 4.5 / 1000)


def test_the_share_of_surface_within_the_tolerance_in_closed_form():
    # Shifted by 4 voxels (6 mm) along i with a tolerance of 3 mm: of 4 sides, 20 - 4 + 2 of 20 rows are within 3 mm
    # of the other cube (overlap, and 3 mm beyond it); of the two end faces those along the rim of the other cube.
    (near,) = evaluate(a_cube(10), a_cube(6), [SPLEEN], tolerance=6.0)
    (exact,) = evaluate(a_cube(6), a_cube(6), [SPLEEN], tolerance=0.5)
    (far,) = evaluate(a_cube(10), a_cube(6), [SPLEEN], tolerance=3.0)
    assert near.nsd == 1.0
    assert exact.nsd == 1.0
    sides = 2 * (20 * 1.5) * (20 * 1.5) + 2 * (20 * 1.5) * (12 * 2.0)
    ends = 2 * (20 * 1.5) * (12 * 2.0)
    rim = 1 - (1 - 2 * 3.0 / 30.0) * (1 - 2 * 3.0 / 24.0)  # of the end face inside the other cube
    expected = (sides * 18 / 20 + ends / 2 * rim) / (sides + ends)
    assert far.nsd == pytest.approx(expected, abs=0.04), "up to the rounding of edges by the marching cubes"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_dice_is_that_of_simpleitk_and_distances_are_those_of_scipy(seed):
    prediction, reference = two_blobs(seed), two_blobs(0)
    (score,) = evaluate(prediction, reference, [LIVER])

    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(reference.to_sitk(), prediction.to_sitk())
    assert score.dice == pytest.approx(overlap.GetDiceCoefficient(6), abs=1e-6)

    edges = []
    for volume in (prediction, reference):
        mask = volume.array == 6
        edges.append(mask & ~binary_erosion(mask))
    there, back = (
        distance_transform_edt(~edges[1 - n], sampling=SPACING)[edges[n]] for n in range(2)
    )  # whole volume, no cropping
    assert score.hd95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-4)


@pytest.mark.parametrize(
    ("spacing", "axis", "published"),
    # Values of DeepMind's surface-distance 0.1, from which the measure and its published figures come.
    [
        ((1.0, 1.0, 1.0), 0, 0.6152),
        ((1.5, 1.5, 2.0), 0, 0.6650),
        ((1.5, 1.5, 2.0), 2, 0.6829),
        ((0.8, 0.8, 3.0), 2, 0.6337),
    ],
)
def test_surface_distance_is_that_of_deepminds_implementation(spacing, axis, published):
    shape = [int(80 / size) for size in spacing]
    centre = np.array(shape) / 2
    moved = centre.copy()
    moved[axis] += 6 / spacing[axis]

    def sphere(at: np.ndarray) -> Volume:
        squares = [((np.arange(n) - a) * s) ** 2 for n, a, s in zip(shape, at, spacing, strict=True)]
        return label_map(np.add.outer(np.add.outer(squares[0], squares[1]), squares[2]) < 24.0**2, spacing)

    (score,) = evaluate(sphere(centre), sphere(moved), [SPLEEN])
    assert score.nsd == pytest.approx(published, abs=1e-4)


def test_an_organ_at_the_edge_of_the_volume_is_scored_like_one_inside():
    array = np.zeros((30, 30, 12))
    array[:10, :10, :] = 1
    (score,) = evaluate(label_map(array), label_map(array), [SPLEEN])
    assert (score.dice, score.hd95_mm, score.nsd) == (1.0, 0.0, 1.0)


def test_absent_missed_and_extra_organs():
    reference, prediction = a_cube(2), a_cube(2, label=2)
    spleen, kidney, liver = evaluate(prediction, reference, [SPLEEN, KIDNEY, LIVER])
    assert (spleen.state, spleen.dice, spleen.hd95_mm, spleen.nsd) == ("missed", 0.0, None, 0.0)
    assert (kidney.state, kidney.dice, kidney.hd95_mm, kidney.nsd) == ("extra", 0.0, None, 0.0)
    assert (liver.state, liver.dice, liver.hd95_mm, liver.nsd) == ("absent", None, None, None)
    assert kidney.prediction_ml == spleen.reference_ml > 0


def test_means_leave_absent_organs_out_and_count_missed_ones():
    reference = label_map(a_cube(2).array + np.roll(a_cube(24, label=6).array, 0, axis=0))
    prediction = a_cube(3)
    scores = evaluate(prediction, reference, [SPLEEN, KIDNEY, LIVER])
    mean = mean_of(scores)
    assert mean.dice == pytest.approx((0.95 + 0.0) / 2)
    assert (mean.count, mean.distances) == (2, 1)
    assert mean.hd95_mm == pytest.approx(1.5)
    assert mean_of(evaluate(label_map(np.zeros((4, 4, 4))), label_map(np.zeros((4, 4, 4))))).dice is None


def test_means_over_cases_weigh_cases_alike():
    good = Evaluation("good", tuple(evaluate(a_cube(2), a_cube(2), [SPLEEN, KIDNEY])))
    bad = Evaluation("bad", tuple(evaluate(a_cube(2, label=2), a_cube(2), [SPLEEN, KIDNEY])))
    overall, by_organ = mean_over_cases([good, bad])
    assert overall.dice == pytest.approx((1.0 + 0.0) / 2)
    assert by_organ["spleen"].dice == pytest.approx(0.5)
    assert by_organ["right kidney"].dice == 0.0
    assert by_organ["right kidney"].count == 1, "absent in the good case"


def test_another_grid_is_refused_with_both_named():
    moved = replace(a_cube(2), origin=(-10.0, 20.0, 31.0))
    with pytest.raises(InputError, match="another grid") as refused:
        evaluate(moved, a_cube(2))
    assert "48 x 40 x 30" in refused.value.message


def test_files_of_any_format_are_scored_alike(tmp_path):
    prediction, reference = two_blobs(1), two_blobs(0)
    write_volume(reference, tmp_path / "reference.nii.gz")
    results = []
    for name in ("prediction.nii.gz", "prediction.mha", "prediction.seg.nrrd"):
        write_labels(prediction, ORGANS, tmp_path / name)
        results.append(evaluate_files(tmp_path / name, tmp_path / "reference.nii.gz"))
    assert results[0].case == "prediction"
    for result in results:
        assert result.mean.dice == pytest.approx(results[0].mean.dice)
        assert result.mean.hd95_mm == pytest.approx(results[0].mean.hd95_mm, rel=1e-4)
        assert result.to_dict()["mean"]["count"] == 1


def slicer_file(path, voxels: np.ndarray, segments: list[dict], origin=(-10.0, 20.0, 30.0)) -> None:
    import slicerio

    to_lps = np.diag([*SPACING, 1.0])
    to_lps[:3, 3] = origin
    slicerio.write_segmentation(str(path), {"voxels": voxels, "ijkToLPS": to_lps, "segments": segments})


def test_segments_are_known_by_code_or_name_whatever_their_numbers(tmp_path):
    voxels = np.zeros((10, 9, 8), np.uint8)
    voxels[1:3], voxels[4:6], voxels[7:9] = 1, 2, 3
    left = {
        "category": ["SCT", "1", "x"],
        "type": ["SCT", "64033007", "Kidney"],
        "typeModifier": ["SCT", "7771000", "Left"],
    }
    segments = [
        {
            "id": "a",
            "name": "my liver",
            "labelValue": 1,
            "terminology": {**left, "type": ["SCT", "10200004", "Liver"], "typeModifier": ["", "", ""]},
        },
        {"id": "b", "name": "Segment_2", "labelValue": 2, "terminology": left},
        {"id": "c", "name": " Spleen", "labelValue": 3},
    ]
    slicer_file(tmp_path / "x.seg.nrrd", voxels, [*segments, {"id": "d", "name": "tumour", "labelValue": 9}])
    labels = read_label_map(tmp_path / "x.seg.nrrd")
    assert labels.array[:, 0, 0].tolist() == [0, 6, 6, 0, 3, 3, 0, 1, 1, 0]
    assert "tumour" in labels.warnings[0]


def test_overlapping_segments_are_refused_and_separate_layers_are_joined(tmp_path):
    layers = np.zeros((2, 10, 9, 8), np.uint8)
    layers[0, :5], layers[1, 5:] = 1, 1
    segments = [
        {"id": "a", "name": "liver", "labelValue": 1, "layer": 0},
        {"id": "b", "name": "spleen", "labelValue": 1, "layer": 1},
    ]
    slicer_file(tmp_path / "apart.seg.nrrd", layers, segments)
    joined = read_label_map(tmp_path / "apart.seg.nrrd")
    assert joined.array[:, 0, 0].tolist() == [6] * 5 + [1] * 5
    layers[1, 4:] = 1
    slicer_file(tmp_path / "over.seg.nrrd", layers, segments)
    with pytest.raises(InputError, match=r"over\.seg\.nrrd.*liver.*overlap|over\.seg\.nrrd.*spleen.*overlap"):
        read_label_map(tmp_path / "over.seg.nrrd")


def test_a_cropped_segmentation_is_put_back_in_its_place(tmp_path):
    whole = a_cube(2)
    cropped = whole.array[1:30, 5:35, 6:25]
    origin = tuple(o + n * s for o, n, s in zip(whole.origin, (1, 5, 6), SPACING, strict=True))
    slicer_file(tmp_path / "c.seg.nrrd", cropped, [{"id": "a", "name": "spleen", "labelValue": 1}], origin)
    labels = read_label_map(tmp_path / "c.seg.nrrd", reference=whole)
    assert labels.same_grid(whole)
    assert np.array_equal(labels.array, whole.array)
    slicer_file(
        tmp_path / "c.seg.nrrd", cropped, [{"id": "a", "name": "spleen", "labelValue": 1}], (-10.0, 320.0, 30.0)
    )
    with pytest.raises(InputError, match="labels outside"):
        read_label_map(tmp_path / "c.seg.nrrd", reference=whole)


def test_a_damaged_segmentation_is_named(tmp_path):
    (tmp_path / "bad.seg.nrrd").write_text("NRRD0004\nnonsense")
    with pytest.raises(InputError, match=r"bad\.seg\.nrrd"):
        read_label_map(tmp_path / "bad.seg.nrrd")
