"""What runs in production: one folder with a model in, HTTP out. It imports nothing of training."""
