"""Labelled data sets: images with the indices of their classes."""
