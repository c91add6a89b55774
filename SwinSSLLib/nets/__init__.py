"""Swin UNETR, its encoder with the heads of pre-training, and weights of any layout."""
