"""Publishing a model: what it was made of, what the Hub accepts, the folder to upload, and its card."""
