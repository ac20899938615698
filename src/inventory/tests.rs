use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;

/// Names, in order.
fn names(inventory: &Inventory) -> String {
    inventory.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(" ")
}

fn yaml(text: &str) -> Inventory {
    Inventory::parse("hosts.yaml", text).unwrap_or_else(|error| panic!("{error}"))
}

fn host<'a>(inventory: &'a Inventory, name: &str) -> &'a Host {
    inventory.hosts.iter().find(|host| host.name == name).unwrap()
}

#[test]
fn every_form_of_a_list_gives_the_same_hosts() {
    let wanted = "web01 web02 db1";
    for (source, text) in [
        ("hosts.yaml", "- web[01-02]\n- db1\n"),
        ("hosts.yaml", "[\"web[01-02]\", db1]"),
        ("hosts.yml", "hosts: [web01, web02, db1]"),
        ("hosts.yaml", "groups:\n  web: web[01-02]\n  db: [db1]"),
        ("hosts.yaml", "groups:\n  web:\n    hosts:\n    - host: web[01-02]\n  none:\nhosts: db1"),
        ("hosts.json", r#"{"hosts": ["web[01-02]", {"host": "db1"}]}"#),
        ("hosts.txt", "# fleet\n\nweb[01-02]   # two\n  db1\n"),
        ("hosts.txt", "web[01-02]\r\ndb1\r\n"),
        ("hosts.yaml", "\u{feff}- web[01-02]\n- db1\n"),
        ("hosts", "web[01-02]\ndb1"),
        ("hosts", "# comment\n- web[01-02]\n- db1"),
        ("standard input", "hosts: [web01, web02, db1]"),
        ("standard input", "---\nhosts:\n  [web01, web02,\n  db1]"),
        ("standard input", "[web01,\n web02, db1]"),
    ] {
        let inventory = Inventory::parse(source, text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(names(&inventory), wanted, "{source}: {text:?}");
        assert_eq!(inventory.source, source);
    }
    for list in ["web[01-02],db1", "web01, web02 db1", " web[01,02],,db1,"] {
        assert_eq!(names(&Inventory::from_hosts(list).unwrap()), wanted, "{list}");
    }
    assert_eq!(names(&Inventory::from_reader("web[01-02]\ndb1".as_bytes()).unwrap()), wanted);
}

#[test]
fn lines_that_look_a_little_like_yaml_are_hosts() {
    for (text, wanted) in [
        ("web1:2222", "web1"),
        ("[1-2].example.com", "1.example.com 2.example.com"),
        ("[2001:db8::1]:22", "2001:db8::1"),
        ("[::1]", "::1"),
        ("root@web1", "web1"),
        ("", ""),
        ("# nothing", ""),
    ] {
        let inventory =
            Inventory::parse("standard input", text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(names(&inventory), wanted, "{text}");
    }
    for text in ["", "# nothing\n", "hosts:\n", "groups:\n", "[]", "defaults:\nhooks:\noptions:\n"] {
        assert_eq!(names(&yaml(text)), "", "{text:?}");
    }
}

#[test]
fn every_field_of_a_host_is_read() {
    let inventory = yaml(
        "
- host: web21.example.com
  address: 192.0.2.21
  port: 2222
  user: root
  identity: ~/.ssh/id_web
  jump: [bastion.example.com, ops@far:2022]
  swarm: 10.0.0.0/8
  rack: r2
  rate: 50M
  become: sudo
  ssh_config: none
  transport: openssh
  dest: /srv/app
  labels: {ring: canary, version: 1.10, old: yes}
",
    );
    let text = |text: &str| Some(text.to_owned());
    let labels = [("ring", "canary"), ("version", "1.10"), ("old", "yes")];
    let wanted = Host {
        name: "web21.example.com".into(),
        address: text("192.0.2.21"),
        port: Some(2222),
        user: text("root"),
        identity: vec!["~/.ssh/id_web".into()],
        jump: vec!["bastion.example.com".into(), "ops@far:2022".into()],
        swarm: text("10.0.0.0/8"),
        rack: text("r2"),
        rate: Some(50 << 20),
        become_sudo: true,
        ssh_config: false,
        transport: Transport::Openssh,
        dest: text("/srv/app"),
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        groups: vec![],
    };
    assert_eq!(inventory.hosts, [wanted]);
}

#[test]
fn a_host_wins_over_its_groups_and_they_win_over_the_defaults() {
    let inventory = yaml(
        "
groups:
  web:
    rack: r1
    user: web
    labels: {ring: late, tier: front}
    hosts:
      - web[1-2]
      - {host: web3, rack: r3, labels: {ring: canary}, become: none}
  canary:
    rack: r9
    rate: 1M
    hosts: [web1, root@web2]
defaults: {user: deploy, rack: r0, port: 2200, become: sudo, labels: {tier: all, env: prod}}
hosts: [db1]
",
    );
    let show = |name: &str| {
        let host = host(&inventory, name);
        let labels: Vec<String> =
            host.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        let (user, rack) = (host.user.as_deref().unwrap(), host.rack.as_deref().unwrap());
        format!(
            "{user} {rack} {:?} {} {} {:?}",
            host.rate,
            labels.join(","),
            host.groups.join(","),
            host.become_sudo
        )
    };
    assert_eq!(names(&inventory), "web1 web2 web3 db1");
    assert_eq!(show("web1"), "web r1 Some(1048576) env=prod,ring=late,tier=front web,canary true");
    assert_eq!(show("web2"), "root r1 Some(1048576) env=prod,ring=late,tier=front web,canary true");
    assert_eq!(show("web3"), "web r3 None env=prod,ring=canary,tier=front web false");
    assert_eq!(show("db1"), "deploy r0 None env=prod,tier=all  true");
    assert!(inventory.hosts.iter().all(|host| host.port == Some(2200)));
}

#[test]
fn a_host_twice_is_one_host_in_first_place() {
    for (list, wanted) in [
        ("b,a,b", "b a"),
        ("web[1-3],web2,web[3-4]", "web1 web2 web3 web4"),
        ("root@a,a:22,a", "a"),
        ("a:22,a:2222,a", "a:22 a:2222"),
        ("127.0.0.1:2201,127.0.0.1:2202", "127.0.0.1:2201 127.0.0.1:2202"),
        ("[::1]:1,[::1]:2", "[::1]:1 [::1]:2"),
    ] {
        assert_eq!(names(&Inventory::from_hosts(list).unwrap()), wanted, "{list}");
    }
    let one = Inventory::from_hosts("root@a,a:22,deploy@a").unwrap();
    assert_eq!((one.hosts[0].user.as_deref(), one.hosts[0].port), (Some("root"), Some(22)));
    let two = Inventory::from_hosts("[::1]:1,[::1]:2").unwrap();
    assert_eq!((two.hosts[1].address.as_deref(), two.hosts[1].port), (Some("::1"), Some(2)));
}

#[test]
fn addresses_go_along_with_the_names() {
    let inventory =
        yaml("- {host: \"web[08-10]:22\", address: \"10.0.0.[8-10]\", swarm: \"192.168.0.[8-10]\"}");
    let got: Vec<_> =
        inventory.hosts.iter().map(|h| (h.name.as_str(), h.address.as_deref(), h.swarm.as_deref())).collect();
    assert_eq!(got[2], ("web10", Some("10.0.0.10"), Some("192.168.0.10")));
    assert_eq!(got.len(), 3);
}

#[test]
fn hooks_and_options_are_read() {
    let inventory = yaml(
        "
hooks:
  before_activate: ./bin/check
  after_activate: |
    one
    two
  on_after_failure: rollback
  timeout: 30s
options:
  {tag: 2024.10, to: /srv, link: live, no_activate: true, hold: no, batch: 25%, keep: 0, retries: 3, max_fail: 0,
   quorum: 90%, canary: ring=canary, no_hooks: false, fanout: 64, rate: 100mbit, seed_rate: 4M, ports: 7000-7100,
   connect_timeout: 5s, stall_timeout: 1m30s, unpack: always, ignore: [\"*.log\"], host_keys: accept-new, dry_run: false,
   report: out.html, open_swarm: a.torrent, open_port: 6969, limit: web, exclude: db, output: plain, color: never,
   theme: mono, notify: none, ascii: true, fps: 4, yes: true, verbose: 2}
",
    );
    assert_eq!(
        inventory.hooks,
        Hooks {
            before_activate: Some("./bin/check".into()),
            after_activate: Some("one\ntwo\n".into()),
            on_after_failure: AfterFailure::Rollback,
            timeout: Duration::from_secs(30),
        }
    );
    let written = serde_json::to_value(&inventory.options).unwrap();
    let missing: Vec<_> = Options::KEYS.iter().filter(|key| written.get(**key).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} should be set by this test");
    let options = &inventory.options;
    assert_eq!(options.tag.as_deref(), Some("2024.10"), "a tag stays as it is written");
    assert_eq!(options.batch, Some(Amount::Percent(25)));
    assert_eq!(options.canary, Some(Canary::Hosts("ring=canary".into())));
    assert_eq!((options.hold, options.keep, options.rate), (Some(false), Some(0), Some(12_500_000)));
    assert_eq!(options.stall_timeout, Some(Duration::from_secs(90)));
    assert_eq!(serde_json::from_value::<Options>(written).unwrap(), *options);
}

#[test]
fn a_source_of_options_is_asked_only_for_what_those_above_leave_open() {
    let above = Options { keep: Some(1), ..Options::default() };
    let below =
        Options { keep: Some(2), retries: Some(3), ignore: Some(vec!["x".into()]), ..Options::default() };
    let both = above.or(below.clone());
    assert_eq!(both, Options { keep: Some(1), ..below });
}

#[test]
fn hosts_of_the_command_line_take_what_the_inventory_says_of_them() {
    let inventory =
        yaml("{defaults: {user: deploy, dest: /srv}, hosts: [{host: web1, port: 2222, rack: r1}, web2]}");
    let named = Inventory::from_hosts("new1:22,root@web1").unwrap();
    let narrowed = inventory.narrowed_to(named);
    assert_eq!(names(&narrowed), "new1 web1");
    let [new, web] = narrowed.hosts.as_slice() else { panic!("two hosts") };
    assert_eq!(
        (new.user.as_deref(), new.port, new.dest.as_deref()),
        (Some("deploy"), Some(22), Some("/srv"))
    );
    assert_eq!((web.user.as_deref(), web.port, web.rack.as_deref()), (Some("root"), Some(2222), Some("r1")));
    assert_eq!(narrowed.source, "--hosts, hosts.yaml");
}

#[test]
fn the_example_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts.yaml.example");
    let text = fs::read_to_string(path).unwrap();
    let inventory = yaml(&text);
    assert_eq!(inventory.hosts.len(), 20 + 7 + 1 + 4 + 4 + 1);
    assert_eq!(host(&inventory, "web30.example.com").groups, ["web", "lab"]);
    assert_eq!(host(&inventory, "lab3").address.as_deref(), Some("198.51.100.13"));
    let hosts: Vec<&str> = inventory.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(
        fold(&hosts),
        "web[01-21,23,25-30].example.com db[1-3].example.com 2001:db8::1 lab[1-4] backup.example.com"
    );
}

#[test]
fn ten_thousand_hosts_are_read_one_by_one_or_as_a_range() {
    let lines: String =
        (0..10_000).map(|n| format!("- host: web{n:05}.example.com\n  rack: r{}\n", n / 40)).collect();
    let listed = yaml(&lines);
    let range = Inventory::from_hosts("web[00000-09999].example.com").unwrap();
    assert_eq!((listed.hosts.len(), range.hosts.len()), (10_000, 10_000));
    let ports =
        Inventory::from_hosts(&(10_000..20_000).map(|p| format!("h:{p},")).collect::<String>()).unwrap();
    assert_eq!(ports.hosts.len(), 10_000);
    let half = select(&listed.hosts, Some("web[00000-04999].example.com"), Some("rack=r1")).unwrap();
    assert_eq!(half.len(), 4960);
}

#[test]
fn selection_keeps_the_order_and_refuses_unknown_names() {
    let inventory =
        yaml("{groups: {web: [\"web[1-3]\"], db: [db1]}, hosts: [{host: x1, labels: {ring: canary}}]}");
    let selected = |limit: Option<&str>, exclude: Option<&str>| {
        let hosts = select(&inventory.hosts, limit, exclude)?;
        Ok::<_, SelectError>(hosts.into_iter().map(|host| host.name).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(selected(None, None).unwrap(), "web1 web2 web3 db1 x1");
    assert_eq!(selected(Some("db,web[1-2]"), None).unwrap(), "web1 web2 db1");
    assert_eq!(selected(Some("web"), Some("web2")).unwrap(), "web1 web3");
    assert_eq!(selected(Some("web"), Some("*")).unwrap(), "");
    assert_eq!(selected(Some("q*"), None).unwrap(), "");
    assert_eq!(selected(Some("ring=late"), None).unwrap(), "");
    insta::assert_snapshot!("unknown_host", selected(Some("web,wbe1"), None).unwrap_err());
    insta::assert_snapshot!("unknown_label", selected(None, Some("rng=canary")).unwrap_err());
    insta::assert_snapshot!("wrong_expression", selected(Some("web & (db"), None).unwrap_err());
}

#[test]
fn every_mistake_is_shown_at_its_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/invalid");
    let mut seen = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let error = Inventory::parse(&file, &text).map(|i| names(&i)).expect_err(&file).to_string();
        assert!(error.starts_with(&format!("{file}:")), "{error}");
        seen.insert(file, error);
    }
    let all: String = seen.values().map(|error| format!("{error}\n\n")).collect();
    insta::assert_snapshot!("invalid", all);
}

#[test]
fn mistakes_outside_of_yaml_are_shown_at_their_place() {
    let mut all = String::new();
    for list in ["web1,web[3-1],db", "web1,we b!", "a@@b"] {
        all += &format!("{}\n\n", Inventory::from_hosts(list).unwrap_err());
    }
    for text in ["web1\nweb2 web3 # no\n", "web1\n\tweb[1-\n", "[web]\nweb1\n"] {
        all += &format!("{}\n\n", Inventory::parse("hosts.txt", text).unwrap_err());
    }
    all += &format!("{}\n\n", Inventory::from_reader(&b"web1\nw\xffb\n"[..]).unwrap_err());
    all += &format!("{}\n", Inventory::load(Path::new("missing/hosts.yaml")).unwrap_err());
    insta::assert_snapshot!("invalid_text", all);
}

#[test]
fn a_quoted_range_in_a_list_is_no_mistake() {
    assert_eq!(names(&yaml("{groups: {web: [\"web[1-2]\", 'db[3,4]']}}")), "web1 web2 db3 db4");
}

proptest::proptest! {
    #[test]
    fn no_text_whatever_makes_a_reader_fall_over(
        text in "([a-z0-9@%=.(]{0,3}[:\\-\\[\\]{},'\"#&*!|<~ \n\t]{1,2}(hosts: |groups: |[\\[] |\n- )?){0,12}"
    ) {
        for source in ["hosts.yaml", "hosts.txt", "standard input"] {
            if let Err(error) = Inventory::parse(source, &text) {
                proptest::prop_assert!(error.to_string().starts_with(source), "{}", error);
            }
        }
        drop(Inventory::from_hosts(&text));
        drop(Expr::parse(&text));
    }
}

#[test]
fn what_two_groups_say_differently_of_a_host_is_told_with_both_and_with_what_is_used() {
    let inventory = yaml(
        "
groups:
  web: {user: deploy, rack: r1, labels: {ring: late}, hosts: [\"web[1-3]\", {host: web4, user: me}]}
  canary: {user: root, rack: r1, labels: {ring: early}, hosts: [\"web[1-2]\", web4]}
  odd: [root@web3, {host: web4, user: you, port: 22}]
",
    );
    assert_eq!(host(&inventory, "web1").user.as_deref(), Some("deploy"));
    let ring = "late by group web, early by group canary; late is used, being the first";
    assert_eq!(
        inventory.warnings(&inventory.hosts),
        [
            format!("the inventory contradicts itself about `label ring` of web[1-2,4]: {ring}"),
            "the inventory contradicts itself about `user` of web[1-2]: deploy by group web, root by group canary; \
             deploy is used, being the first"
                .to_owned(),
            "the inventory contradicts itself about `user` of web4: me by its entry in group web, you by its entry in \
             group odd; me is used, being the first"
                .to_owned(),
        ]
    );
    let chosen = |name: &str| vec![host(&inventory, name).clone()];
    assert!(inventory.warnings(&chosen("web3")).is_empty(), "its own user wins over both groups");
    let told = Host { user: Some("ops".into()), ..host(&inventory, "web1").clone() };
    assert_eq!(inventory.warnings(&[told]).len(), 1, "the command line says the user");
}
