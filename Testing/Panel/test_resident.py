"""The worker that stays: many requests and one process, and what becomes of it when something goes wrong."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from ears import Ear, exists
from SwinSSLPanel import engine
from SwinSSLPanel.jobs import Outcome
from SwinSSLPanel.resident import ResidentRunner
from waiting import waitFor

#: Does what the first word of a request says.
FAKE = """
import json, os, signal, sys, time

def tell(event, **more):
    print(json.dumps({"event": event, "pid": os.getpid(), **more}), flush=True)

tell("ready", words=sys.argv[1:])
for line in sys.stdin:
    if line.strip() == "stop":
        continue
    word = json.loads(line)["arguments"][0]
    if word == "leave":
        break
    if word == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell("progress", word=word)
    if word == "slow":
        assert sys.stdin.readline().strip() == "stop"
    elif word in ("hang", "deaf"):
        time.sleep(60)
    elif word == "die":
        os._exit(0)
    elif word == "bad":
        tell("error", message="CT.nii is empty.", hint="Choose another.")
    elif word == "rubbish":
        sys.stdout.buffer.write(b"\\xff\\xfe{\\n{broken\\n[1]\\n" + b"x" * 3000000 + b"\\n")
        sys.stdout.buffer.write(b'{"event": "fini')
        sys.stdout.buffer.flush()
        time.sleep(0.1)
        print('shed"}')
    tell("done", exit_code=2 if word == "bad" else 0)
"""
KILLED = pytest.mark.skipif(os.name == "nt", reason="signals")


@pytest.fixture
def resident(a_bench, monkeypatch):
    """Makes runners whose worker is the one above."""
    runners = []

    def make(code: str = FAKE, **options: float) -> ResidentRunner:
        monkeypatch.setattr(engine, "workerArguments", lambda arguments: ["-u", "-c", code, *arguments])
        runners.append(ResidentRunner(**options))
        return runners[-1]

    yield make
    for runner in runners:
        runner.abandon()


def ask(runner: ResidentRunner, *words: str) -> Ear:
    """Make a request, and wait until it is at work."""
    ear = Ear()
    runner.start(["segment", *words], ear.listener)
    assert waitFor(lambda: bool(ear.events or ear.ended))
    return ear


def answer(runner: ResidentRunner, *words: str) -> Ear:
    """Make a request, and wait for its end."""
    ear = ask(runner, *words)
    assert waitFor(lambda: ear.ended)
    assert len(ear.outcomes) == 1
    return ear


def pid(ear: Ear) -> int:
    return ear.events[0]["pid"]


def test_requests_are_answered_by_one_process(resident):
    runner = resident()
    assert not runner.alive
    first, second = answer(runner, "good"), answer(runner, "good")
    assert pid(first) == pid(second)
    assert [ear.outcomes for ear in (first, second)] == [[Outcome(True)]] * 2
    assert [event["event"] for event in second.events] == ["progress"]
    assert first.stages == second.stages == ["running"]
    assert (runner.running, runner.alive) == (False, True)


def test_its_sentence_is_the_outcome_and_the_next_request_is_answered(resident):
    runner = resident()
    bad, good = answer(runner, "bad"), answer(runner, "good")
    assert bad.outcomes == [Outcome(False, "CT.nii is empty.", "Choose another.", 2)]
    assert good.outcomes == [Outcome(True)]
    assert pid(bad) == pid(good)


def test_rubbish_and_half_lines_are_no_answer(resident):
    runner = resident()
    ear = answer(runner, "rubbish")
    assert [event["event"] for event in ear.events] == ["progress", "finished"]
    assert "{broken" in ear.log
    assert ear.outcomes == [Outcome(True)]


@KILLED
def test_a_worker_that_is_killed_at_work_is_told_and_the_next_request_gets_another(resident):
    runner = resident()
    ear = ask(runner, "hang")
    os.kill(pid(ear), signal.SIGKILL)
    assert waitFor(lambda: ear.ended)
    assert "died without a word" in ear.outcomes[0].message
    assert (runner.running, runner.alive) == (False, False)
    after = answer(runner, "good")
    assert after.outcomes == [Outcome(True)]
    assert pid(after) != pid(ear)


def test_a_worker_that_ends_well_without_an_answer_is_no_success(resident):
    runner = resident()
    ear = answer(runner, "die")
    assert not ear.outcomes[0].good
    assert "before it had answered" in ear.outcomes[0].message
    assert answer(runner, "good").outcomes == [Outcome(True)]


@KILLED
def test_a_worker_that_was_killed_while_it_waited_is_replaced_unseen(resident):
    runner = resident()
    before = pid(answer(runner, "good"))
    os.kill(before, signal.SIGKILL)  # nobody has noticed yet when the request is written
    after = answer(runner, "good")
    assert after.outcomes == [Outcome(True)]
    assert pid(after) != before


def test_a_worker_that_leaves_when_it_is_asked_is_replaced_once(resident):
    runner = resident()
    answer(runner, "good")
    ear = answer(runner, "leave")  # the second one leaves as well
    assert not ear.outcomes[0].good
    assert ear.events == []
    assert not runner.alive


def test_stop_ends_the_request_and_keeps_the_process(resident):
    runner = resident()
    ear = ask(runner, "slow")
    runner.requestStop()
    assert waitFor(lambda: ear.ended)
    assert (ear.outcomes, ear.stages) == ([Outcome(True)], ["running", "asked"])
    assert pid(answer(runner, "good")) == pid(ear)
    runner.requestStop()  # nothing is at work
    assert runner.alive


@KILLED
@pytest.mark.parametrize(
    ("word", "stages"), [("hang", ["asked", "terminating"]), ("deaf", ["asked", "terminating", "killing"])]
)
def test_a_worker_that_does_not_listen_is_ended_in_stages(resident, word, stages):
    runner = resident(patience=0.2, grace=0.2)
    ear = ask(runner, word)
    runner.requestStop()
    assert waitFor(lambda: ear.ended)
    assert ear.stages == ["running", *stages]
    assert ear.outcomes[0].good
    assert "by force" in ear.outcomes[0].message
    assert not exists(pid(ear))
    assert answer(runner, "good").outcomes == [Outcome(True)]


def test_silence_is_told_while_it_works_and_not_while_it_waits(resident):
    runner = resident(silence=0.1)
    quiet = answer(runner, "good")
    told = len(quiet.stages)
    assert not waitFor(lambda: len(quiet.stages) > told, 0.4)
    ear = ask(runner, "hang")
    assert waitFor(lambda: ear.stages.count("silent") >= 2)


def test_it_is_started_ahead_and_ended_when_its_memory_is_wanted(resident):
    runner = resident()
    runner.warm(Path("model"))
    assert (runner.running, runner.alive) == (False, True)
    process = runner._process
    runner.warm(Path("other"))
    assert runner._process is process
    ear = ask(runner, "slow")
    assert runner._process is process
    runner.release()
    assert runner.running
    runner.requestStop()
    assert waitFor(lambda: ear.ended)
    runner.release()
    assert not runner.alive
    assert not exists(pid(ear))


def test_an_abandoned_worker_is_gone_and_nobody_is_told(resident):
    runner = resident()
    ear = ask(runner, "hang")
    runner.abandon()
    assert (runner.running, runner.alive, ear.outcomes) == (False, False, [])
    assert not exists(pid(ear))
    assert answer(runner, "good").outcomes == [Outcome(True)]


def test_a_worker_that_cannot_be_started_ends_the_request_at_once(resident, monkeypatch, tmp_path):
    runner = resident()
    monkeypatch.setattr(engine, "pythonProgram", lambda: str(tmp_path / "no-such-program"))
    runner.warm(Path("model"))
    assert waitFor(lambda: not runner.alive)
    ear = answer(runner, "good")
    assert "could not be started" in ear.outcomes[0].message
    assert not runner.running


def test_one_request_at_a_time(resident):
    runner = resident()
    ask(runner, "hang")
    with pytest.raises(RuntimeError, match="at work already"):
        runner.start(["segment"], Ear().listener)
