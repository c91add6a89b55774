"""``python -m SwinSSLLib`` is the command ``swinssl``."""

import sys

from SwinSSLLib.cli import main

sys.exit(main())
