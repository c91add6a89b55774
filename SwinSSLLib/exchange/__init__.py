"""Models in and out: what is published, downloads, foreign files, bundles, the library of this machine."""
