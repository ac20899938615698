use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::exit;
use crate::inventory::{
    Amount, Canary, ColorChoice, Host, HostKeys, Inventory, Notify, Options, Output, Percent, PortRange,
    Theme, Unpack,
};
use crate::tui::Keymap;

fn cli(words: &str) -> Cli {
    Cli::from_args(["murder"].into_iter().chain(words.split_whitespace()))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// What `murder` prints instead of working, on a terminal of 100 columns, and its exit code.
fn refusal(words: &str) -> (String, i32) {
    let args = ["murder"].into_iter().chain(words.split_whitespace());
    let error = command().term_width(100).try_get_matches_from(args).unwrap_err();
    (error.to_string(), error.exit_code())
}

/// Surroundings with variables, a configuration, and words on standard input.
fn around(variables: &[(&str, &str)], config: &str, stdin: &'static str) -> Surroundings {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Surroundings {
        env: Box::new(move |name| variables.get(name).cloned()),
        stdin: Box::new(move || Box::new(stdin.as_bytes())),
        config: Config::parse("config.toml", config).unwrap_or_else(|error| panic!("{error}")),
    }
}

fn nothing() -> Surroundings {
    around(&[], "", "")
}

fn names(setup: &Setup) -> String {
    setup.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(" ")
}

/// A folder with an inventory of this text, and its path.
fn inventory(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts.yaml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn the_help_of_every_command_is_as_it_was() {
    let (text, code) = refusal("--help");
    insta::assert_snapshot!("help", text);
    assert_eq!(code, 0);
    for sub in command().get_subcommands() {
        insta::assert_snapshot!(
            format!("help_{}", sub.get_name()),
            refusal(&format!("{} --help", sub.get_name())).0
        );
    }
}

#[test]
fn every_command_shows_how_it_is_used() {
    for sub in command().get_subcommands() {
        let help = refusal(&format!("{} --help", sub.get_name())).0;
        assert!(help.contains("Examples:\n  murder "), "{} has no examples", sub.get_name());
    }
}

#[test]
fn the_exit_codes_are_written_down_where_people_look() {
    for page in [include_str!("../../README.md"), include_str!("../docs/output.md")] {
        let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok());
        let codes: Vec<u8> = EXIT_CODES.iter().map(|(code, _)| *code).collect();
        assert_eq!(rows.collect::<Vec<u8>>(), codes);
    }
}

#[test]
fn pages_and_completions_are_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let pages = man_pages(folder.path()).unwrap();
    let commands = command().get_subcommands().count();
    assert_eq!(pages.len(), commands + 1);
    let version = |text: String| text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let written = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(man_page(), written("murder.1"));
    insta::assert_snapshot!("man", version(man_page()));
    insta::assert_snapshot!("man_deploy", version(written("murder-deploy.1")));
    for shell in ["bash", "zsh", "fish"] {
        let Command::Completions(args) = cli(&format!("completions {shell}")).command else {
            panic!("{shell}")
        };
        insta::assert_snapshot!(format!("completions_{shell}"), version(completions(args.shell)));
    }
}

#[test]
fn every_option_has_a_flag_with_its_name_and_its_variable_in_the_help() {
    let (text, _) = refusal("deploy --help");
    let words: Vec<&str> = text.split_whitespace().collect();
    for key in Options::KEYS {
        let flag = format!("--{}", key.replace('_', "-"));
        let variable = format!("MURDER_{}]", key.to_uppercase());
        assert!(words.iter().any(|word| word.trim_end_matches('.') == flag), "{flag}");
        assert!(words.contains(&variable.as_str()), "{variable}");
    }
}

#[test]
fn every_flag_of_a_deployment_reaches_its_option() {
    let cli = cli(
        "deploy app --tag t1 --to /srv --link live --no-activate --hold --batch 25% --keep 1 --retries 0 \
        --max-fail 3 --quorum 90% --canary ring=canary --no-hooks --fanout 9 --rate 1M --seed-rate 2M --ports 7000-7100 \
        --connect-timeout 3s --stall-timeout 2m --unpack never --ignore *.log --ignore /tmp --host-keys strict --dry-run \
        --report r.md --open-swarm x.torrent --open-port 6969 -l web -x web1 --output json --color always --theme mono \
        --notify osc9 --ascii --fps 3 -y -vv",
    );
    let written = serde_json::to_value(cli.options()).unwrap();
    let missing: Vec<_> = Options::KEYS.iter().filter(|key| written.get(**key).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} should be set by this test");
    let options = cli.options();
    assert_eq!((options.batch, options.max_fail), (Some(Amount::Percent(25)), Some(Amount::Count(3))));
    assert_eq!(
        (options.quorum, options.canary),
        (Some(Percent(90)), Some(Canary::Hosts("ring=canary".into())))
    );
    assert_eq!(options.ports, Some(PortRange { first: 7000, last: 7100 }));
    assert_eq!((options.host_keys, options.unpack), (Some(HostKeys::Strict), Some(Unpack::Never)));
    assert_eq!(options.ignore.unwrap(), ["*.log", "/tmp"]);
    assert_eq!((options.verbose, options.yes, options.fps), (Some(2), Some(true), Some(3)));
}

#[test]
fn a_flag_of_the_face_may_stand_before_the_command() {
    for words in ["--output plain -y runs", "runs --output plain -y"] {
        let options = cli(words).options();
        assert_eq!((options.output, options.yes), (Some(Output::Plain), Some(true)), "{words}");
    }
}

#[test]
fn the_nearest_source_wins() {
    let (_folder, path) =
        inventory("{options: {keep: 3, retries: 3, batch: 3}, hosts: [{host: a, dest: /d}]}");
    let variables = [("MURDER_INVENTORY", path.as_str()), ("MURDER_KEEP", "2"), ("MURDER_RETRIES", "2")];
    let config = "keep = 4\nretries = 4\nbatch = 4\nfanout = 4\nignore = [\"x\"]\nconnect_timeout = 7\n";
    let setup = Setup::new(&cli("deploy app --keep 1"), &around(&variables, config, "")).unwrap();
    let deploy = &setup.deploy;
    assert_eq!((deploy.keep, deploy.retries, deploy.batch, deploy.fanout), (1, 2, Some(Amount::Count(3)), 4));
    assert_eq!((&deploy.ignore, deploy.connect_timeout), (&vec!["x".to_owned()], Duration::from_secs(7)));
    assert_eq!(setup.inventory.source, path);
}

#[test]
fn without_any_source_the_defaults_of_the_help_count() {
    let setup = Setup::new(&cli("deploy app --hosts a --to /d"), &nothing()).unwrap();
    let wanted = DeployOptions {
        tag: None,
        link: "current".into(),
        activate: true,
        hold: false,
        batch: None,
        keep: 5,
        retries: 2,
        max_fail: None,
        quorum: Percent(100),
        canary: None,
        hooks: true,
        fanout: 128,
        rate: None,
        seed_rate: None,
        ports: None,
        connect_timeout: Duration::from_secs(10),
        stall_timeout: Duration::from_secs(60),
        unpack: Unpack::Auto,
        ignore: vec![".git".into()],
        host_keys: None,
        dry_run: false,
        report: None,
        open_swarm: None,
        open_port: None,
    };
    assert_eq!(setup.deploy, wanted);
    let face = FaceOptions {
        output: Output::Auto,
        color: ColorChoice::Auto,
        theme: Theme::Default,
        notify: Notify::Bell,
        ascii: false,
        fps: 10,
        yes: false,
        verbose: 0,
        keymap: Keymap::default(),
    };
    assert_eq!(setup.face, face);
    assert_eq!(around(&[("SSH_TTY", "/dev/pts/1")], "", "").face(&cli("runs")).unwrap().fps, 4);
}

#[test]
fn switches_are_taken_back_by_their_opposites() {
    let (_folder, path) =
        inventory("{options: {hold: true, no_hooks: true, yes: true}, defaults: {dest: /d}, hosts: [a]}");
    let taken = |words: &str, variables: &[(&str, &str)]| {
        let setup =
            Setup::new(&cli(&format!("deploy app -i {path} {words}")), &around(variables, "", "")).unwrap();
        (setup.deploy.hold, setup.deploy.hooks, setup.face.yes)
    };
    assert_eq!(taken("", &[]), (true, false, true));
    assert_eq!(taken("--no-hold --hooks --no-yes", &[]), (false, true, false));
    assert_eq!(taken("", &[("MURDER_HOLD", "0"), ("MURDER_YES", "no")]), (false, false, false));
    assert_eq!(taken("--hold", &[("MURDER_HOLD", "false")]), (true, false, true));
    assert_eq!(taken("--no-hold --hold", &[]), (true, false, true), "the last one counts");
    assert_eq!(taken("", &[("MURDER_HOLD", "")]), (true, false, true), "an empty variable says nothing");
}

#[test]
fn hosts_come_from_where_the_user_says() {
    let (_folder, path) =
        inventory("{defaults: {user: me, dest: /d}, hosts: [web1, {host: web2, port: 2222, dest: /e}]}");
    let shown = |words: &str, variables: &[(&str, &str)], config: &str| {
        let setup = Setup::new(&cli(&format!("check {words}")), &around(variables, config, "- x1\n- web2\n"))
            .unwrap();
        let show = |h: &Host| {
            format!("{}@{}:{}", h.user.as_deref().unwrap_or("-"), h.name, h.dest.as_deref().unwrap())
        };
        setup.hosts.iter().map(show).collect::<Vec<_>>().join(" ")
    };
    let named = format!("-i {path}");
    let variable = [("MURDER_INVENTORY", path.as_str())];
    assert_eq!(shown(&named, &[], ""), "me@web1:/d me@web2:/e");
    assert_eq!(shown("", &variable, ""), "me@web1:/d me@web2:/e");
    assert_eq!(shown("", &[], &format!("inventory = {path:?}")), "me@web1:/d me@web2:/e");
    assert_eq!(shown("--hosts web[1-2] --to /t", &[], ""), "-@web1:/t -@web2:/t");
    assert_eq!(shown("--hosts - --to /t", &[], ""), "-@x1:/t -@web2:/t");
    assert_eq!(shown("-i - --to /t", &[], ""), "-@x1:/t -@web2:/t");
    assert_eq!(shown(&format!("{named} --hosts x1,web2"), &[], ""), "me@x1:/d me@web2:/e");
    assert_eq!(shown("", &[("MURDER_HOSTS", "z"), ("MURDER_TO", "/t")], ""), "-@z:/t");
    assert_eq!(shown(&format!("{named} -l web2"), &[], ""), "me@web2:/e");
    assert_eq!(shown(&named, &[("MURDER_EXCLUDE", "web2")], ""), "me@web1:/d");
    assert_eq!(shown(&named, &[], "to = \"/c\""), "me@web1:/d me@web2:/e", "a host's own folder is nearer");
    assert_eq!(shown("--hosts a", &[], "to = \"/c\""), "-@a:/c");
}

#[test]
fn what_is_wrong_is_said_with_its_exit_code() {
    let (folder, path) = inventory("{defaults: {dest: /d}, hosts: [web1, web2]}");
    let broken = folder.path().join("broken.yaml");
    fs::write(&broken, "hosts: [web[1-2]]").unwrap();
    let mut all = String::new();
    for (words, variables, code) in [
        ("check -i PATH -l web3", &[][..], exit::NO_HOST),
        ("check -i PATH -l q*", &[], exit::NO_HOST),
        ("check -i PATH -x *", &[], exit::NO_HOST),
        ("check -i BROKEN", &[], exit::CONFIG),
        ("check -i missing.yaml", &[], exit::CONFIG),
        ("check --hosts web[3-1]", &[], exit::CONFIG),
        ("check --hosts web[1-2],db1", &[], exit::CONFIG),
        ("check -i PATH", &[("MURDER_FPS", "1000")], exit::CONFIG),
        ("check -i PATH", &[("MURDER_LIMIT", "web1 &")], exit::CONFIG),
        ("deploy app -i PATH --hold --no-activate", &[], exit::USAGE),
        ("deploy app -i PATH --open-port 6969", &[], exit::USAGE),
    ] {
        let real = words.replace("PATH", &path).replace("BROKEN", broken.to_str().unwrap());
        let error = Setup::new(&cli(&real), &around(variables, "", "")).map(|s| names(&s)).expect_err(words);
        assert_eq!(error.exit_code(), code, "{words}: {error}");
        let error = error.to_string().replace(&path, "PATH").replace(broken.to_str().unwrap(), "BROKEN");
        all += &format!("$ murder {words}   # {variables:?}\n{error}\n\n");
    }
    insta::assert_snapshot!("errors", all);
}

#[test]
fn a_wrong_command_line_is_said_with_what_was_meant() {
    let mut all = String::new();
    for words in [
        "deply app",
        "deploy",
        "deploy app --limt web",
        "deploy app --keep many",
        "deploy app --output tu",
        "deploy app --canary web[3-1]",
        "deploy app --quorum 80",
        "deploy app --ports 9-1",
        "deploy app --tag a/b",
        "demo --fleet 0",
        "completions tcsh",
        "replay --speed 0",
    ] {
        let (text, code) = refusal(words);
        assert_eq!(code, i32::from(exit::USAGE), "{words}");
        all += &format!("$ murder {words}\n{text}\n");
    }
    insta::assert_snapshot!("usage", all);
}

#[test]
fn mistakes_in_the_configuration_are_shown_at_their_place() {
    let mut all = String::new();
    for text in [
        "keep = 5\nkep = 6\n",
        "fps = 0\n",
        "rate = [1]\n",
        "keep =\n",
        "[keys]\nretry = 7\nquit = \"\"\n",
        "[keys]\nretri = \"z\"\n",
        "fps = 4\n[keys]\nsort = \"o\"\nretry = [\"r\", \"Hyper-r\"]\n",
        "[keys]\nretry = \"j\"\n",
        "a = \"\u{e9}",
    ] {
        let error = Config::parse("config.toml", text).expect_err(text);
        assert_eq!(error.exit_code(), exit::CONFIG);
        all += &format!("{error}\n\n");
    }
    insta::assert_snapshot!("config", all);
    let config = Config::parse(
        "c",
        "theme = \"mono\"\nyes = true\n[keys]\nretry = \"ctrl-r\"\nquit = [\"q\", \"Q\"]\n",
    );
    let config = config.unwrap();
    assert_eq!((config.options.theme, config.options.yes), (Some(Theme::Mono), Some(true)));
    let keys = Keymap::with(&BTreeMap::from([
        ("retry".to_owned(), vec!["^r".to_owned()]),
        ("quit".to_owned(), vec!["q".to_owned(), "Q".to_owned()]),
    ]));
    assert_eq!(config.keys, keys.unwrap());
    assert_eq!(Config::load(Path::new("/nowhere/config.toml")).unwrap(), Config::default());
}

#[test]
fn a_repetition_takes_the_record_but_not_how_it_was_shown() {
    let host = |name: &str| Host { dest: Some("/d".into()), ..Host::new(name) };
    let options = Options {
        keep: Some(9),
        retries: Some(9),
        output: Some(Output::Json),
        limit: Some("a".into()),
        ..Options::default()
    };
    let recorded = || {
        let mut inventory = Inventory::new("run r", vec![host("a"), host("b"), host("c")]);
        inventory.options = serde_json::from_str(&serde_json::to_string(&options).unwrap()).unwrap();
        inventory
    };
    let around = around(&[("MURDER_KEEP", "7"), ("MURDER_FANOUT", "7")], "", "");
    let again = |words: &str| Setup::again(&cli(words), &around, recorded(), |host| host.name != "c");
    let setup = again("retry last --retries 1").unwrap();
    assert_eq!((setup.deploy.keep, setup.deploy.retries, setup.deploy.fanout), (9, 1, 7));
    assert_eq!((setup.face.output, names(&setup).as_str()), (Output::Auto, "a b"));
    assert_eq!(names(&again("retry last -x c,a").unwrap()), "b");
    assert_eq!(again("retry last -l c").unwrap_err().exit_code(), exit::NO_HOST);
}

#[test]
fn a_demo_asks_nobody_for_hosts() {
    let fleet = Inventory::new("demo", vec![Host { dest: Some("/d".into()), ..Host::new("a") }]);
    let variables =
        [("MURDER_LIMIT", "web"), ("MURDER_HOSTS", "web1"), ("MURDER_TO", "/x"), ("MURDER_FPS", "2")];
    let cli = cli("demo --fleet 3 --rate 100mbit --batch 1");
    let Command::Demo(args) = &cli.command else { panic!("demo") };
    assert_eq!((args.fleet, args.rate, args.size, args.fail), (3, 12_500_000, 64 << 20, 0));
    let setup = Setup::demo(&cli, &around(&variables, "keep = 1\ntheme = \"dark\"", ""), fleet).unwrap();
    assert_eq!((setup.hosts[0].dest.as_deref(), setup.deploy.batch), (Some("/d"), Some(Amount::Count(1))));
    assert_eq!((setup.deploy.keep, setup.face.fps, setup.face.theme), (5, 2, Theme::Dark));
}

#[test]
fn colours_and_faces_follow_the_terminal_unless_told() {
    let face = |words: &str| nothing().face(&cli(words)).unwrap();
    let colors = |words: &str, terminal: bool, variable: (&str, &str)| {
        let (name, value) = variable;
        face(words).colors(terminal, |asked| (asked == name).then(|| value.to_owned()))
    };
    assert!(colors("runs", true, ("TERM", "xterm")));
    assert!(!colors("runs", true, ("TERM", "dumb")));
    assert!(!colors("runs", false, ("TERM", "xterm")));
    assert!(!colors("runs", true, ("NO_COLOR", "1")));
    assert!(colors("runs", true, ("NO_COLOR", "")));
    assert!(colors("runs --color always", false, ("NO_COLOR", "1")));
    assert!(!colors("runs --color never", true, ("TERM", "xterm")));
    assert_eq!(face("runs").output(true), Output::Tui);
    assert_eq!(face("runs").output(false), Output::Plain);
    assert_eq!(face("runs --output json").output(true), Output::Json);
}

#[test]
fn standard_input_is_read_only_if_asked_for() {
    let asked = Rc::new(RefCell::new(0));
    let counter = Rc::clone(&asked);
    let around = Surroundings {
        stdin: Box::new(move || {
            *counter.borrow_mut() += 1;
            Box::new("a\nb\n".as_bytes())
        }),
        ..nothing()
    };
    Setup::new(&cli("check --hosts a --to /d"), &around).unwrap();
    assert_eq!(*asked.borrow(), 0);
    assert_eq!(names(&Setup::new(&cli("check --hosts - --to /d"), &around).unwrap()), "a b");
    assert_eq!(*asked.borrow(), 1);
}

#[test]
fn paths_are_printed_for_people_and_scripts() {
    let found = crate::paths::Paths::find(|name| (name == "HOME").then(|| "/home/me".into())).unwrap();
    insta::assert_snapshot!("paths", paths(&found));
}
