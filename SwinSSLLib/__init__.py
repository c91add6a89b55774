"""SwinSSL engine: self-supervised pre-training of Swin UNETR and abdominal organ segmentation.

Importing this package costs nothing: torch, monai and SimpleITK are imported by the rooms that
need them, so that a panel or a script can ask for the version, the organs or the settings at once.
"""

__version__ = "0.1.0"
