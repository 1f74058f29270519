"""The review of labels in FiftyOne: a dataset built from the catalogue, and verdicts that go straight back to it."""
