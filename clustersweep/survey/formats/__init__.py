"""The files that catalogues and images come in: FITS, npz, CSV and the lab's pickle."""
