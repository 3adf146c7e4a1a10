//! Configuration: TOML text to values that the rest of the program can trust.
