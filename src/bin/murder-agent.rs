//! The agent: runs on a host for the time of a deployment.

fn main() {}
