"""The models as a Label Studio ML backend."""
