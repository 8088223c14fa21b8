"""From files to batches: NIfTI, layouts, splits, preprocessing, instances, cache, augmentation, pipeline; and the phantoms."""
