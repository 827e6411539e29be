//! The harness's own integration tests: every check of the harness is seen to fail.

mod asset;
mod baseline;
mod batch;
mod batch_storage;
mod boot;
mod cli;
mod contain;
mod erofs;
mod export;
mod faults;
mod images;
mod interop;
mod interrupt;
mod layered;
mod layouts;
mod matrix;
mod mishap;
mod page;
mod project;
mod relations;
mod repeat;
mod require;
mod roundtrip;
mod runs;
mod second_oracle;
mod soak;
mod tidy;
mod tool_roots;
#[path = "../variants/mod.rs"]
mod variants;
mod varied;
