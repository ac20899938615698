//! What the package promises of itself: its dependencies, and the size of what is sent to hosts.

use std::process::Command;

use murder::ssh::AgentBinaries;

/// What an agent may take on its way to a host: 1.5 MiB.
const MOST_AGENT: usize = 3 << 19;

#[test]
fn there_is_one_c_crypto_library_and_no_openssl() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.contains("aws-lc-sys "), "the tree is not to be trusted:\n{tree}");
    for other in ["openssl-sys ", "native-tls ", "ring "] {
        assert!(!tree.lines().any(|line| line.starts_with(other)), "{other}came in");
    }
}

#[test]
fn the_agent_is_small_enough_to_be_sent_to_every_host() {
    let agents = AgentBinaries::embedded();
    let sizes: Vec<_> = agents.packed_sizes().collect();
    assert!(!sizes.is_empty(), "there is no agent at all");
    for (platform, size) in sizes {
        assert!(size <= MOST_AGENT, "the agent for {platform} has {size} bytes, {MOST_AGENT} are allowed");
    }
}
