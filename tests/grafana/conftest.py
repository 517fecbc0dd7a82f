from tests.analytics.conftest import data_dir, engine, settings, store

__all__ = ["data_dir", "engine", "settings", "store"]
