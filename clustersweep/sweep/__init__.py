"""The loop that turns a plan into results, and what a launch does around it."""
