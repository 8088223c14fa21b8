"""The four stages, the traced step, the outer loop, the checkpoints."""
