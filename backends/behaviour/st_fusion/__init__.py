"""Seed C: spatio-temporal fusion of RGB and skeleton. Each module stands alone; `model` puts them together."""
