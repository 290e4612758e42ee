#![no_main]

libfuzzer_sys::fuzz_target!(init: drop(std::panic::take_hook()), |bytes: &[u8]| nilometer_fuzz::run(env!("CARGO_BIN_NAME"), bytes));
