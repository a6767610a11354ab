//! The first packet of a connection.
#![no_main]
#![allow(dead_code, unused_must_use, reason = "one target of several is used")]

#[path = "../../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    targets::startup(data);
});
