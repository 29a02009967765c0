"""Tracing tools written in the language, each run by a test."""
