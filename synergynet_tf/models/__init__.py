"""The network's parts as Keras subclassed models, and SynergyNet, which composes them."""
from synergynet_tf.runtime.startup import require_keras

require_keras()
