"""What was asked for and what came of it: study files, plans, events and results, as plain values."""
