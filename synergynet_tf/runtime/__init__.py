"""What deals with the machine: processes, signals, memory, clusters, how TensorFlow begins."""
