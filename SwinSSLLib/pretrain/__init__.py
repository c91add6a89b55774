"""The three proxy tasks on unlabelled CTs."""
