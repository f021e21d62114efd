"""What `import clustersweep as cs` offers: what the verbs do, as functions that give values. The verbs use it."""

import warnings

# Optuna and Ray import tqdm, which warns in notebooks that its widgets are missing; nothing here has any.
warnings.filterwarnings("ignore", message="IProgress not found")
