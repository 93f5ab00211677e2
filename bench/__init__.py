"""Measurements: reported as they are, never asserted by a test."""
