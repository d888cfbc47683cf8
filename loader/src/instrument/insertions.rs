//! Inserts instructions into a linked program.
