"""SavedModel export and the TF Serving bundle."""
