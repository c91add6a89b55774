"""The parts of the panel, one file each; they are listed in allSections."""
