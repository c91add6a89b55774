"""What keeps the folder of a long run small: how often losses are told, and which previews are kept.

Both are dense where a run is young and even over its whole length when it is old, so that nothing grows without end.
"""

from __future__ import annotations

from pathlib import Path

#: Losses are told as means over this many steps, so that a GPU is not stopped at every one to be asked.
TELL_EVERY = 10
#: A run of n steps tells its losses at most this many times before the distance between two is doubled.
MOST_TOLD = 1000
#: Previews of one kind that are kept: the first, the latest, and others as evenly as they come.
MOST_PREVIEWS = 60
LATEST_PREVIEWS = 10


def tell_every(step: int) -> int:
    """Steps between two tellings of the losses at ``step``: 10, doubled whenever 1,000 have come together.

    A run of n steps so tells them about 1,000 + 500 * log2(n / 10,000) times: 3,700 times in 450,000 steps.
    """
    distance = TELL_EVERY
    while step > MOST_TOLD * distance:
        distance *= 2
    return distance


def superfluous(steps: list[int], most: int = MOST_PREVIEWS, latest: int = LATEST_PREVIEWS) -> list[int]:
    """Which of the steps to drop, so that ``most`` stay: the first, the ``latest`` last ones, and an even rest.

    Of the others the one goes whose neighbours are nearest to each other, the older one of two alike.

    Args:
        steps: ascending.
        most: how many stay.
        latest: how many of the last ones are not touched.
    """
    kept, dropped = list(steps), []
    while len(kept) > max(most, latest + 2):
        inner = range(1, len(kept) - latest)
        nearest = min(inner, key=lambda place: kept[place + 1] - kept[place - 1])
        dropped.append(kept.pop(nearest))
    return dropped


def thin_previews(folder: Path, most: int = MOST_PREVIEWS) -> None:
    """Remove the previews that are too many, of each kind (``step-*.npz``, ``segmentation-*.npz``) by itself."""
    kinds: dict[str, dict[int, Path]] = {}
    for file in folder.glob("*-*.npz"):
        kind, _, number = file.stem.rpartition("-")
        if number.isdigit():
            kinds.setdefault(kind, {})[int(number)] = file
    for files in kinds.values():
        for step in superfluous(sorted(files), most):
            files[step].unlink(missing_ok=True)
