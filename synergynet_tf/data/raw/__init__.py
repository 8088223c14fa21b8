"""From scans as they left the scanner to the network's space: one module a step, `pipeline` runs them. No TensorFlow."""
