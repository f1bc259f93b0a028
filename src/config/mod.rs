//! Configuration: as written, then resolved; all problems at once.
