"""Pure tensor functions: boxes, anchors, matching, sampling, suppression, RoI crops. No Keras, no configuration."""
