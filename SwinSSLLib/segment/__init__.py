"""From any CT to a label map on its own grid."""
