"""Runs of several processes: one run whoever started them, and all of them end when one is lost.

What takes minutes (every way to die, uneven shares, two nodes, the examples of Docs/cluster.md): Testing/Processes.
"""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, same_tensors
from launched import command, crew, metrics, processes, run, start, step_of, wait_until

from SwinSSLLib import peers, ranks, rounds, shares
from SwinSSLLib.checkpoints import load_checkpoint
from SwinSSLLib.control import Control
from SwinSSLLib.errors import InputError
from SwinSSLLib.jobs import _LISTED_IN_CARD, _provenance
from SwinSSLLib.models import load_model
from SwinSSLLib.runs import RunFolder

STEPS = 4


def pretraining(cohort: Path, tiny: Path, out: Path, *more: object) -> tuple[object, ...]:
    return (
        "pretrain", "--data", cohort, "--out", out, "--preset", "quick", "--settings", tiny, "--no-report",
        "--device", "cpu", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def two_by_torchrun(tmp_path_factory, a_cohort, tiny) -> Path:
    """A whole run of two processes with two sub-volumes each."""
    out = tmp_path_factory.mktemp("processes") / "two"
    run(command(*pretraining(a_cohort, tiny[0], out, "--steps", STEPS), torchrun=2))
    return out


@pytest.fixture(scope="module")
def two_by_devices(tmp_path_factory, a_cohort, tiny) -> Path:
    """The same by ``--devices``, inside of a Slurm job whose tasks are none of its business."""
    out = tmp_path_factory.mktemp("processes") / "two"
    slurm = {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "4711", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "swinssl"}
    run(command(*pretraining(a_cohort, tiny[0], out, "--steps", STEPS, "--devices", 2)), **slurm)
    return out


@pytest.mark.parametrize("launcher", ["two_by_torchrun", "two_by_devices"])
def test_two_processes_make_one_run(launcher, request):
    out = request.getfixturevalue(launcher)
    events = list(RunFolder(out).events())
    assert [event["event"] for event in events].count("finished") == 1
    started = next(event for event in events if event["event"] == "started")
    assert started["chance"]["contrast"] == pytest.approx(np.log(2 * 4 - 1))  # 2 processes with 2 sub-volumes each
    card = load_model(out).card
    assert card["provenance"]["steps"] == STEPS
    (launch,) = card["provenance"]["launches"]
    assert (launch["step"], launch["processes"], launch["nodes"], launch["batch"]) == (0, 2, 1, 4)
    assert (started["batch"], started["processes"], started["batch_of_all"]) == (2, 2, 4)


def test_a_task_without_its_partners_says_so_and_ends_when_it_is_asked_to(tmp_path, a_cohort, tiny):
    """A shell inside of a Slurm job of two tasks: torch waits for the other one where no signal handler runs."""
    words = command(*pretraining(a_cohort, tiny[0], tmp_path / "run", "--steps", 2))
    slurm = {
        "SLURM_NTASKS": "2", "SLURM_NNODES": "1", "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "swinssl", "SLURM_NODELIST": "localhost", "SLURM_NODEID": "0", "SLURM_PROCID": "0",
    }  # fmt: skip
    task, folder = start(words, **slurm, SLURM_LOCALID="0"), RunFolder(tmp_path / "run")

    def waiting() -> bool:
        return folder.is_run(folder.path) and any("waits for the others" in str(event) for event in folder.events())

    wait_until(waiting)
    (told,) = [event["message"] for event in folder.events() if event["event"] == "warning"]
    assert "2 in all are expected, for SLURM_NTASKS is 2" in told
    task.send_signal(signal.SIGTERM)
    out, errors = task.communicate(timeout=60)
    assert task.returncode == 0, (out, errors)
    assert folder.status()["state"] == "stopped"
    assert "Traceback" not in out + errors


def test_tasks_of_srun_make_one_run(tmp_path, a_cohort, tiny):
    """Two tasks on one node with the variables that Slurm gives them."""
    words = command(*pretraining(a_cohort, tiny[0], tmp_path / "run", "--steps", 2))
    slurm = {
        "SLURM_NTASKS": "2", "SLURM_NNODES": "1", "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "swinssl", "SLURM_NODELIST": "localhost", "SLURM_NODEID": "0",
    }  # fmt: skip
    tasks = [start(words, **slurm, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank)) for rank in (0, 1)]
    told = [task.communicate(timeout=240) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], told
    events = list(RunFolder(tmp_path / "run").events())
    started = next(event for event in events if event["event"] == "started")
    assert started["chance"]["contrast"] == pytest.approx(np.log(2 * 4 - 1))
    assert events[-1]["event"] == "finished"


def test_the_number_of_processes_changes_no_loss(tmp_path, a_cohort, tiny, two_by_torchrun):
    """One process with four sub-volumes, two with two, four with one: the same views, the same losses, one model.

    Sums of gradients have another order: losses agree to 1e-4 after four steps
    (to 3e-4 with torch 2.6, the oldest one allowed: 1.4e-4 was found). There are five CTs to learn from and
    one to validate with, so that nothing can be dealt out evenly.
    """
    found = {2: metrics(two_by_torchrun)}
    for count in (1, 4):
        out = tmp_path / str(count)
        words = pretraining(a_cohort, tiny[0], out, "--steps", STEPS, "--batch", 4 // count)
        run(command(*words, torchrun=count))
        found[count] = metrics(out)
    assert {name for name, _ in found[1]} >= {"train/contrast", "train/inpaint", "train/rotation", "validation/total"}
    close = 1e-4 if tuple(map(int, torch.__version__.split(".")[:2])) > (2, 6) else 3e-4
    for several in (found[2], found[4]):
        assert several.keys() == found[1].keys()
        for key, value in found[1].items():
            assert several[key] == pytest.approx(value, rel=close, abs=1e-6), key


def test_torchrun_starts_a_run_again_after_a_killed_process_and_it_ends_equal_to_the_bit(
    tmp_path, a_cohort, tiny, two_by_torchrun
):
    out = tmp_path / "run"
    words = pretraining(a_cohort, tiny[0], out, "--steps", STEPS)
    launcher = start(command(*words, torchrun=2, options=("--max-restarts", 1)))
    wait_until(lambda: (out / "checkpoints" / "last.ckpt").is_file())
    victim = processes(launcher.pid, out)[1]
    victim.send_signal(signal.SIGSTOP)  # the other one waits for it in a collective
    time.sleep(1)
    assert step_of(out) < STEPS, "there was nothing left to do"
    victim.kill()
    told, complaints = launcher.communicate(timeout=240)
    assert launcher.returncode == 0, complaints[-3000:]
    sentence = "Process 1 of 2 ended without a word"
    assert (told + complaints).count(sentence) == 1
    assert "Traceback" not in told + complaints
    kinds = [event["event"] for event in RunFolder(out).events()]
    assert (kinds.count("started"), kinds.count("error"), kinds[-1]) == (2, 1, "finished")
    assert sentence in (out / "log.txt").read_text()
    first, second = (load_checkpoint(folder / "checkpoints" / "last.ckpt") for folder in (two_by_torchrun, out))
    assert second["step"] == STEPS
    assert same_tensors(first["model"], second["model"])
    for number, state in first["optimizer"]["state"].items():
        assert same_tensors(state, second["optimizer"]["state"][number])


def test_nobody_is_given_up_for_being_slow():
    """One process comes twice as late as torch would wait."""
    code, told = crew("slow")
    assert (code, sorted(told.splitlines())) == (0, ["0 is done", "1 is done", "2 is done"])


def test_the_first_process_goes_on_only_when_the_others_know_that_they_may(monkeypatch):
    """It may end in that very moment, and its last words with it."""
    crew = peers.Peers(pytest.fail, pytest.fail)
    crew.rank, crew.world, crew._links = 0, 3, {1: None, 2: None}
    told = []
    monkeypatch.setattr(crew, "_say", lambda rank, note: told.append((rank, note, dict(crew._passed))))
    for rank, wish in ((2, False), (0, True), (1, False)):
        crew._arrive("end", rank, wish)
    assert told == [(rank, {"go": "end", "wish": True}, {}) for rank in (1, 2)]
    assert crew._passed == {"end": True}


def test_who_hangs_when_another_is_killed_ends_with_one_sentence():
    """Main threads that will never come back, as in a collective of NCCL."""
    code, told = crew("killed")
    assert (code, len(told.splitlines())) == (1, 1), told
    assert told.startswith("0 gives up: Process 1 of 3 ended without a word (signal 9)")


class TestLaunches:
    """What tells a launcher's second attempt from a mistake of the user."""

    @pytest.fixture(autouse=True)
    def _alone(self, monkeypatch):
        for name in list(os.environ):
            if name.startswith(("SLURM_", "TORCHELASTIC_")):
                monkeypatch.delenv(name)

    def resumed(self, out: Path, **flags: bool) -> RunFolder | None:
        from SwinSSLLib.cli import make_parser
        from SwinSSLLib.commands.training import _resumed

        words = [f"--{name.replace('_', '-')}" for name, given in flags.items() if given]
        return _resumed(make_parser().parse_args(["pretrain", "--out", str(out), *words]))

    def test_nobody_starts_again_by_itself(self):
        assert (ranks.launch(), ranks.started_again()) == (None, False)

    def test_a_requeued_job_goes_on_and_another_one_does_not(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SLURM_JOB_ID", "17")
        run_folder = RunFolder(tmp_path / "run")
        run_folder.path.mkdir()
        run_folder.create("pretrain", {}, [], launch=ranks.launch())
        assert self.resumed(run_folder.path) is None  # the first attempt: it holds somebody's run
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        assert self.resumed(run_folder.path) == run_folder
        monkeypatch.setenv("SLURM_JOB_ID", "18")
        assert self.resumed(run_folder.path) is None

    def test_start_or_resume_does_not_ask_what_is_there(self, tmp_path):
        run_folder = RunFolder(tmp_path / "run")
        assert self.resumed(run_folder.path, start_or_resume=True) is None
        with pytest.raises(InputError, match="holds no run"):
            self.resumed(run_folder.path, resume=True)
        run_folder.path.mkdir()
        run_folder.create("pretrain", {}, [])
        assert self.resumed(run_folder.path, start_or_resume=True) == run_folder

    def test_torchrun_without_a_name_is_told_by_its_process(self, monkeypatch):
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
        assert str(os.getppid()) in ranks.launch()
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "night")
        assert ranks.launch() == "torchrun night"


def test_a_new_attempt_reads_nothing_of_the_dead_one():
    """Names are handed out through a store that is full of an earlier attempt's questions and answers."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=30))
    names = []
    for _ in range(2):
        clients = [torch.distributed.TCPStore("127.0.0.1", store.port, is_master=False) for _ in range(3)]
        with ThreadPoolExecutor(2) as others:
            asked = [others.submit(rounds.ask_for_name, clients[rank], rank) for rank in (1, 2)]
            name = rounds.hand_out_name(clients[0], 3)
            assert [answer.result(30) for answer in asked] == [name, name]
        names.append(name)
    assert names[0] != names[1]


@pytest.mark.parametrize(("world", "count"), [(1, 5), (2, 5), (3, 5), (4, 3), (3, 0)])
def test_every_piece_is_done_by_one_process_and_known_to_all(world, count, monkeypatch):
    done: list[int] = []
    mine = [
        [shares.Share(rank, world), [number * number for number in shares.Share(rank, world).numbers(count)]]
        for rank in range(world)
    ]

    def gather(parts: list, own: list) -> None:
        parts[:] = [squares for _, squares in mine]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    for share, _ in mine:
        found = share.each(count, lambda number: done.append(number) or number * number)
        assert found == [number * number for number in range(count)]
    assert sorted(done) == list(range(count))


@pytest.mark.parametrize("world", [2, 3, 7])
def test_validation_in_shares_finds_what_one_process_finds(world, an_entry_of_a_phantom, monkeypatch):
    """Five sub-volumes in one contrastive group, dealt out to two, three and (some idle) seven processes."""
    from SwinSSLLib.nets.heads import SSLNet
    from SwinSSLLib.presets import pretrain_settings
    from SwinSSLLib.pretrain.objectives import ssl_objectives
    from SwinSSLLib.pretrain.validation import Validation
    from SwinSSLLib.validation import merged

    settings = pretrain_settings("quick", merged(TINY, {"validation_sub_volumes": 5}))
    torch.manual_seed(0)
    network = SSLNet(settings.network, settings.heads)
    cpu = torch.device("cpu")
    alone = Validation([an_entry_of_a_phantom], settings, 5, cpu)
    expected = alone.measure(network)
    views = alone._views()[0]
    with torch.no_grad():
        whole = ssl_objectives(network.eval()(views.corrupted), views, settings.loss).by_name()
    for name in ("total", "inpaint", "inpaint_masked", "contrast"):
        assert expected[name] == pytest.approx(float(whole[name]), rel=1e-5), name
    parts: dict[int, list] = {}
    for rank in range(world):  # one after the other; the last one has everybody's

        def gather(into: list, own: list, rank: int = rank) -> None:
            parts[rank] = own
            if rank < world - 1:
                raise InterruptedError
            into[:] = [parts[number] for number in range(world)]

        monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
        validation = Validation([an_entry_of_a_phantom], settings, 5, cpu, shares.Share(rank, world))
        try:
            found = validation.measure(network)
        except InterruptedError:
            continue
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name


@pytest.fixture
def an_entry_of_a_phantom(a_cohort, tmp_path):
    from SwinSSLLib.data.store import Recipe, Store

    return Store(tmp_path / "cache").add(next((a_cohort / "images").iterdir()), Recipe((8.0, 8.0, 8.0)))


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no SIGUSR1")
def test_a_scheduler_may_say_it_twice_and_by_any_of_its_signals(monkeypatch):
    from SwinSSLLib import control

    with Control(signals=True) as asked:
        signal.raise_signal(signal.SIGUSR1)
        assert asked.stop
        signal.raise_signal(signal.SIGTERM)  # torchrun hands on what its processes got as well
        monkeypatch.setattr(control, "_ONE_WISH", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("count", [2, _LISTED_IN_CARD + 1])
def test_a_card_does_not_name_160000_volumes(tmp_path, count):
    run_folder = RunFolder(tmp_path / "run")
    run_folder.path.mkdir()
    inputs = [{"path": f"/a/{number}.nii.gz", "content": f"{number:064x}"} for number in range(count)]
    run_folder.create("pretrain", {}, inputs)
    data = _provenance(run_folder)["data"]
    if count == 2:
        assert data[1] == {"content": f"{1:064x}"}
    else:
        assert data["volumes"] == count
