"""``slicer.parameterNodeWrapper``: behaves as Slicer's, within what :mod:`Testing/Bench/README.md` says."""

from .guiConnectors import *
from .nodes import *
from .parameterPack import *
from .rules import *
from .serializers import *
from .wrapper import *
