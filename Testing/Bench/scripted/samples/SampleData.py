# ruff: noqa: N803 - the names are those of Slicer
"""Module ``SampleData``: sources are registered, and fetched when their address is a file."""

from __future__ import annotations

import logging
import shutil
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer


def _listed(value: Any, length: int) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value] * length


class SampleDataSource:
    """One set of sample data: addresses, file names and node names, position by position."""

    def __init__(
        self,
        sampleName: str | None = None,
        sampleDescription: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        checksums: Any = None,
        loadFiles: Any = None,
        customDownloader: Callable | None = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: Any = None,
        loadFileProperties: dict | None = None,
        loadFileType: Any = None,
    ) -> None:
        if loadFileType is not None and loadFileTypes is not None:
            raise ValueError("loadFileType and loadFileTypes cannot be specified at the same time")
        self.sampleName = sampleName
        self.sampleDescription = sampleDescription if sampleDescription is not None else sampleName
        self.uris = _listed(uris, 1)
        size = len(self.uris)
        self.fileNames, self.nodeNames = _listed(fileNames, size), _listed(nodeNames, size)
        self.checksums, self.loadFiles = _listed(checksums, size), _listed(loadFiles, size)
        self.loadFileTypes = _listed(loadFileTypes if loadFileTypes is not None else loadFileType, size)
        self.customDownloader = customDownloader
        self.thumbnailFileName = thumbnailFileName
        self.loadFileProperties = loadFileProperties or {}
        fields = (self.fileNames, self.nodeNames, self.checksums, self.loadFiles, self.loadFileTypes)
        if any(len(each) != size for each in fields):
            raise ValueError("All fields of sample data source must have the same length")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SampleDataSource) and vars(self) == vars(other)

    __hash__ = object.__hash__


class SampleDataLogic:
    """Registration and loading of sample data."""

    def __init__(self, logMessage: Callable | None = None) -> None:
        self.logMessage = logMessage or logging.info

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom", sampleName: str | None = None, uris: Any = None, **fields: Any
    ) -> None:
        """Add a source to a category, once."""
        source = SampleDataSource(sampleName=sampleName, uris=uris, **fields)
        if not SampleDataLogic.isSampleDataSourceRegistered(category, source):
            slicer.modules.sampleDataSources.setdefault(category, []).append(source)

    @staticmethod
    def registerCustomSampleDataCategory(category: str, title: str) -> None:
        """Name a category."""
        slicer.modules.sampleDataSources.setdefault(category, [])

    @staticmethod
    def isSampleDataSourceRegistered(category: str, sampleDataSource: SampleDataSource) -> bool:
        """Whether a category has an equal source."""
        if not isinstance(sampleDataSource, SampleDataSource):
            raise TypeError(f"unsupported sampleDataSource type '{type(sampleDataSource)}'")
        return sampleDataSource in slicer.modules.sampleDataSources.get(category, [])

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        """All sources by category, or those of one."""
        known = slicer.modules.sampleDataSources
        return known if category is None else known.get(category, [])

    def sourceForSampleName(self, sampleName: str) -> SampleDataSource | None:
        """A source by its name."""
        every = (source for sources in slicer.modules.sampleDataSources.values() for source in sources)
        return next((source for source in every if source.sampleName == sampleName), None)

    def downloadSamples(self, sampleName: str) -> list[Any]:
        """Fetch and load a source by its name.

        Raises:
            ValueError: there is no such source, or it is not on this machine.
        """
        source = self.sourceForSampleName(sampleName)
        if source is None:
            raise ValueError(f"No sample data is registered as {sampleName!r}")
        return self.downloadFromSource(source)

    def downloadSample(self, sampleName: str) -> Any:
        """Fetch and load a source by its name; its first node."""
        return self.downloadSamples(sampleName)[0]

    def downloadFromSource(self, source: SampleDataSource, *_: Any, **__: Any) -> list[Any]:
        """Fetch and load. Only ``file:`` addresses: tests do not reach for the network."""
        if source.customDownloader is not None:
            return source.customDownloader(source)
        results = []
        for position, uri in enumerate(source.uris):
            kept = self._fetch(uri, source.fileNames[position])
            if source.loadFiles[position] is False:
                results.append(kept)
                continue
            name = source.nodeNames[position]
            properties = dict(source.loadFileProperties) | ({"name": name} if name else {})
            results.append(slicer.util.loadNodeFromFile(kept, source.loadFileTypes[position], properties))
        return results

    def _fetch(self, uri: str, name: str) -> str:
        parts = urllib.parse.urlparse(uri)
        if parts.scheme not in ("", "file"):
            raise ValueError(f"The bench downloads nothing; register a file: address instead of {uri}")
        target = Path(slicer.app.cachePath) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(urllib.parse.unquote(parts.path), target)
        return str(target)


slicer.modules.sampleDataSources = {}
