"""``python -m Bench.panel --module PATH``: open a module's panel in a window, or photograph it and leave."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from Bench import strictness, system

LAYOUTS = {
    "four-up": "SlicerLayoutFourUpView",
    "conventional": "SlicerLayoutConventionalView",
    "red": "SlicerLayoutOneUpRedSliceView",
    "3d": "SlicerLayoutOneUp3DView",
    "plot": "SlicerLayoutConventionalPlotView",
    "table": "SlicerLayoutFourUpTableView",
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m Bench.panel", description=__doc__)
    parser.add_argument("--module", type=Path, help="a scripted module: its .py file, or the folder of its name")
    parser.add_argument("--screenshot", type=Path, help="write a PNG of the window and leave")
    parser.add_argument("--layout", choices=sorted(LAYOUTS), default="four-up")
    parser.add_argument(
        "--load", type=Path, action="append", default=[], metavar="FILE", help="a volume to load first; more than once"
    )
    parser.add_argument("--size", default="1280x800", help="width x height of the window")
    parser.add_argument(
        "--forgive",
        action="store_true",
        help="only print the mistakes that Slicer survives: for modules of others",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Open the window."""
    options = parse(arguments)
    problem = system.ensure()
    if problem is not None:
        print(problem, file=sys.stderr)
        return 2
    if options.module is not None and not options.module.exists():
        print(f"No such module: {options.module}", file=sys.stderr)
        return 2
    if missing := [path for path in options.load if not path.exists()]:
        print(f"No such file: {missing[0]}", file=sys.stderr)
        return 2
    if options.screenshot is None and not system.has_display():
        print("No display: use --screenshot FILE", file=sys.stderr)
        return 2
    # Only now, because these need the libraries that were looked for.
    from Bench import application

    app = application.start(testing=options.screenshot is not None)
    import slicer

    window = app.main_window()
    window.resize(*(int(part) for part in options.size.split("x")))
    app.layoutManager().setLayout(getattr(slicer.vtkMRMLLayoutNode, LAYOUTS[options.layout]))
    for path in options.load:
        show(path)
    if options.forgive:
        strictness.lenient()
    if options.module is not None:
        module = application.load_module(options.module)
        application.open_panel(module.name, window=True)
        window.setWindowTitle(f"{module.title} - 3D Slicer bench")
    window.show()
    if options.screenshot is None:
        return int(app.exec())
    return photograph(options.screenshot)


def show(path: Path) -> None:
    """Load a file; a volume fills the slice views."""
    import slicer

    before = set(slicer.util.getNodesByClass("vtkMRMLVolumeNode"))
    slicer.app.coreIOManager().loadFile(str(path))
    new = [node for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode") if node not in before]
    if new:
        slicer.util.setSliceViewerLayers(background=new[0], fit=True)


def photograph(path: Path) -> int:
    """Write a picture of the main window.

    Returns:
        0, or 1 when it could not be written.
    """
    import slicer

    for _ in range(5):
        slicer.app.processEvents()
    window = slicer.app.main_window()
    written = window.grab().save(str(path))
    window.hide()
    print(path if written else f"Cannot write {path}", file=sys.stdout if written else sys.stderr)
    return 0 if written else 1


if __name__ == "__main__":
    sys.exit(main())
