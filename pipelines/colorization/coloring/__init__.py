"""Colouring photographs and films with a trained network, and the study of how real they look."""
