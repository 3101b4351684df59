"""Ray Data and Ray Train jobs over pictures, video and sequences: one folder each, once built."""
