"""Small DICOM series for tests, written with pydicom (an independent library) and not with ITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def write_series(
    folder: Path,
    array: np.ndarray,
    *,
    spacing=(0.8, 0.9, 2.5),
    origin=(-100.0, -120.0, 30.5),
    orientation=(1, 0, 0, 0, 1, 0),
    positions=None,
    description="Abdomen 2.5",
    patient="P-17",
    modality="CT",
    prefix="im",
) -> str:
    """Write (I, J, K) HU as one file a slice, named and numbered out of order; returns the series UID."""
    folder.mkdir(parents=True, exist_ok=True)
    series = generate_uid()
    normal = np.cross(orientation[:3], orientation[3:])
    for k in range(array.shape[2]):
        place = positions[k] if positions is not None else np.asarray(origin) + normal * spacing[2] * k
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_ = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.SeriesInstanceUID, slice_.StudyInstanceUID = series, "1.2.3"
        slice_.Modality, slice_.SeriesDescription = modality, description
        slice_.PatientID, slice_.InstanceNumber = patient, array.shape[2] - k
        slice_.ImagePositionPatient = [float(x) for x in place]
        slice_.ImageOrientationPatient = [float(x) for x in orientation]
        slice_.PixelSpacing, slice_.SliceThickness = [spacing[1], spacing[0]], spacing[2]
        slice_.Columns, slice_.Rows = array.shape[0], array.shape[1]
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 0
        slice_.RescaleIntercept, slice_.RescaleSlope = -1024, 1
        slice_.PixelData = (array[:, :, k].T.astype(np.int32) + 1024).astype(np.uint16).tobytes()
        slice_.save_as(folder / f"{prefix}{(k * 7919) % 1000:04d}", enforce_file_format=True)
    return series
