"""Anatomy of a scan: where its ventricles, its cortex and its infratentorial part lie, and in which region a lesion is."""
