# The commands of this project. Each is what it looks like: without `just`, copy the line.

# All that a change must pass.
check: lint doc deny test

# The product, on a made-up fleet.
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

test *ARGS:
    cargo test --locked {{ARGS}}

lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    cargo clippy --locked --no-default-features --lib --bin murder-agent -- -D warnings

doc:
    RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

deny:
    cargo deny --locked check bans licenses sources

bench *ARGS:
    cargo bench --locked {{ARGS}}

# Tests whose snapshots changed: look at each .snap.new, then take them.
snapshots:
    INSTA_UPDATE=always cargo test --locked

# The pictures of the screen in assets/, of a demo with three failing hosts that is run for it.
pictures:
    cargo run --locked --example pictures

install:
    cargo install --locked --path .

# One static binary that runs on any Linux of this architecture.
static:
    cargo rustc --release --locked --bin murder -- -C target-feature=+crt-static

# What a package holds beside the binary.
package-files:
    cargo build --release --locked
    mkdir -p target/package-files
    target/release/murder man --dir target/package-files/man
    target/release/murder completions bash > target/package-files/murder.bash
    target/release/murder completions zsh > target/package-files/_murder
    target/release/murder completions fish > target/package-files/murder.fish

# A Debian package in target/debian; needs `cargo install cargo-deb`.
deb: package-files
    cargo deb --no-build --locked
