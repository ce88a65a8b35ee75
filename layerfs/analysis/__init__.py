"""Answers about a store: functions from values to values."""
