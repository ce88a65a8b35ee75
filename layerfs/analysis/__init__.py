"""Answers about a data root: functions from values to values."""
