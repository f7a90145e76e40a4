"""Stands in for OpenAlgo's package of this name: the same interface, written for tests."""

from .broker_factory import create_broker_adapter

__all__ = ["create_broker_adapter"]
