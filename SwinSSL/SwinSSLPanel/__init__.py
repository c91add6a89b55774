"""The panel of SwinSSL: everything that runs inside Slicer. It never imports torch or monai."""
