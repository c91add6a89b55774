"""From labelled CTs to an organ segmenter."""
