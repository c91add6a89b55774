"""Reports: complete, self-contained, right side round, and robust against runs that lack things."""

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.image import imread

from SwinSSLLib.data.geometry import RAS_DIRECTION, Volume
from SwinSSLLib.errors import InputError
from SwinSSLLib.evaluate.charts import FIRST, Curve, Series, curve_svg
from SwinSSLLib.evaluate.comparison import Comparison, Study
from SwinSSLLib.evaluate.pictures import busiest, colour_over, cut, data_uri, overlay_figure
from SwinSSLLib.evaluate.record import Record
from SwinSSLLib.evaluate.report import duration, write_report
from SwinSSLLib.evaluate.report_comparison import write_comparison
from SwinSSLLib.runs import RunFolder


class Page(HTMLParser):
    """Reads a page as a browser would: its text, its tags, its addresses."""

    _VOID = ("meta", "img", "br", "path", "use", "rect")

    def __init__(self, file) -> None:
        super().__init__()
        self.raw, self.words, self.addresses, self.open, self.tags = file.read_text("utf-8"), [], [], [], []
        self.feed(self.raw)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "xlink:href")]
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag) -> None:
        if tag not in self._VOID:
            assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def check_self_contained(page: Page) -> None:
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert not re.search(r"https?://|@import|url\((?!#)", page.raw), "nothing may be fetched from anywhere"
    assert "script" not in page.tags


def event(kind: str, second: int, **fields) -> str:
    return json.dumps({"event": kind, "time": f"2026-11-23T10:00:{second:02d}+00:00", **fields}) + "\n"


def metric(name: str, step: int, value: float) -> str:
    return event("metric", step % 60, name=name, value=value, step=step)


def sub_volumes(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    original = np.random.default_rng(0).random((3, 16, 12, 10)).astype(np.float16)
    probability = np.full((3, 4), 0.05)
    probability[[0, 1, 2], [0, 2, 3]] = 0.85  # told 0, 180, 270; they are 0, 90, 270
    return {
        "original": original,
        "masked": np.where(original > 0.9, 0, original),
        "reconstructed": rng.random(original.shape).astype(np.float16),
        "rotation_true": np.array([0, 1, 3]),
        "rotation_probability": probability,
        "similarity": np.eye(6) * 0.5 + 0.5,
        "confusion": np.array([[5, 0, 0, 0], [1, 2, 3, 0], [0, 0, 6, 0], [0, 0, 0, 7]]),
        "ijk_to_ras": np.stack([np.diag([1.5, 1.5, 2.0, 1.0])] * 3),
        "source": np.array(["ct-a", "<b>ct</b>", "ct-c"]),
        "hu_window": np.array([-175.0, 250.0]),
    }


@pytest.fixture
def a_pretraining_run(tmp_path) -> RunFolder:
    run = RunFolder(tmp_path / "my run & more")
    inputs = [{"name": "CT 001", "path": "/data/a.nii.gz", "content": "0123456789abcdef", "spacing": [1.5, 1.5, 2.0]}]
    settings = {"preset": "quick", "training": {"steps": 40, "lr": 0.001}, "views": {"rotation": "axial"}}
    run.create("pretrain", settings, inputs)
    lines = [event("started", 0, device="CPU (test)", chance={"rotation": 1.386294, "inpaint": 0.2}, validation=["a"])]
    for step in (10, 20, 30, 40):
        lines += [metric("train/rotation", step, 1.4 - step / 50), metric("train/inpaint", step, 0.3 - step / 200)]
        lines += [metric("validation/rotation_loss", step, 1.3 - step / 50)]
        lines += [metric("validation/rotation_accuracy", step, 0.25 + step / 80)]
    lines += [event("warning", 41, message="ct-a is strange."), event("finished", 42, model="model")]
    run.events_file.write_text("".join(lines))
    run.status_file.write_text(json.dumps({"state": "finished", "step": 40, "total": 40, "host": "here", "rate": 2.5}))
    for step in (0, 40):
        np.savez(run.previews / f"step-{step:06d}.npz", **sub_volumes(step), step=step)
    return run


@pytest.fixture
def a_finetuning_run(tmp_path) -> RunFolder:
    run = RunFolder(tmp_path / "fine")
    run.create("finetune", {"training": {"steps": 20}}, [], init="/runs/pre")
    lines = [event("started", 0, device="CPU", init="/runs/pre", coverage="126 of 126 tensors", validation=["case-x"])]
    for step, dice in ((10, 0.4), (20, 0.75)):
        lines += [metric("train/total", step, 2 - dice), metric("validation/dice", step, dice)]
        lines += [metric("validation/dice/liver", step, dice + 0.1), metric("validation/dice/spleen", step, dice - 0.1)]
    run.events_file.write_text("".join(lines))
    truth = np.zeros((1, 20, 18, 16), np.uint8)
    truth[0, 2:12, 3:14, 4:12] = 6
    image = np.random.default_rng(0).random(truth.shape).astype(np.float16)
    np.savez(
        run.previews / "segmentation-000020.npz",
        image=image, truth=truth, prediction=np.roll(truth, 1, axis=1), spacing=np.array([4.0, 4.0, 4.0]), step=20,
    )  # fmt: skip
    return run


def test_a_pretraining_report_has_everything_and_needs_nothing(a_pretraining_run):
    page = Page(write_report(a_pretraining_run.path))
    check_self_contained(page)
    for words in (
        "my run & more", "preset quick", "CPU (test)", "ct-a is strange.", "Rotation, cross-entropy", "ln 4",
        "Original, masked, reconstructed", "reconstructed, step 0", "reconstructed, step 40", "-175 to 250 HU",
        "✓ told 0°", "✗ told 180°, was 90°", "85%", "20 of 24 fixed views right", "partners 0.50",
        "training.lr 0.001", "CT 001", "0123456789ab", "1.5 × 1.5 × 2",
    ):  # fmt: skip
        assert words in page.text, words
    assert "a.nii.gz" not in page.text, "job.json alone knows the files"
    assert "0.500, chance 1.386" in page.text, "last value of the validation and its chance line"
    assert "not learned" not in page.text
    pictures = [address for address in page.addresses if address.startswith("data:")]
    assert len(pictures) == 3 * 3 * 4 + 3, "three planes of original, masked, two reconstructions; the board"


def test_a_task_that_stays_at_chance_is_called_so(a_pretraining_run):
    with a_pretraining_run.events_file.open("a") as file:
        file.write(metric("validation/rotation_loss", 50, 1.40) + metric("validation/inpaint", 50, 0.19))
    page = Page(write_report(a_pretraining_run.path))
    assert "1.400, chance 1.386 : not learned" in page.text
    assert page.text.count("not learned") == 1


def test_names_from_outside_are_shown_and_not_obeyed(a_pretraining_run):
    page = Page(write_report(a_pretraining_run.path))
    assert "<b>ct</b>" in page.text
    assert "&lt;b&gt;ct&lt;/b&gt;" in page.raw


def test_a_finetuning_report_has_dice_by_organ_and_overlays(a_finetuning_run, tmp_path):
    out = tmp_path / "elsewhere" / "r.html"
    assert write_report(a_finetuning_run.path, out) == out
    page = Page(out)
    check_self_contained(page)
    for words in (
        "from pre", "126 of 126 tensors", "one CT (case-x)", "liver", "0.850", "spleen", "0.650", "0.750 at step 20",
        "not in these cases", "truth, axial", "prediction, sagittal",
    ):  # fmt: skip
        assert words in page.text, words
    assert sum(address.startswith("data:") for address in page.addresses) == 9
    assert page.text.count("not in these cases") == 11


def test_pictures_of_the_last_step_differ_where_prediction_and_truth_differ(a_finetuning_run):
    page = Page(write_report(a_finetuning_run.path))
    ct, truth, prediction = (decoded(address) for address in page.addresses[:3])
    red_liver = (truth[..., 0] - truth[..., 2] > 0.1) & (np.ptp(ct, axis=-1) < 0.01)
    red_predicted = prediction[..., 0] - prediction[..., 2] > 0.1
    assert red_liver.any()
    assert 0.85 < 2 * (red_liver & red_predicted).sum() / (red_liver.sum() + red_predicted.sum()) < 1


def test_a_run_that_has_not_begun_is_reported_with_sentences(tmp_path):
    run = RunFolder(tmp_path / "new")
    run.create("pretrain", {}, [])
    page = Page(write_report(run.path))
    assert "not started" in page.text
    assert "The run has no measurements yet." in page.text
    assert page.text.count("no previews") == 3


def test_damaged_parts_are_left_out_and_the_rest_is_shown(a_pretraining_run):
    run = a_pretraining_run
    whole = (run.previews / "step-000040.npz").read_bytes()
    (run.previews / "step-000040.npz").write_bytes(whole[: len(whole) // 2])
    run.status_file.write_text("{")
    with run.events_file.open("a") as file:
        file.write('{"event": "metric", "name": "validation/rotation_loss", "value": NaN, "step": 50}\n{"event": "met')
    page = Page(write_report(run.path))
    assert "reconstructed, step 0" in page.text
    assert "reconstructed, step 40" not in page.text
    assert "a.nii.gz" not in page.text, "job.json alone knows the files"
    assert "0.500, chance 1.386" in page.text


def test_a_preview_cannot_run_code(a_pretraining_run):
    np.savez(a_pretraining_run.previews / "step-000050.npz", original=np.array([{"a": 1}], dtype=object))
    record = Record.read(a_pretraining_run.path)
    assert record.preview(a_pretraining_run.previews / "step-000050.npz") == {}


def test_something_else_than_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"job\.json"):
        write_report(tmp_path)


def test_after_a_resume_the_last_value_of_a_step_counts_and_the_pause_is_no_work(tmp_path):
    run = RunFolder(tmp_path / "resumed")
    run.create("pretrain", {}, [])
    run.events_file.write_text(
        event("started", 0) + metric("train/total", 10, 5.0) + event("started", 40) + metric("train/total", 10, 3.0)
        + event("finished", 45)
    )  # fmt: skip
    record = Record.read(run.path)
    assert record.metrics["train/total"] == {10: 3.0}
    assert record.starts == 2
    assert record.seconds == 10 + 35  # 0 to 10, and 40 back to 10 (clocks) to 45


@pytest.mark.parametrize(("seconds", "words"), [(None, "–"), (59.6, "60 s"), (300, "5 min"), (7500, "2 h 5 min")])
def test_durations_as_people_say_them(seconds, words):
    assert duration(seconds) == words


def test_a_comparison_report_tells_pairs_organs_and_verdict(tmp_path):
    scratch, pretrained = [[0.60, 0.70], [0.50, 0.72]], [[0.66, 0.75], [0.61, 0.79]]
    organs = {"scratch": {"liver": 0.8, "spleen": 0.5}, "pretrained": {"liver": 0.78, "spleen": 0.7}}
    comparison = Comparison((3, 4), ("x", "y"), {"scratch": scratch, "pretrained": pretrained}, organs, True)
    page = Page(write_comparison(Study({6: comparison}), tmp_path / "c.html"))
    check_self_contained(page)
    for words in (comparison.sentence(), "seed 3", "0.650", "0.705", "+0.055", "liver", "−0.020", "+0.200", "0.630"):
        assert words in page.text, words
    assert "When labels are few" not in page.text
    assert "Linear probe" not in page.text


def test_a_study_report_has_curves_over_the_labelled_cases_and_the_probe(tmp_path):
    def of(count: int) -> Comparison:
        arms = {"scratch": 0.1 * count, "on 8": 0.1 * count + 0.03, "on 64": 0.1 * count + 0.11}
        dice = {arm: [[value, value + 0.01], [value + 0.02, value]] for arm, value in arms.items()}
        return Comparison((3, 4), ("x", "y"), dice, {arm: {"liver": value} for arm, value in arms.items()}, True)

    probes = {"scratch": [0.2, 0.21], "on 8": [0.3, 0.31], "on 64": [0.5, 0.54]}
    study = Study({count: of(count) for count in (1, 2, 4)}, probes, 1 / 14)
    page = Page(write_comparison(study, tmp_path / "c.html"))
    check_self_contained(page)
    for words in ("When labels are few", "0.218 +0.110 (+0.110 to +0.110)", "untrained", "0.520", "reaches 0.071"):
        assert words in page.text.replace("  ", " "), words
    assert "on 64 with 1 labelled reaches 0.218; scratch needs 4" in page.text
    again = Study.from_dict(json.loads(json.dumps(study.to_dict())))
    assert again.sentences() == study.sentences()


def test_a_probe_of_a_run_stands_in_its_report(tmp_path, a_pretrained_run):
    run = tmp_path / "run"
    shutil.copytree(a_pretrained_run, run)
    assert "Linear probe" not in Page(write_report(run)).text
    recall = {"liver": 0.25, "spleen": 0.125}
    found = {"model": {"recall": recall}, "random": {"recall": {"liver": 0.375}}, "sentence": "Told by a layer."}
    (run / "probe.json").write_text(json.dumps(found))
    text = Page(write_report(run)).text
    for words in ("Linear probe", "Told by a layer.", "0.375", "0.250"):
        assert words in text, words
    (run / "probe.json").write_text('{"model": 3}')
    assert "Linear probe" not in Page(write_report(run)).text


def decoded(address: str) -> np.ndarray:
    return imread(io.BytesIO(base64.b64decode(address.split(",")[1])))[..., :3]


def test_slices_are_shown_as_radiologists_expect_them():
    volume = np.zeros((5, 6, 7))
    volume[4, 5, 6] = 1.0  # rightmost, foremost, highest
    assert cut(volume, "axial", 6).pixels[0, 0] == 1, "right on the left, front on top"
    assert cut(volume, "coronal", 5).pixels[0, 0] == 1, "right on the left, head on top"
    assert cut(volume, "sagittal", 4).pixels[0, 0] == 1, "front on the left, head on top"
    assert cut(volume, "axial").pixels.shape == (6, 5)
    assert cut(volume, "coronal", spacing=(2.0, 1.0, 4.0)).ratio == pytest.approx(5 * 2 / (7 * 4))


def test_the_slice_that_shows_most_organs_is_chosen():
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[1:9, 1:9, 2] = 6  # one large organ
    labels[1:3, 1:3, 7], labels[4:6, 1:3, 7], labels[7:9, 1:3, 7] = 1, 2, 3  # three small ones
    assert busiest(labels, "axial") == 7
    assert busiest(np.zeros((4, 4, 9)), "axial") == 4


def test_colours_are_laid_over_with_a_clear_edge():
    labels = np.zeros((9, 9), np.uint8)
    labels[2:7, 2:7] = 1
    picture = colour_over(np.full((9, 9), 0.5), labels, {1: (255, 0, 0)})
    assert np.allclose(picture[0, 0], 0.5)
    inside, edge = picture[4, 4], picture[2, 4]
    assert inside[0] > inside[1] > 0.2, "the CT stays visible"
    assert edge[0] > inside[0]
    assert edge[1] < 0.1
    back = decoded(data_uri(picture))
    assert np.abs(back - picture).max() < 0.01


def test_an_overlay_shows_the_organs_whatever_the_orientation(tmp_path):
    array = np.full((24, 20, 16), -1000, np.int16)
    array[4:20, 4:16, 2:14] = 60
    labels = np.zeros(array.shape, np.uint8)
    labels[14:19, 5:10, 4:12] = 6  # towards the patient's right and back
    upright = Volume(array, (2.0, 2.0, 3.0), (0.0, 0.0, 0.0), RAS_DIRECTION, name="ct")
    files = []
    for name, flip in (("upright", False), ("flipped", True)):
        ct, organs = upright, replace(upright, array=labels)
        if flip:
            turned = {"direction": tuple(np.eye(3).ravel()), "origin": (-46.0, -38.0, 0.0)}
            ct = replace(upright, array=array[::-1, ::-1], **turned)
            organs = replace(upright, array=labels[::-1, ::-1], **turned)
        files.append(tmp_path / f"{name}.png")
        overlay_figure(ct, organs, title="ct").savefig(files[-1])
    first, second = (imread(file)[..., :3] for file in files)
    assert np.abs(first - second).mean() < 1e-3
    axial = first[:, : first.shape[1] // 3]
    reddish = (axial[..., 0] - axial[..., 2] > 0.15).nonzero()[1]
    assert np.median(reddish) < axial.shape[1] / 2, "the patient's right is on the left"
    with pytest.raises(InputError, match="do not lie on the grid"):
        overlay_figure(upright, replace(upright, array=labels, origin=(5.0, 0.0, 0.0)))


def test_two_pictures_of_one_ct_can_show_the_same_slices(tmp_path):
    """What was found and what is there are compared by looking: an organ of the one at another height is left out."""
    ct = Volume(np.zeros((20, 20, 20), np.int16), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), RAS_DIRECTION, "ct")
    low, high = np.zeros((2, 20, 20, 20), np.uint8)
    low[4:16, 4:16, 3], high[4:16, 4:16, 15] = 6, 6
    truth, found = (replace(ct, array=labels) for labels in (low, high))

    def painted(**options) -> int:
        overlay_figure(ct, found, planes=("axial",), **options).savefig(tmp_path / "a.png")
        picture = imread(tmp_path / "a.png")[..., :3]
        return int((np.ptp(picture, axis=-1) > 0.1).sum())

    assert painted(slices_of=truth) < 0.2 * painted(), "only the legend has a colour"


def test_charts_take_their_colours_from_the_page_and_say_what_they_show():
    points = {0: 1.5, 10: 1.0, 20: 0.5}
    drawing = curve_svg(Curve('loss <of> "a\\1"', [Series("training", points, FIRST)], chance=1.386))
    assert "var(--first)" in drawing
    assert not re.search(r"#0[1-7]0[2-8]0[3-9]", drawing), "no stand-in colour is left"
    assert 'aria-label="loss &lt;of&gt; &quot;a\\1&quot;"' in drawing
    assert ">chance<" in drawing
