"""The whole loop on a rendered classroom, with a simulated annotator and a simulated curator on the real servers."""
