"""Names of columns that are known: of masses, redshifts and identifiers. Knows no catalogue."""

import re

PAIRS = (("M500c", "z"), ("m500_wl_final", "z_final"), ("HALO_M500c", "redshift_R"))
"""Mass and redshift in the eFEDS simulation, the observed eFEDS clusters, and other simulations."""
IDENTIFIERS = ("identifier", "SRC_ID_IN", "input_SRC_ID", "ID_SRC_OUT", "Name", "name", "ID", "id")
"""Names of an identifier, best first. `SRC_ID_IN` is the halo, which several realisations may show."""
SHOWN = {"mass": ("M500c", "M500", "MASS_500", "mass"), "redshift": ("z", "REDSHIFT", "z_spec", "photo_z")}
"""Some of the names, for messages."""
OTHER_MASS = re.compile(r"200|2500|1000|180|vir", re.IGNORECASE)
"""In the name of a mass within another overdensity than 500."""
REDSHIFT_LIKE = re.compile(
    r"^(?!.*(?:err|sig|unc|_lo|_hi|_up|_min|_max|flag))(?:z|.*_z|.*redshift|photoz|specz)(?![a-z])", re.IGNORECASE
)
"""A name that may be a redshift's, and is no error's or limit's."""
# fmt: off
ALIASES = {
    "mass": {
        "m500c",
        "m500",
        "mass",
        "mass_500",
        "mass_500c",
        "mass500",
        "mass500c",
        "m_500",
        "m_500c",
        "m500_c",
        "halo_m500c",
        "m500_wl_final",
        "m500_wl",
        "m500c_wl",
        "m500_true",
        "m500c_true",
        "true_mass",
        "mass_true",
        "halo_mass",
        "cluster_mass",
        "m500_msun",
        "m500c_msun",
    },
    "redshift": {
        "z",
        "redshift",
        "z_final",
        "redshift_r",
        "z_spec",
        "zspec",
        "z_phot",
        "zphot",
        "photo_z",
        "photoz",
        "spec_z",
        "specz",
        "z_best",
        "best_z",
        "zbest",
        "z_cluster",
        "z_cl",
        "zcl",
        "z_true",
        "true_z",
        "z_lambda",
        "redshift_best",
        "redshift_spec",
        "redshift_phot",
        "z_halo",
        "halo_redshift",
    },
}
# fmt: on
"""Other names of masses and redshifts, in small letters. Where several are there, the user has to say which."""
