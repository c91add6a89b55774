"""Worker processes: what they say, how they end, and how they are stopped, with real processes."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from ears import Ear, exists
from SwinSSLPanel import engine, jobs
from SwinSSLPanel.jobs import LineReader, ProcessRunner, parsed
from waiting import waitFor


@pytest.fixture
def started(a_bench, monkeypatch):
    """Start a worker that runs a piece of Python instead of the engine."""
    runners = []

    def start(code: str, **options) -> tuple[ProcessRunner, Ear]:
        monkeypatch.setattr(engine, "workerArguments", lambda arguments: ["-u", "-c", code, *arguments])
        runner, ear = ProcessRunner(**options), Ear()
        runners.append(runner)
        runner.start(["argument"], ear.listener)
        return runner, ear

    yield start
    for runner in runners:
        runner.abandon()


STOPPABLE = """
import json, sys
print(json.dumps({"event": "started"}))
for line in sys.stdin:
    if line.strip() == "stop":
        print(json.dumps({"event": "stopped"}))
        break
"""
SLOW = 'import time; print(\'{"event": "started"}\'); time.sleep(60)'
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLOW}"


def test_the_engine_itself_answers(a_bench):
    runner, ear = ProcessRunner(), Ear()
    runner.start(["models", "list", "--json"], ear.listener)
    assert runner.running
    assert waitFor(lambda: ear.ended)
    assert ear.outcomes == [jobs.Outcome(True)]
    assert '"published"' in "".join(ear.log)
    assert not runner.running


def test_events_and_free_text_are_told_apart_and_in_order(started):
    code = (
        'import sys; print(\'{"event": "progress", "step": 1}\'); print("free text"); print(\'{"no": "event"}\');'
        'print("{broken"); sys.stderr.write("a warning\\n"); print(\'{"event": "finished"}\', end="")'
    )
    _, ear = started(code)
    assert waitFor(lambda: ear.ended)
    assert [event["event"] for event in ear.events] == ["progress", "finished"]
    assert set(ear.log) == {"free text", '{"no": "event"}', "{broken", "a warning"}
    assert ear.stages == ["running"]


def test_the_workers_own_sentence_is_the_outcome(started):
    event = '{"event": "error", "message": "CT.nii is empty.", "hint": "Choose another."}'
    code = f"import sys; print('{event}'); sys.exit(2)"
    _, ear = started(code)
    assert waitFor(lambda: ear.ended)
    assert ear.outcomes == [jobs.Outcome(False, "CT.nii is empty.", "Choose another.", 2)]


@pytest.mark.parametrize(
    ("code", "message"), [(3, "The memory was too small."), (9, "The worker ended with exit code 9.")]
)
def test_a_worker_that_says_nothing_is_explained_by_its_exit_code(started, code, message):
    _, ear = started(f"import sys; sys.stderr.write('last words'); sys.exit({code})")
    assert waitFor(lambda: ear.ended)
    assert ear.outcomes == [jobs.Outcome(False, message, "last words", code)]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_worker_that_is_killed_is_told_in_one_sentence(started):
    runner, ear = started(SLOW)
    assert waitFor(lambda: bool(ear.events))
    os.kill(runner._process.processId(), signal.SIGKILL)
    assert waitFor(lambda: ear.ended)
    assert "died without a word" in ear.outcomes[0].message
    assert not ear.outcomes[0].good


def test_a_worker_that_cannot_be_started_ends_at_once(started, monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "pythonProgram", lambda: str(tmp_path / "no-such-program"))
    runner, ear = started("")
    assert waitFor(lambda: ear.ended)
    assert "could not be started" in ear.outcomes[0].message
    assert not runner.running


def test_a_worker_that_is_asked_to_stop_ends_well(started):
    runner, ear = started(STOPPABLE)
    assert waitFor(lambda: bool(ear.events))
    runner.requestStop()
    assert waitFor(lambda: ear.ended)
    assert [event["event"] for event in ear.events] == ["started", "stopped"]
    assert (ear.outcomes, ear.stages) == ([jobs.Outcome(True)], ["running", "asked"])


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(
    ("code", "stages"), [(SLOW, ["asked", "terminating"]), (DEAF, ["asked", "terminating", "killing"])]
)
def test_a_worker_that_does_not_listen_is_ended_in_stages(started, code, stages):
    runner, ear = started(code, patience=0.2, grace=0.2)
    assert waitFor(lambda: bool(ear.events))
    runner.requestStop()
    assert waitFor(lambda: ear.ended)
    assert ear.stages == ["running", *stages]
    assert ear.outcomes[0].good
    assert "by force" in ear.outcomes[0].message


def test_a_worker_that_says_nothing_is_told_and_can_be_stopped(started):
    runner, ear = started(SLOW, silence=0.1)
    assert waitFor(lambda: ear.stages.count("silent") >= 2)
    assert runner.running
    runner.requestStop()
    runner.requestStop()
    assert waitFor(lambda: ear.ended)


def test_pressing_stop_again_goes_on_at_once(started):
    runner, ear = started(SLOW)
    assert waitFor(lambda: bool(ear.events))
    runner.requestStop()
    runner.requestStop()
    assert ear.stages == ["running", "asked", "terminating"]
    assert waitFor(lambda: ear.ended)


def test_an_abandoned_worker_is_gone_and_nobody_is_told(started):
    runner, ear = started(SLOW)
    assert waitFor(lambda: bool(ear.events))
    number = runner._process.processId()
    runner.abandon()
    assert not runner.running
    assert ear.outcomes == []
    assert waitFor(lambda: not exists(number))


def test_one_worker_at_a_time(started):
    runner, ear = started(SLOW)
    with pytest.raises(RuntimeError, match="at work already"):
        runner.start([], ear.listener)


def test_lines_come_whole_whatever_the_pieces():
    text = 'größer\n{"event": "a"}\r\nlast'
    data = text.encode()
    for size in range(1, len(data) + 1):
        lines: list[str] = []
        reader = LineReader(lines.append)
        for start in range(0, len(data), size):
            reader.feed(data[start : start + size])
        reader.feed(b"", last=True)
        assert lines == ["größer", '{"event": "a"}', "last"]


def test_foreign_bytes_and_endless_lines_do_no_harm():
    lines: list[str] = []
    reader = LineReader(lines.append)
    reader.feed(b"\xff\xfe rubbish \xe2\x82\n")
    reader.feed(b"x" * (jobs.LONGEST_LINE + 5))
    assert "rubbish" in lines[0]
    assert len(lines[1]) == jobs.LONGEST_LINE


@pytest.mark.parametrize("line", ["", "text", "{", "[1]", '{"event": 3}', '{"a": 1}', "{" * 100000])
def test_what_is_no_event_is_free_text(line):
    assert parsed(line) is None


def test_a_worker_gets_the_engine_and_utf_8(started):
    code = "import os, sys, SwinSSLLib; print(os.environ['PYTHONPATH']); print(sys.stdout.encoding); print(sys.argv)"
    _, ear = started(code)
    assert waitFor(lambda: ear.ended)
    assert ear.log[0] == str(engine.engineRoot())
    assert ear.log[1].lower() == "utf-8"
    assert ear.log[2] == "['-c', 'argument']"
    assert engine.pythonProgram() == sys.executable
