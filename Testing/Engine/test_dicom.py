"""Reading DICOM series: sorted, whole, of one patient, or one clear sentence."""

from __future__ import annotations

import numpy as np
import pytest
from ct_files import sentence_of
from dicom_files import write_series

from SwinSSLLib.data.volumes import (
    list_series,
    read_volume,
)
from SwinSSLLib.errors import InputError


@pytest.fixture
def slices() -> np.ndarray:
    return np.random.default_rng(1).integers(-1000, 1000, (20, 16, 9)).astype(np.int16)


def test_a_dicom_series_is_sorted_by_position(slices, tmp_path):
    write_series(tmp_path / "d", slices)
    volume = read_volume(tmp_path / "d")
    assert np.array_equal(volume.array, slices)
    assert volume.spacing == pytest.approx((0.8, 0.9, 2.5))
    assert volume.origin == (-100.0, -120.0, 30.5) and volume.name == "d" and volume.warnings == ()
    one = read_volume(next((tmp_path / "d").iterdir()))
    assert np.array_equal(one.array, slices)


def test_a_coronal_dicom_series_keeps_its_place(slices, tmp_path):
    write_series(tmp_path / "d", slices, orientation=(1, 0, 0, 0, 0, -1))
    volume = read_volume(tmp_path / "d")
    assert np.array_equal(volume.array, slices)
    corner = volume.ijk_to_ras @ [1, 2, 3, 1]  # LPS: +0.8 x, -2*0.9 z, and the normal (0, 1, 0) * 7.5
    assert np.allclose(corner[:3], [100 - 0.8, 120 - 7.5, 30.5 - 1.8])


def test_a_series_is_picked_by_uid_or_description_and_the_choice_is_told(slices, tmp_path):
    first = write_series(tmp_path / "d", slices, description="Lung 1.0", prefix="a")
    write_series(tmp_path / "d" / "deep", slices[:, :, :5] + 1, description="Abdomen 5.0", prefix="b")
    write_series(tmp_path / "d", slices[:, :, :1], description="Scout", prefix="c")
    assert [s.slices for s in list_series(tmp_path / "d")] == [9, 5, 1]
    volume = read_volume(tmp_path / "d")
    assert volume.shape == (20, 16, 9)
    for part in ("read: Lung 1.0", "Abdomen 5.0", "Scout", first):
        assert part in volume.warnings[0]
    assert read_volume(tmp_path / "d", series="abdomen").shape == (20, 16, 5)
    assert read_volume(tmp_path / "d", series=first).shape == (20, 16, 9)
    with pytest.raises(InputError, match="no series that fits") as caught:
        read_volume(tmp_path / "d", series="pelvis")
    assert "Abdomen 5.0" in caught.value.hint
    with pytest.raises(InputError, match="several series"):
        read_volume(tmp_path / "d", series=".0")
    with pytest.raises(InputError, match="single slice"):
        read_volume(tmp_path / "d", series="Scout")


def test_missing_doubled_and_tilted_slices_are_refused(slices, tmp_path):
    places = [(-100.0, -120.0, 2.5 * k) for k in range(9)]
    hole = places[:4] + [(x, y, z + 2.5) for x, y, z in places[4:]]
    twice = places[:5] + places[1:5]
    tilted = [(x, y - 0.2 * z, z) for x, y, z in places]
    for name, positions, expected in (
        ("hole", hole, "after slice 4 comes a gap of 5.00 mm"),
        ("twice", twice, "one place"),
        ("tilted", tilted, "tilt"),
    ):
        write_series(tmp_path / name, slices, positions=positions)
        assert expected in sentence_of(tmp_path / name)
    uneven = [(x, y, z + (0.2 if n == 4 else 0)) for n, (x, y, z) in enumerate(places)]
    write_series(tmp_path / "uneven", slices, positions=uneven)
    volume = read_volume(tmp_path / "uneven")
    assert "uneven" in volume.warnings[0] and volume.spacing[2] == pytest.approx(2.5)


def test_a_scout_inside_the_series_and_copies_of_files_are_left_out(slices, tmp_path):
    write_series(tmp_path / "d", slices)
    for path in list((tmp_path / "d").iterdir())[:3]:
        (tmp_path / "d" / f"copy of {path.name}").write_bytes(path.read_bytes())
    (tmp_path / "d" / "readme.txt").write_text("no image")
    assert np.array_equal(read_volume(tmp_path / "d").array, slices)


def test_dicom_that_is_cut_off_is_refused(slices, tmp_path):
    write_series(tmp_path / "d", slices)
    victim = sorted((tmp_path / "d").iterdir())[4]
    victim.write_bytes(victim.read_bytes()[:-300])
    sentence_of(tmp_path / "d")


def test_dicom_of_another_modality_is_read_with_a_warning(slices, tmp_path):
    write_series(tmp_path / "d", slices, modality="MR")
    assert "is MR, not CT" in read_volume(tmp_path / "d").warnings[0]


def test_the_patient_id_is_not_kept_in_clear(slices, tmp_path):
    write_series(tmp_path / "d", slices, patient="Miller")
    patient = list_series(tmp_path / "d")[0].patient
    assert patient and "Miller" not in patient
