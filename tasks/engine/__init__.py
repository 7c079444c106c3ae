"""Carrying calls of steps out: for real, as a plan, in Prefect or without it."""
