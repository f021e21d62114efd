"""What `import clustersweep as cs` offers: what the verbs do, as functions that give values. The verbs use it."""
