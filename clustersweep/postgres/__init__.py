"""Where a study is kept: the embedded PostgreSQL server, or one that a URL names."""

from clustersweep import public_names

__all__, __getattr__ = public_names(
    __name__,
    {
        "dump": ("Dump", "load_dump", "read_dump", "write_dump"),
        "location": (
            "Database",
            "StudyLock",
            "database_at_hand",
            "database_to_read",
            "holds_studies",
            "living_launch",
            "living_launches",
            "open_database",
            "start_again",
            "stop_embedded",
        ),
        "url": ("KEEPALIVES", "VARIABLES", "connect", "parse_url"),
    },
)
