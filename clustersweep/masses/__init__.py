"""The first task: masses of galaxy clusters from X-ray images, from the best architecture to a trained model."""
