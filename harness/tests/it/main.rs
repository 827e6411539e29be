//! The harness's own integration tests: every check of the harness is seen to fail.

mod asset;
mod boot;
mod cli;
mod contain;
mod export;
mod faults;
mod images;
mod interop;
mod layouts;
mod project;
mod require;
mod roundtrip;
mod runs;
mod tidy;
