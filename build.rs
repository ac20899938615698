//! Builds the static agent for the platform that `murder` itself is built for, and embeds it, gzipped.
//!
//! Other platforms come from `MURDER_AGENTS=DIR`, a folder of files named `murder-agent-<os>-<arch>`; one for the own
//! platform there is taken instead of building it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use sha2::{Digest, Sha256};

/// What the agent is made of. Named one by one: a change elsewhere must not build it again.
const AGENT_SOURCES: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    "src/lib.rs",
    "src/clock.rs",
    "src/units.rs",
    "src/bin/murder-agent.rs",
    "src/agent",
    "src/control",
    "src/payload",
    "src/swarm",
];

fn main() -> ExitCode {
    if env::var_os("CARGO_FEATURE_OPERATOR").is_none() {
        return ExitCode::SUCCESS;
    }
    match embed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("murder: the agent that is sent to hosts could not be built: {error}");
            ExitCode::FAILURE
        }
    }
}

fn embed() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=MURDER_AGENTS");
    for source in AGENT_SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let own = format!("{}-{}", env::var("CARGO_CFG_TARGET_OS")?, env::var("CARGO_CFG_TARGET_ARCH")?);
    let mut agents = given_agents()?;
    if let Entry::Vacant(place) = agents.entry(own) {
        place.insert(build_agent()?);
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut table = String::from("&[\n");
    for (platform, path) in &agents {
        let binary = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let packed = out.join(format!("murder-agent-{platform}.gz"));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&binary)?;
        fs::write(&packed, gzip.finish()?)?;
        let hash = Sha256::digest(&binary).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        writeln!(table, "    ({platform:?}, {hash:?}, include_bytes!({packed:?})),")?;
    }
    table.push(']');
    fs::write(out.join("agents.rs"), table)?;
    Ok(())
}

fn given_agents() -> Result<BTreeMap<String, PathBuf>, Box<dyn Error>> {
    let Some(folder) = env::var_os("MURDER_AGENTS").filter(|folder| !folder.is_empty()) else {
        return Ok(BTreeMap::new());
    };
    let folder = Path::new(&folder);
    println!("cargo::rerun-if-changed={}", folder.display());
    let entries = fs::read_dir(folder)
        .map_err(|error| format!("cannot read MURDER_AGENTS={}: {error}", folder.display()))?;
    let mut agents = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        if let Some(platform) = entry.file_name().to_str().and_then(|name| name.strip_prefix("murder-agent-"))
        {
            agents.insert(platform.to_owned(), entry.path());
        }
    }
    Ok(agents)
}

/// Left out of zstd in the agent, a sixth of a megabyte gzipped: it packs at level 3 alone, which uses none of these.
const LEFT_OUT: [&str; 6] = ["GREEDY", "LAZY", "LAZY2", "BTLAZY2", "BTOPT", "BTULTRA"];

fn build_agent() -> Result<PathBuf, Box<dyn Error>> {
    let target_dir = own_target_dir()?;
    let (host, target) = (env::var("HOST")?, env::var("TARGET")?);
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(env::var("CARGO_MANIFEST_DIR")?)
        .args(["rustc", "--profile", "agent", "--bin", "murder-agent", "--no-default-features", "--locked"])
        .arg("--target-dir")
        .arg(&target_dir);
    if host != target {
        cargo.args(["--target", &target]);
    }
    // Not for the whole build: proc-macros cannot be linked statically.
    if env::var("CARGO_CFG_TARGET_OS")? == "linux" {
        cargo.args(["--", "-C", "target-feature=+crt-static"]);
    }
    for (name, _) in env::vars_os() {
        if is_of_the_outer_build(&name.to_string_lossy()) {
            cargo.env_remove(name);
        }
    }
    let mut cflags = env::var("CFLAGS").unwrap_or_default();
    for strategy in LEFT_OUT {
        write!(cflags, " -DZSTD_EXCLUDE_{strategy}_BLOCK_COMPRESSOR")?;
    }
    cargo.env("CFLAGS", cflags);
    let output = cargo.output().map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{}\n{words}", what_is_missing(&words)).into());
    }
    let triple = if host == target { String::new() } else { target };
    Ok(target_dir.join(triple).join("agent").join("murder-agent"))
}

/// `target/agent-build`, one for all profiles, found from `target/<profile>/build/<package>/out`.
fn own_target_dir() -> Result<PathBuf, Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let build = out.ancestors().find(|path| path.ends_with("build")).and_then(Path::parent);
    Ok(build.and_then(Path::parent).unwrap_or(&out).join("agent-build"))
}

/// Settings of the outer build that would change the inner one; an inherited feature would make it call itself without end.
fn is_of_the_outer_build(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["CARGO_FEATURE_", "CARGO_CFG_", "CARGO_PROFILE_"];
    const NAMES: [&str; 7] = [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CLIPPY_ARGS",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

fn what_is_missing(words: &str) -> &'static str {
    const SIGNS: [(&str, &str); 5] = [
        (
            "linker `cc` not found",
            "there is no C compiler; install gcc (Debian: apt-get install gcc libc6-dev)",
        ),
        (
            "failed to find tool",
            "there is no C compiler; install gcc (Debian: apt-get install gcc libc6-dev)",
        ),
        (
            "cannot find -lc",
            "the static C library is missing; install it (Debian: libc6-dev, Fedora: glibc-static)",
        ),
        (
            "needs to be updated but --locked",
            "Cargo.lock does not fit Cargo.toml; run cargo update --workspace",
        ),
        ("offline", "a crate is missing and cargo may not fetch it; vendor all crates or build once online"),
    ];
    SIGNS.iter().find(|(sign, _)| words.contains(sign)).map_or("cargo said:", |(_, advice)| advice)
}
