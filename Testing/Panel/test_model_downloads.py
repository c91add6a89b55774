"""Licence, consent and download of published models, through real clicks with real workers."""

from __future__ import annotations

import json
import os

import pytest
from model_files import PUBLISHED, makeSegmenter
from modelling import choose, ended, shown
from SwinSSLPanel.modelList import segmenters
from waiting import waitFor

from SwinSSLLib.exchange.catalogue import published
from SwinSSLLib.places import library_folder


def test_without_consent_nothing_is_fetched(a_models_section, answers, a_model_and_its_weights):
    answers.update(confirm=False, file=a_model_and_its_weights[1])
    choose(a_models_section, "btcv-tiny")
    a_models_section.ui.downloadButton.click()
    assert not a_models_section.errand.running
    assert "not accepted" in a_models_section.ui.messageLabel.text
    licence = published()["btcv-tiny"].licence
    assert licence["text"] in answers["asked"][0]
    assert licence["url"] in answers["asked"][0]
    a_models_section.ui.fileButton.click()
    assert not a_models_section.errand.running
    assert not library_folder().exists()


def test_a_local_file_that_is_another_is_refused(a_models_section, answers, a_model_and_its_weights):
    answers["file"] = a_model_and_its_weights[1]
    choose(a_models_section, "btcv-base")
    a_models_section.ui.fileButton.click()
    assert a_models_section.ui.stopButton.enabled
    assert ended(a_models_section)
    assert "is not the file that was expected" in a_models_section.ui.messageLabel.text
    assert shown(a_models_section)["btcv-base"][3] == "published"


def test_a_local_file_of_a_published_model_is_installed_under_its_name(a_models_section, answers, tmp_path):
    # Random weights of the published network: right in everything that the catalogue knows of it.
    makeSegmenter(tmp_path / "folder", weights=tmp_path / "fetched elsewhere.pt", network=PUBLISHED)
    answers["file"] = tmp_path / "fetched elsewhere.pt"
    choose(a_models_section, "btcv-tiny")
    a_models_section.ui.fileButton.click()
    assert ended(a_models_section)
    assert a_models_section.ui.messageLabel.text == "The model btcv-tiny is here."
    assert shown(a_models_section)["btcv-tiny"][3] == "here, published"
    assert a_models_section.chosen.where == "here"
    card = json.loads((library_folder() / "btcv-tiny" / "model.json").read_text())
    assert card["input"]["spacing"] == [1.5, 1.5, 2.0]
    assert "as stated by its publisher" in a_models_section.ui.cardLabel.text
    assert [entry.name for entry in segmenters(a_models_section.context.runsFolder)] == ["btcv-tiny"]


def test_progress_of_a_download_in_words(a_models_section):
    event = {"event": "progress", "step": 104_000_000, "total": 411_000_000, "rate": 5.2e6, "seconds_left": 59.0}
    a_models_section._showProgress(event)
    assert a_models_section.ui.statusLabel.text == "104.0 MB of 411.0 MB · 5.2 MB a second · 59 s left"
    assert (a_models_section.ui.progressBar.value, a_models_section.ui.progressBar.maximum) == (253, 1000)
    a_models_section._showProgress(
        {"event": "progress", "step": 1000, "total": None, "rate": None, "seconds_left": None}
    )
    assert a_models_section.ui.statusLabel.text == "0.0 MB"
    assert a_models_section.ui.progressBar.maximum == 0


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_download_that_is_stopped_says_so_and_leaves_no_model(a_models_section, answers, monkeypatch):
    """Against a server that gives nothing: the worker hangs in the network until it is stopped."""
    import socket

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    proxy = f"http://127.0.0.1:{listening.getsockname()[1]}"
    for variable in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(variable, proxy)
    choose(a_models_section, "btcv-tiny")
    a_models_section.ui.downloadButton.click()
    listening.settimeout(0)

    def connected() -> bool:
        try:
            listening.accept()
        except BlockingIOError:
            return False
        return True

    assert waitFor(connected)
    a_models_section.ui.stopButton.click()
    assert ended(a_models_section)
    listening.close()
    assert "⚠" not in a_models_section.ui.messageLabel.text
    assert a_models_section.ui.messageLabel.text
    assert shown(a_models_section)["btcv-tiny"][3] == "published"
