"""How a segmenter is computed: the choice of the fastest way, its memory, and what happens without OpenVINO."""

import json
import sys

import numpy as np
import pytest
import torch

from SwinSSLLib.errors import InputError, MemoryShortage
from SwinSSLLib.models import Model, make_card
from SwinSSLLib.nets.fast import FastBlock, accelerate
from SwinSSLLib.nets.swin import build_segmenter
from SwinSSLLib.nets.token_windows import token_windows
from SwinSSLLib.segment import backends, choices, openvino_net
from SwinSSLLib.segment.backends import Runner, agree, ways_of
from SwinSSLLib.segment.pipeline import Options, load_network, segment_volume
from SwinSSLLib.settings import InputSettings, NetworkSettings

CPU = torch.device("cpu")
ROI = (64, 32, 32)
SMALL = NetworkSettings(feature_size=12, window=4, depths=(2, 1, 1, 1), num_heads=(1, 2, 4, 8))
ALL = ["torch-fp32", "openvino-fp32", "torch-bf16", "openvino-bf16"]


class Bands(torch.nn.Module):
    """Fourteen bands of grey: costs nothing, and is the same in every way of computing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - torch.linspace(0.0, 1.0, 14).view(1, -1, 1, 1, 1)).abs() * -60.0


class Banded(Bands):
    """A Swin UNETR whose say is small beside bands of grey: its organs are clear, as those of a trained one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.swin = build_segmenter(SMALL)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 0.1 * self.swin(x)


@pytest.fixture(autouse=True)
def a_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SWINSSL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def a_network() -> torch.nn.Module:
    return accelerate(Banded().eval().requires_grad_(False))


@pytest.fixture(scope="module")
def a_cheap_network() -> torch.nn.Module:
    """Where only the choice matters."""
    return Bands().eval()


@pytest.fixture(scope="module")
def a_window() -> torch.Tensor:
    axes = torch.meshgrid(*(torch.linspace(0, 1, size) for size in ROI), indexing="ij")
    return ((axes[0] + axes[1] * axes[2]) / 2)[None, None]


def a_runner(network: torch.nn.Module, ways: list[str] = ALL, sha256: str = "") -> Runner:
    return Runner(network, CPU, list(ways), ROI, "a network", sha256)


def timed(monkeypatch, seconds: dict[str, float]) -> list[str]:
    """Let ways take the given seconds; returns the list of those that were timed."""
    asked: list[str] = []

    def fake(runner, window):
        asked.append(runner.name)
        return seconds[runner.name]

    monkeypatch.setattr(Runner, "_seconds", fake)
    return asked


def test_what_may_be_chosen_follows_the_options(monkeypatch):
    monkeypatch.setattr(backends, "has_bf16", lambda: True)
    monkeypatch.setattr(openvino_net, "is_installed", lambda: True)
    assert ways_of("auto", "auto", CPU) == (ALL, [])
    assert ways_of("torch", "auto", CPU) == (["torch-fp32", "torch-bf16"], [])
    assert ways_of("torch", "32-true", CPU) == (["torch-fp32"], [])
    assert ways_of("openvino", "bf16-mixed", CPU) == (["openvino-bf16"], [])
    assert ways_of("auto", "16-mixed", CPU) == (["torch-fp16"], [])
    monkeypatch.setattr(backends, "has_bf16", lambda: False)
    assert ways_of("auto", "auto", CPU) == (["torch-fp32", "openvino-fp32"], [])
    assert ways_of("auto", "auto", torch.device("mps")) == (["torch-fp32"], [])
    for wrong, words in (("jax", "backend"), ("openvino", "OpenVINO")):
        with pytest.raises(InputError, match=words):
            ways_of(wrong, "auto", torch.device("mps"))
    with pytest.raises(InputError, match="precision"):
        ways_of("auto", "fp8", CPU)


def test_agreement_is_counted_where_there_is_an_organ():
    reference = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
    assert agree(reference, reference) == 1.0
    assert agree(torch.tensor([0, 0, 0, 1, 1, 1, 2, 1]), reference) == pytest.approx(3 / 5)
    assert agree(torch.zeros(8), torch.zeros(8)) == 1.0


def test_bf16_finds_the_organs_of_32_bits(a_network, a_window):
    runner = a_runner(a_network)
    runner.use("torch-fp32")
    exact = runner(a_window)
    with torch.inference_mode():
        assert torch.equal(exact, a_network(a_window)), "32 bits are the network as it is"
    runner.use("torch-bf16")
    close = runner(a_window)
    assert 0 < (close.float() - exact).abs().max() < 0.5
    assert agree(close.argmax(1), exact.argmax(1)) >= backends.AGREEMENT
    runner.use("torch-fp32")
    assert torch.equal(runner(a_window), exact), "and it can be had back"


def test_the_fastest_way_that_agrees_is_taken_and_remembered(a_cheap_network, a_window, monkeypatch):
    asked = timed(monkeypatch, {"torch-fp32": 9.0, "torch-bf16": 2.0, "torch-fp16": 1.0})
    monkeypatch.setattr(backends, "agree", lambda found, _: 0.9 if runner.name == "torch-fp16" else 0.999)
    ways = ["torch-fp32", "torch-bf16", "torch-fp16"]
    runner = a_runner(a_cheap_network, ways)
    runner.choose(lambda: a_window, 40)
    assert runner.name == "torch-bf16", "fp16 is faster, but finds other organs"
    assert set(asked) == set(ways)
    (known,) = json.loads(choices.choices_file().read_text()).values()
    assert known["way"] == "torch-bf16"
    assert known["agreement"]["torch-fp16"] == 0.9

    asked.clear()
    again = a_runner(a_cheap_network, ways)
    again.choose(lambda: pytest.fail("nothing is measured twice"), 40)
    assert again.name == "torch-bf16"
    assert not asked
    monkeypatch.setattr(choices, "processor", lambda: ("another processor", frozenset()))
    again.choose(lambda: a_window, 40)
    assert asked, "another machine is another choice"


def test_a_little_faster_is_not_worth_less_exact(a_cheap_network, a_window, monkeypatch):
    timed(monkeypatch, {"torch-fp32": 5.0, "torch-bf16": 4.8})
    runner = a_runner(a_cheap_network, ["torch-fp32", "torch-bf16"])
    runner.choose(lambda: a_window, 40)
    assert runner.name == "torch-fp32"


def test_few_windows_are_computed_exactly_until_a_choice_was_measured(a_cheap_network, a_window, monkeypatch):
    asked = timed(monkeypatch, {"torch-fp32": 100.0, "torch-bf16": 1.0})
    ways = ["torch-fp32", "torch-bf16"]
    few = a_runner(a_cheap_network, ways)
    few.choose(lambda: pytest.fail("nothing is measured for so few"), 4)
    assert few.name == "torch-fp32" and not asked
    a_runner(a_cheap_network, ways).choose(lambda: a_window, 40)
    few.choose(lambda: pytest.fail("nothing is measured for so few"), 4)
    assert few.name == "torch-bf16", "as it was measured to find the same organs"
    assert a_runner(a_cheap_network, ["openvino-fp32", "openvino-bf16"]).by_rule() == "openvino-fp32"


def test_openvino_is_converted_for_volumes_that_take_long(a_cheap_network, a_window, monkeypatch):
    asked = timed(monkeypatch, {"torch-fp32": 0.5, "torch-bf16": 0.4, "openvino-fp32": 0.2, "openvino-bf16": 0.1})
    converted: list[str] = []

    def convert(network, roi, sha256, kind):
        converted.append(kind)
        return network

    monkeypatch.setattr(backends, "OpenVinoNet", convert)
    runner = a_runner(a_cheap_network)
    runner.choose(lambda: a_window, 40)  # 20 seconds
    assert runner.name == "torch-bf16" and not converted
    asked.clear()
    runner.choose(lambda: pytest.fail("nothing is measured twice"), 40)
    assert not asked
    runner.choose(lambda: a_window, 400)
    assert runner.name == "openvino-bf16" and converted == ["fp32", "bf16"]


def test_a_way_that_fails_is_not_tried_again(a_cheap_network, a_window, monkeypatch):
    timed(monkeypatch, {"torch-fp32": 9.0})

    def fail(network, roi, sha256, kind):
        raise RuntimeError("cannot convert")

    monkeypatch.setattr(backends, "OpenVinoNet", fail)
    runner = a_runner(a_cheap_network, ["torch-fp32", "openvino-fp32"])
    runner.choose(lambda: a_window, 40)
    assert runner.name == "torch-fp32" and "cannot convert" in runner.notes[0]
    again = a_runner(a_cheap_network, ["torch-fp32", "openvino-fp32"])
    again.choose(lambda: pytest.fail("nothing is measured twice"), 40)
    assert again.name == "torch-fp32" and not again.notes


def test_stop_ends_the_measuring_without_a_choice(a_cheap_network, a_window, monkeypatch):
    asked = timed(monkeypatch, {"torch-fp32": 9.0})
    a_runner(a_cheap_network).choose(lambda: a_window, 40, stop=lambda: True)
    assert asked == ["torch-fp32"]
    assert next(iter(json.loads(choices.choices_file().read_text()).values()))["way"] is None


@pytest.mark.parametrize("content", ["", "[]", '{"x": 1}', "\x00"])
def test_a_damaged_memory_is_made_anew(content, a_cache, a_cheap_network, a_window, monkeypatch):
    a_cache.mkdir()
    choices.choices_file().write_text(content)
    timed(monkeypatch, {"torch-fp32": 9.0, "torch-bf16": 2.0})
    runner = a_runner(a_cheap_network, ["torch-fp32", "torch-bf16"])
    runner.choose(lambda: a_window, 40)
    assert runner.name == "torch-bf16"


@pytest.mark.skipif(not openvino_net.is_installed(), reason="OpenVINO is not installed (pip install openvino)")
def test_openvino_finds_the_same_organs_and_its_network_is_kept(a_network, a_window, a_cache, monkeypatch):
    runner = a_runner(a_network, ["torch-fp32"], "abc")
    exact = runner(a_window)
    assert runner.use("openvino-fp32"), runner.notes
    assert isinstance(a_network.swin.swinViT.layers1[0].blocks[0], FastBlock), "torch's network is fast again"
    two = runner(torch.cat([a_window, a_window.flip(2)]))
    assert (two[:1] - exact).abs().max() < 2e-2
    assert agree(two[:1].argmax(1), exact.argmax(1)) >= 0.999
    assert not torch.equal(two[0], two[1]), "each window has its own scores"
    assert sys.modules["openvino_telemetry"] is None, "nothing is told to anybody"
    assert 5e-324 * float("1"), "denormal numbers stay numbers: without them SciPy's KDTree divides without end"

    (kept,) = (a_cache / "openvino").iterdir()
    monkeypatch.setattr(openvino_net, "_converted", lambda *_: pytest.fail("it was kept"))
    assert a_runner(a_network, ["openvino-fp32"], "abc").use("openvino-fp32")
    monkeypatch.undo()
    monkeypatch.setenv("SWINSSL_CACHE", str(a_cache))
    kept.write_bytes(b"damaged")
    again = a_runner(a_network, ["openvino-fp32"], "abc")
    assert again.use("openvino-fp32")
    assert torch.equal(again(a_window), two[:1]), "the same machine gives the same result"
    assert kept.stat().st_size > 1000


@pytest.mark.skipif(not openvino_net.is_installed(), reason="OpenVINO is not installed (pip install openvino)")
def test_openvino_leaves_the_last_layer_to_torch(a_window, monkeypatch):
    """A whole Swin UNETR: the same scores, and in 16 bits not rounded as OpenVINO's own last layer would."""
    features, of_torch = [], openvino_net._scores
    monkeypatch.setattr(openvino_net, "_scores", lambda made, last: features.append(made) or of_torch(made, last))
    torch.manual_seed(4)
    network = accelerate(build_segmenter(SMALL).eval().requires_grad_(False))
    network.out.conv.conv.weight.mul_(8)
    kinds = [type(module) for module in network.modules()]
    with torch.inference_mode():
        exact = network(a_window)
    runner = a_runner(network)
    token_windows.cache_clear()  # as in a process that has computed nothing yet
    assert runner.use("openvino-fp32"), runner.notes
    torch.testing.assert_close(runner(a_window), exact, rtol=1e-3, atol=2e-2)
    assert [type(module) for module in network.modules()] == kinds
    if not choices.has_bf16():
        return
    assert runner.use("openvino-bf16"), runner.notes
    scores = runner(a_window)
    assert features[-1].dtype == torch.bfloat16 and features[-1].shape == (*ROI, SMALL.feature_size), (
        "as they lie there"
    )
    assert (scores == scores.bfloat16()).float().mean() < 0.1, "they are not rounded to 8 bits"
    assert (scores - exact).square().mean().sqrt() < 0.1


def a_model(network: NetworkSettings, **card) -> Model:
    inputs = InputSettings(spacing=(4.0, 4.0, 4.0), roi=ROI)
    card = make_card("segmenter", network, inputs, {}, sha256="", **card)
    return Model(None, card, build_segmenter(network).state_dict())  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", [True, False])
def test_without_openvino_torch_computes_and_says_so(missing, tmp_path, monkeypatch, a_volume):
    if missing:
        monkeypatch.setitem(sys.modules, "openvino", None)
    else:
        monkeypatch.setattr(openvino_net, "is_installed", lambda: True)
        monkeypatch.setattr(openvino_net, "_without_telemetry", lambda: (_ for _ in ()).throw(RuntimeError("no AVX")))
    torch.manual_seed(0)
    model = a_model(SMALL)
    options = Options(device="cpu", precision="32-true", backend="openvino")
    result = segment_volume(a_volume, model.card, load_network(model, options), options)
    exact = segment_volume(a_volume, model.card, load_network(model, Options(device="cpu")), Options(device="cpu"))
    assert result.backend == exact.backend == "torch-fp32"
    assert np.array_equal(result.labels.array, exact.labels.array)
    assert any("OpenVINO" in note and ("not installed" if missing else "no AVX") in note for note in result.warnings)
    assert not any("OpenVINO" in note for note in exact.warnings)


@pytest.fixture
def a_volume():
    from SwinSSLLib.data.geometry import RAS_DIRECTION
    from SwinSSLLib.data.volumes import Volume

    array = np.random.default_rng(0).integers(-200, 300, (30, 26, 22)).astype(np.int16)
    return Volume(array, (4.0, 4.0, 4.0), (0.0, 0.0, 0.0), RAS_DIRECTION, name="ct")


def test_too_little_memory_is_told_when_nothing_is_left(a_volume):
    calls = []

    def never(x):
        calls.append(len(x))
        raise torch.OutOfMemoryError("CUDA out of memory")

    card = make_card("segmenter", NetworkSettings(), InputSettings(spacing=(1.0, 1.0, 1.0), roi=(32, 32, 32)), {})
    with pytest.raises(MemoryShortage, match="ct"):
        segment_volume(a_volume, card, never, Options(batch=4, device="cpu"))
    assert calls[-1] == 1


def test_the_command_computes_exactly_on_demand_and_tells_how(swinssl, a_cohort, a_segmenter, tmp_path):
    ct = next((a_cohort / "images").iterdir()) if (a_cohort / "images").is_dir() else next(a_cohort.rglob("*.nii.gz"))
    code, out, err = swinssl("segment", ct, "-m", a_segmenter, "-o", tmp_path / "x.nii.gz", "--exact", "--json")
    assert code == 0, err
    finished = json.loads(out.splitlines()[-1])
    assert finished["backend"] == json.loads((tmp_path / "x.organs.json").read_text())["backend"] == "torch-fp32"
    code, out, _ = swinssl("segment", ct, "-m", a_segmenter, "-o", tmp_path / "y.nii.gz", "--backend", "torch")
    assert code == 0
    assert "Computed by torch-" in out
    code, _, err = swinssl("segment", ct, "-m", a_segmenter, "-o", tmp_path, "--exact", "--backend", "openvino")
    assert code == 2
    assert "--exact" in err
