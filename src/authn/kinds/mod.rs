//! The credential kinds: one folder each, with its format, issuing, verifying, settings and tests.
