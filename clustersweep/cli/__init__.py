"""The verbs: the only place that prints, configures logging and exits."""
