"""Phantoms: one seed is one patient, labels are exact, anatomy is where it belongs, individuals differ."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from scipy import ndimage

from SwinSSLLib.data.datalists import audit, read_datalist
from SwinSSLLib.data.phantom import default_split, make_phantom, write_cohort
from SwinSSLLib.data.phantom_organs import PORTAL, SPLEEN
from SwinSSLLib.data.phantom_tissue import Enhancement, SmoothField
from SwinSSLLib.data.volumes import read_labels, read_volume
from SwinSSLLib.errors import InputError
from SwinSSLLib.organs import ORGANS

ID = {organ.name: organ.id for organ in ORGANS}
SMALL = {"spacing": (6.0, 6.0, 6.0), "shape": (56, 48, 48)}

#: mL in adults, generously (radiology text books); phantoms must not leave these.
VOLUMES = {
    "spleen": (40, 350),
    "right kidney": (70, 350),
    "left kidney": (70, 350),
    "gallbladder": (8, 90),
    "esophagus": (5, 40),
    "liver": (600, 2200),
    "stomach": (100, 700),
    "aorta": (40, 200),
    "inferior vena cava": (40, 180),
    "portal and splenic veins": (10, 60),
    "pancreas": (20, 110),
    "right adrenal gland": (1.5, 14),
    "left adrenal gland": (1.5, 14),
}


@pytest.fixture(scope="module")
def patients():
    return [make_phantom(seed) for seed in range(12)]


def centres(phantom) -> dict[str, np.ndarray]:
    """RAS millimetres of the middle of each organ."""
    result = {}
    for name, number in ID.items():
        where = np.argwhere(phantom.labels.array == number)
        if len(where):
            result[name] = (phantom.labels.ijk_to_ras @ [*where.mean(axis=0), 1.0])[:3]
    return result


def test_a_phantom_is_a_ct_with_labels_on_one_grid(patients):
    for phantom in patients:
        assert phantom.image.array.dtype == np.int16 and phantom.labels.array.dtype == np.uint8
        assert phantom.image.shape == phantom.labels.shape == (112, 96, 96)
        assert phantom.image.same_grid(phantom.labels)
        assert phantom.image.array.min() >= -1024 and 300 < phantom.image.array.max() <= 1500
        corner = phantom.image.ijk_to_ras @ [0, 0, 0, 1]
        assert np.allclose(corner[:3], [-166.5, -142.5, -142.5])  # i, j, k run to the right, front and head
        assert np.allclose(phantom.image.ijk_to_ras[:3, :3], np.diag([3.0, 3.0, 3.0]))


def test_equal_seeds_are_equal_and_other_seeds_are_other_people():
    first, again, other = (make_phantom(seed, **SMALL) for seed in (5, 5, 6))
    assert np.array_equal(first.image.array, again.image.array)
    assert np.array_equal(first.labels.array, again.labels.array)
    assert (first.labels.array != other.labels.array).mean() > 0.02


def test_one_seed_is_one_patient_on_every_grid():
    """Where voxel centres of two grids coincide the labels must be equal, whatever the spacing."""
    coarse = make_phantom(3, spacing=(6.0, 6.0, 6.0), shape=(41, 41, 41))
    fine = make_phantom(3, spacing=(3.0, 2.0, 6.0), shape=(81, 121, 41))
    assert np.array_equal(coarse.labels.array, fine.labels.array[::2, ::3])
    part = make_phantom(3, spacing=(6.0, 6.0, 6.0), shape=(11, 11, 11), centre=(60.0, 0.0, 30.0))
    assert np.array_equal(part.labels.array, coarse.labels.array[25:36, 15:26, 20:31])
    soft = (coarse.labels.array == ID["liver"]) & (fine.labels.array[::2, ::3] == ID["liver"])
    assert abs(coarse.image.array[soft].mean() - fine.image.array[::2, ::3][soft].mean()) < 3


def test_every_organ_is_there_in_a_plausible_size(patients):
    absent = 0
    for phantom in patients:
        counts = np.bincount(phantom.labels.array.ravel(), minlength=14)
        assert len(counts) == 14
        for name, (low, high) in VOLUMES.items():
            if name == "gallbladder" and counts[ID[name]] == 0:
                absent += 1
            else:
                assert low < counts[ID[name]] * 0.027 < high, (phantom.name, name)
    assert absent <= 3  # one in sixteen has lost it


def test_organs_lie_where_orientation_errors_show(patients):
    for phantom in patients:
        at = centres(phantom)
        right, front, up = 0, 1, 2
        assert at["liver"][right] > 20 and at["spleen"][right] < -60 and at["stomach"][right] < -20
        assert at["right kidney"][right] > 40 and at["left kidney"][right] < -40
        assert at["inferior vena cava"][right] > at["aorta"][right] + 15
        assert at["right adrenal gland"][right] > 5 > -5 > at["left adrenal gland"][right]
        assert at["stomach"][front] > at["pancreas"][front] > at["left kidney"][front]
        assert at["liver"][up] > at["right kidney"][up] + 20
        assert at["esophagus"][up] > at["pancreas"][up] + 50
        image = phantom.image.array
        bone = np.argwhere(ndimage.binary_opening(image > 180) & (phantom.labels.array == 0))
        assert bone[:, 1].mean() < 48 - 8  # the spine is behind
        lung = ndimage.binary_opening((image < -700) & (image > -930), iterations=2)
        assert lung.sum() > 1000 and np.argwhere(lung)[:, 2].mean() > 65  # the lungs are above


def test_labels_are_exact(patients):
    """Eroded by a voxel, an organ's parenchyma has its own Hounsfield units and no other tissue's."""
    for phantom in patients:
        for name in ("liver", "spleen", "aorta"):
            inner = ndimage.binary_erosion(phantom.labels.array == ID[name])
            values = phantom.image.array[inner]
            noise = 25
            assert np.percentile(values, 98) - np.percentile(values, 2) < 6 * noise, (phantom.name, name)
            assert np.percentile(values, 2) > 0
        # no label in bone, lung, or outside of the body
        labelled = phantom.image.array[ndimage.binary_erosion(phantom.labels.array > 0)]
        assert (labelled > 420).mean() < 0.002
        for name in ("liver", "spleen", "pancreas", "right kidney", "left kidney", "portal and splenic veins"):
            assert (phantom.image.array[phantom.labels.array == ID[name]] < -500).mean() < 0.01


def test_organs_are_in_one_piece(patients):
    for phantom in patients:
        for name in ("spleen", "right kidney", "left kidney", "stomach", "aorta", "inferior vena cava", "liver"):
            parts, _ = ndimage.label(phantom.labels.array == ID[name], np.ones((3, 3, 3)))
            sizes = np.bincount(parts.ravel())[1:]
            assert sizes.max() > 0.95 * sizes.sum(), (phantom.name, name, sizes)


def test_individuals_vary_smoothly(patients):
    livers = np.array([centres(phantom)["liver"] for phantom in patients])
    assert (livers.std(axis=0) > 2).all() and (livers.std(axis=0) < 20).all()
    sizes = np.array([(phantom.labels.array == SPLEEN).sum() for phantom in patients])
    assert 0.1 < sizes.std() / sizes.mean() < 0.6
    portal = np.array([phantom.image.array[phantom.labels.array == PORTAL].mean() for phantom in patients])
    liver = np.array([phantom.image.array[phantom.labels.array == ID["liver"]].mean() for phantom in patients])
    assert portal.std() > 10
    assert np.corrcoef(portal, liver)[0, 1] > 0.5  # one injection enhances both


def test_contrast_phases_have_their_look():
    early, venous, plain = Enhancement(30, 1, 55), Enhancement(70, 1, 55), Enhancement(70, 0, 55)
    assert early.aorta > 200 > early.portal + 60 and early.cortex > early.medulla + 60
    assert abs(venous.aorta - venous.portal) < 60 and venous.liver > early.liver + 30
    assert plain.aorta == plain.portal == plain.cava == 42 and plain.liver == 55


def test_random_fields_do_not_depend_on_the_grid():
    field = SmoothField(np.random.default_rng(0), 14.0)
    axes = [np.linspace(-100, 100, n) for n in (41, 37, 33)]
    whole = field.on(axes)
    assert np.allclose(field.on([axes[0][5:9], axes[1][3:4], axes[2][::2]]), whole[5:9, 3:4, ::2], atol=1e-5)
    assert 0.8 < whole.std() < 1.2
    assert np.abs(np.diff(field.on([np.linspace(0, 1, 11), [0.0], [0.0]]).ravel())).max() < 0.1


def test_a_phantom_is_quick():
    start = time.process_time()
    make_phantom(1)
    assert time.process_time() - start < 10  # about 0.8 s on one core; a tenfold slowdown is a mistake


# -- cohorts -----------------------------------------------------------------------------------------


def test_a_cohort_is_a_datalist_that_reads_back(tmp_path):
    path = write_cohort(5, 2, tmp_path / "c", **SMALL)
    assert path == tmp_path / "c" / "dataset.json"
    datalist = read_datalist(path)
    assert [len(p) for p in (datalist.training, datalist.validation, datalist.unlabelled)] == [2, 1, 2]
    assert len({case.patient for case in (*datalist.training, *datalist.validation, *datalist.unlabelled)}) == 5
    assert datalist.warnings == () and audit(datalist) == []
    case = datalist.validation[0]
    image = read_volume(case.image)
    phantom = make_phantom(json.loads(path.read_text())["validation"][0]["seed"], **SMALL)
    assert np.array_equal(image.array, phantom.image.array) and image.warnings == ()
    assert image.same_grid(phantom.image)
    assert np.array_equal(read_labels(case.labels, image).array, phantom.labels.array)
    assert len(list((tmp_path / "c" / "labels").iterdir())) == 3


def test_parts_can_be_asked_for_and_the_default_has_one_of_each(tmp_path):
    calls = []
    path = write_cohort(3, 0, tmp_path, split=(1, 0, 2), progress=lambda done, all: calls.append((done, all)), **SMALL)
    content = json.loads(path.read_text())
    assert [len(content[part]) for part in ("training", "validation", "unlabelled")] == [1, 0, 2]
    assert calls == [(1, 3), (2, 3), (3, 3)]
    for count in range(1, 60):
        parts = default_split(count)
        assert sum(parts) == count and (count < 3 or min(parts) >= 1)
    assert default_split(40) == (15, 5, 20)


def test_impossible_cohorts_and_foreign_folders_are_refused(tmp_path):
    for count, split in ((0, None), (3, (1, 1, 2)), (3, (4, 0, -1))):
        with pytest.raises(InputError, match="cannot be split"):
            write_cohort(count, 0, tmp_path, split=split, **SMALL)
    write_cohort(1, 0, tmp_path, **SMALL)
    write_cohort(1, 0, tmp_path, **SMALL)  # the same again is no harm
    with pytest.raises(InputError, match="other volumes"):
        write_cohort(1, 1, tmp_path, **SMALL)
