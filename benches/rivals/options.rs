use crate::clients::Contender;
use crate::payload::Outcome;

const HELP: &str = "\
cargo bench --bench rivals -- [links] [loopback] [OPTION…]   both, if neither is named
  --hosts N      on links, default 16
  --mbit N       rate of every link, default 50
  --mib N        payload on links, default 64
  --rounds N     how often all take their turns on links, default 1
  --local N      hosts on loopback, default 8
  --local-mib N  payload there, default 256
  --only A,B     of murder, engine, engine-plain, libtorrent-forced, libtorrent, librqbit, aria2, scp";

/// What is measured, and how.
pub(crate) struct Options {
    pub(crate) links: bool,
    pub(crate) loopback: bool,
    pub(crate) hosts: usize,
    pub(crate) mbit: u32,
    pub(crate) mib: u64,
    pub(crate) rounds: usize,
    pub(crate) local: usize,
    pub(crate) local_mib: u64,
    only: Option<Vec<String>>,
}

impl Options {
    pub(crate) fn read(words: Vec<String>) -> Outcome<Self> {
        let mut options = Self {
            links: false,
            loopback: false,
            hosts: 16,
            mbit: 50,
            mib: 64,
            rounds: 1,
            local: 8,
            local_mib: 256,
            only: None,
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "links" => options.links = true,
                "loopback" => options.loopback = true,
                "--hosts" => options.hosts = value()?.parse()?,
                "--mbit" => options.mbit = value()?.parse()?,
                "--mib" => options.mib = value()?.parse()?,
                "--rounds" => options.rounds = value()?.parse()?,
                "--local" => options.local = value()?.parse()?,
                "--local-mib" => options.local_mib = value()?.parse()?,
                "--only" => options.only = Some(value()?.split(',').map(str::to_owned).collect()),
                "--help" => {
                    println!("{HELP}");
                    std::process::exit(0);
                }
                other => return Err(format!("unknown option {other}\n{HELP}").into()),
            }
        }
        if !options.links && !options.loopback {
            (options.links, options.loopback) = (true, true);
        }
        Ok(options)
    }

    /// Those of `all` that are wanted and can be tried; says why others cannot.
    pub(crate) fn contenders(&self, all: &[Contender]) -> Vec<Contender> {
        let wanted = |contender: &&Contender| {
            self.only.as_ref().is_none_or(|only| only.iter().any(|word| word == contender.word()))
        };
        let mut found = Vec::new();
        for contender in all.iter().filter(wanted) {
            match contender.obstacle() {
                None => found.push(*contender),
                Some(why) => println!("{}: skipped, {why}", contender.name()),
            }
        }
        found
    }
}
