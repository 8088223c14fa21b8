"""The network's parts as Keras subclassed models, and SynergyNet, which composes them."""
