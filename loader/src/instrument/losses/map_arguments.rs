//! Finds the map that each call site passes.
