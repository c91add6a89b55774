# ruff: noqa: F403 - all names of the parts are names of the package
"""``slicer.parameterNodeWrapper``: behaves as Slicer's, within what :mod:`Testing/Bench/README.md` says."""

from .containers import *
from .guiConnectors import *
from .nodes import *
from .parameterPack import *
from .rules import *
from .scalars import *
from .serializers import *
from .wrapper import *
