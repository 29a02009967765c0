"""Lowering: the typed syntax tree of one probe to typed IR."""

from pytrace.semantics.lower.core import Lowering, ModuleBuilder

__all__ = ["Lowering", "ModuleBuilder"]
