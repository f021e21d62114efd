"""A simulated survey: clusters, their spectra, and what the telescope makes of them."""
