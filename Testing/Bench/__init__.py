"""3D Slicer's application layer on real Qt and real MRML, for tests and for people without Slicer.

Nothing is imported here: ``Bench.pythonqt``, ``Bench.ctk``, ``Bench.mrmlwidgets`` and the rest are taken by name.
"""
