use std::fmt;

/// What one contender's run came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    pub(crate) hosts: usize,
    /// Bytes that each host is sent.
    pub(crate) bytes: u64,
    /// From the common start until the last host has everything.
    pub(crate) seconds: f64,
    /// The whole command, where there is more to it.
    pub(crate) command: Option<f64>,
    /// Seconds of CPU of all receiving processes, each until it had everything.
    pub(crate) cpu: Option<f64>,
    /// The most memory of a receiving process, bytes.
    pub(crate) peak: Option<u64>,
    /// Bytes on the sender's link.
    pub(crate) sent: Option<u64>,
    /// How often the payload left the seeder, headers not counted.
    pub(crate) seeded: Option<f64>,
    /// Share of bytes that were received more than once.
    pub(crate) duplicates: Option<f64>,
}

impl Measured {
    /// Seconds of CPU for a GiB received.
    pub(crate) fn cpu_per_gib(&self) -> Option<f64> {
        let gib = self.received() / f64::from(1 << 30);
        self.cpu.map(|cpu| cpu / gib)
    }

    /// 10^6 bytes received in a second of CPU.
    pub(crate) fn mb_per_cpu_second(&self) -> Option<f64> {
        self.cpu.map(|cpu| self.received() / 1e6 / cpu)
    }

    fn received(&self) -> f64 {
        self.bytes as f64 * self.hosts as f64
    }

    /// How often the payload left the sender, headers counted.
    pub(crate) fn copies(&self) -> Option<f64> {
        self.sent.map(|sent| sent as f64 / self.bytes as f64)
    }
}

/// For whoever watches.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s", self.seconds)?;
        if let Some(command) = self.command {
            write!(f, ", the whole command {command:.2} s")?;
        }
        if let Some(cpu) = self.cpu_per_gib() {
            write!(f, ", {cpu:.2} CPU-s/GiB")?;
        }
        Ok(())
    }
}
