use std::path::PathBuf;
use std::time::Duration;

use serde::de::MapAccess;
use serde::{Deserialize, Serialize};

use super::kinds;
use super::values::{
    Amount, Canary, ColorChoice, HostKeys, Notify, Output, Percent, PortRange, Theme, Unpack,
};
use crate::text::{Kind, Mistake, Notes};

/// The one table of options: name, type, how it is read.
macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $kind:ident;)*) => {
        /// Options of the commands as one source gives them: the command line, the environment, an inventory or
        /// `config.toml`. The names are those of the flags. `None` is left to the next source.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Options {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>,)*
            /// Patterns of files to leave out.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub ignore: Option<Vec<String>>,
        }

        impl Options {
            /// Names of all options.
            pub const KEYS: &'static [&'static str] = &[$(stringify!($name),)* "ignore"];

            /// These options, and those of a lower source where these say nothing.
            #[must_use]
            pub fn or(self, lower: Self) -> Self {
                Self { $($name: self.$name.or(lower.$name),)* ignore: self.ignore.or(lower.ignore) }
            }

            /// Reads options from variables; `get` gives the value of an option's variable. A `:` separates the patterns of
            /// `ignore`. Fails with the name of the option.
            pub fn from_variables(
                get: impl Fn(&'static str) -> Option<String>,
            ) -> Result<Self, (&'static str, Mistake)> {
                fn read<T>(key: &'static str, kind: &Kind<T>, text: &str) -> Result<T, (&'static str, Mistake)> {
                    kind.read(key, text).map_err(|mistake| (key, mistake))
                }
                let globs = |text: String| {
                    text.split(':').map(|glob| read("ignore", &kinds::GLOB, glob)).collect::<Result<Vec<_>, _>>()
                };
                Ok(Self {
                    $($name: get(stringify!($name))
                        .map(|text| read(stringify!($name), &kinds::$kind, &text))
                        .transpose()?,)*
                    ignore: get("ignore").map(globs).transpose()?,
                })
            }

            /// Reads the value of the option `key`, one of [`Self::KEYS`].
            pub fn read<'de, A: MapAccess<'de>>(
                &mut self,
                key: &str,
                map: &mut A,
                notes: &Notes,
            ) -> Result<(), A::Error> {
                $(if key == stringify!($name) {
                    self.$name = Some(map.next_value_seed(notes.scalar(key, &kinds::$kind))?);
                    return Ok(());
                })*
                self.ignore = Some(map.next_value_seed(notes.list(key, &kinds::GLOB))?);
                Ok(())
            }
        }
    };
}

options! {
    /// Name of the release.
    tag: String = TAG;
    /// Folder of releases on the hosts.
    to: String = DEST;
    /// Name of the link to the release in use.
    link: String = LINK;
    /// Stage, and activate nothing.
    no_activate: bool = BOOL;
    /// Stay at the barrier until told.
    hold: bool = BOOL;
    /// Hosts activated at a time.
    batch: Amount = BATCH;
    /// Releases that stay on a host.
    keep: u32 = KEEP;
    /// How often a host is tried again.
    retries: u32 = RETRIES;
    /// Past so many failures nothing more is activated.
    max_fail: Amount = MAX_FAIL;
    /// The barrier opens when so many are staged.
    quorum: Percent = QUORUM;
    /// Staged and activated first.
    canary: Canary = CANARY;
    /// Run no hooks.
    no_hooks: bool = BOOL;
    /// Dials and launches at once.
    fanout: u32 = FANOUT;
    /// Bytes a second, each host and direction.
    rate: u64 = RATE;
    /// Bytes a second of the seeder.
    seed_rate: u64 = RATE;
    /// Ports for the swarm on the hosts.
    ports: PortRange = PORTS;
    /// How long a host may take to answer.
    connect_timeout: Duration = DURATION;
    /// How long a host may be without a verified byte.
    stall_timeout: Duration = DURATION;
    /// What is unpacked.
    unpack: Unpack = UNPACK;
    /// What becomes of unknown host keys; without it, what ssh would do.
    host_keys: HostKeys = HOST_KEYS;
    /// Show the plan, contact nothing.
    dry_run: bool = BOOL;
    /// File for the report.
    report: PathBuf = REPORT;
    /// File for a torrent that lets any client take part.
    open_swarm: PathBuf = FILE;
    /// Port for such clients.
    open_port: u16 = PORT;
    /// Expression: these hosts alone.
    limit: String = EXPRESSION;
    /// Expression: not these hosts.
    exclude: String = EXPRESSION;
    /// The face of the run.
    output: Output = OUTPUT;
    /// Whether there are colours.
    color: ColorChoice = COLOR;
    /// Colours of the screen.
    theme: Theme = THEME;
    /// How the first failure and the end are told.
    notify: Notify = NOTIFY;
    /// No characters beyond ASCII.
    ascii: bool = BOOL;
    /// Frames a second.
    fps: u8 = FPS;
    /// Yes to every confirmation.
    yes: bool = BOOL;
    /// How much is said.
    verbose: u8 = VERBOSE;
}
