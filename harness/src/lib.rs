//! A conformance test harness for tools that turn OCI images into root filesystems.
//!
//! Modules stand in the order of the data flow; each imports only from those above it.

pub mod case;
pub mod image;
pub mod tree;
pub mod runner;
pub mod boot;
pub mod read;
pub mod check;
pub mod verdict;
pub mod report;
pub mod suite;
pub mod command;
