"""Measurements of ModelMuxer. Each module prints what it measured and stores nothing."""
