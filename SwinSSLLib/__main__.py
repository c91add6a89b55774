"""``python -m SwinSSLLib`` is the command ``swinssl``; it says what is missing where not everything is installed."""

import json
import sys


def _without_packages(error: ModuleNotFoundError) -> int:
    """The check needs nothing but Python; everything else ends with one sentence and exit code 4."""
    if sys.argv[1:2] == ["doctor"]:
        from SwinSSLLib.checkup import checkup

        print(json.dumps(checkup()))
    else:
        hint = "Install SwinSSL (pip install ., or Install under Setup in Slicer); `doctor` lists what is missing."
        event = {"event": "error", "message": f"The package {error.name} is missing.", "hint": hint, "exit_code": 4}
        if "--json" in sys.argv:
            print(json.dumps(event))
        else:
            sys.stderr.write(f"{event['message']}\n{hint}\n")
    return 4


try:
    from SwinSSLLib.cli import main, make_parser

    make_parser()
except ModuleNotFoundError as error:
    sys.exit(_without_packages(error))
sys.exit(main())
