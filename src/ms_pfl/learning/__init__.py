"""Models, batches and the training loop: torch, and no federation."""
