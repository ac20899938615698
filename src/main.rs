//! The operator's command: arguments -> mode -> exit code.

fn main() {}
