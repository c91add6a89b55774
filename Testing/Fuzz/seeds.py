"""Small valid volumes, made by SimpleITK, pydicom and the project itself."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from Fuzz.inputs import FOLDER, Input

SIZE = (8, 9, 10)


def ct(kind: type = np.int16, oblique: bool = False) -> sitk.Image:
    """A CT of noise between air and bone."""
    array = np.random.default_rng(3).integers(-1000, 1200, SIZE[::-1])
    array = np.clip(array, 0, 250) if np.dtype(kind).kind == "u" else array
    image = sitk.GetImageFromArray(array.astype(kind))
    image.SetSpacing((0.8, 0.9, 2.5))
    image.SetOrigin((-100.0, -120.0, 30.5))
    if oblique:
        turn = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.1, 0.2, 0.3)
        image.SetDirection(turn.GetMatrix())
    return image


def labels() -> sitk.Image:
    """Ids 0 to 13 on the grid of :func:`ct`."""
    image = sitk.GetImageFromArray(np.random.default_rng(4).integers(0, 14, SIZE[::-1]).astype(np.uint8))
    image.CopyInformation(ct())
    return image


def written(folder: Path, image: sitk.Image, ending: str, compress: bool = False) -> Input:
    """An image as SimpleITK writes it; a detached header comes with its ``other.raw``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"ct{ending}"
    sitk.WriteImage(image, str(path), useCompression=compress)
    files = {path.name: path.read_bytes()}
    path.unlink()
    for body in sorted(folder.iterdir()):
        files[path.name] = files[path.name].replace(body.name.encode(), b"other.raw")
        files["other.raw"] = body.read_bytes()
        body.unlink()
    return Input(path.name, files)


def volumes(folder: Path, ending: str, compress: tuple[bool, ...] = (False,)) -> list[Input]:
    """CTs of several number types, straight and oblique."""
    kinds = (np.int16, np.uint8, np.uint16, np.int32, np.float32, np.float64)
    images = [ct(kind) for kind in kinds] + [ct(oblique=True)]
    return [written(folder / "w", image, ending, packed) for packed in compress for image in images]


def segmentation() -> Input:
    """A ``.seg.nrrd`` as the project writes it, with a CT of its grid."""
    import tempfile

    from SwinSSLLib.data.volumes import Volume
    from SwinSSLLib.organs import ORGANS
    from SwinSSLLib.segment.results import write_labels

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ct.seg.nrrd"
        write_labels(Volume.from_sitk(labels()), ORGANS, path)
        return Input("ct.seg.nrrd", {"ct.seg.nrrd": path.read_bytes()})


def series(slices: int = 4, frames: int = 0, first: int = 0) -> Input:
    """A DICOM series with one file a slice, or one file of several frames; the second file is damaged first."""
    files = {}
    for k in range(slices):
        files[f"im{first + k:03d}"] = _slice(first + k, frames)
    return Input(FOLDER, files, target=sorted(files)[min(1, slices - 1)])


def _slice(k: int, frames: int) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.{1000 + k}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    file.SeriesInstanceUID, file.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.7", "1.2.3"
    file.Modality, file.SeriesDescription, file.PatientID, file.InstanceNumber = "CT", "Abdomen 2.5", "P-17", k + 1
    file.ImagePositionPatient, file.ImageOrientationPatient = [-100.0, -120.0, 2.5 * k], [1, 0, 0, 0, 1, 0]
    file.PixelSpacing, file.SliceThickness, file.Columns, file.Rows = [0.9, 0.8], 2.5, 8, 9
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 0
    file.RescaleIntercept, file.RescaleSlope = -1024, 1
    if frames:
        file.NumberOfFrames = frames
    shape = (max(frames, 1), 9, 8)
    file.PixelData = np.random.default_rng(k).integers(0, 2000, shape).astype(np.uint16).tobytes()
    out = io.BytesIO()
    file.save_as(out, enforce_file_format=True)
    return out.getvalue()
