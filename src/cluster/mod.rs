//! News between instances.
