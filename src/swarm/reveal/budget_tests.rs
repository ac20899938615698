use std::collections::HashMap;
use std::time::Duration;

use super::Reveal;
use crate::control::HostId;

/// Hosts that are sent what they are shown, by an uplink that passes so many pieces a second, and report it after
/// `takes` seconds more; those in `frozen` never do. How many pieces each got, and the most that were under way at once
/// in the second half.
fn feed(
    hosts: u32,
    pieces: u32,
    uplink: f64,
    takes: f64,
    frozen: &[u32],
) -> (HashMap<HostId, u32>, usize, f64) {
    let mut reveal = Reveal::new(pieces, 3);
    let mut under_way: Vec<(f64, HostId, u32)> = Vec::new();
    let mut got = HashMap::new();
    let (mut now, mut free, mut most) = (0.0_f64, 0.0_f64, 0);
    for host in (0..hosts).map(HostId) {
        reveal.join(host, false);
        got.insert(host, 0);
    }
    let mut ask: Vec<HostId> = (0..hosts).map(HostId).collect();
    while got.values().sum::<u32>() < pieces && now < 3600.0 {
        while let Some(host) = ask.pop() {
            for piece in reveal.fill(host, Duration::from_secs_f64(now)) {
                free = free.max(now) + 1.0 / uplink;
                let at = if frozen.contains(&host.0) { f64::INFINITY } else { free + takes };
                under_way.push((at, host, piece));
            }
            ask.extend(reveal.next_in_turn());
        }
        let coming = under_way.iter().filter(|(at, ..)| at.is_finite()).count();
        if got.values().sum::<u32>() > pieces / 2 {
            most = most.max(coming);
        }
        let next = (0..under_way.len()).min_by(|a, b| under_way[*a].0.total_cmp(&under_way[*b].0));
        let (at, host, piece) = match next {
            Some(next) if under_way[next].0.is_finite() => under_way.swap_remove(next),
            // Only frozen hosts have something to come: time passes until others are asked again.
            _ => {
                now += 0.5;
                ask = (0..hosts).map(HostId).collect();
                continue;
            }
        };
        now = at;
        *got.entry(host).or_default() += 1;
        reveal.have(host, piece, Duration::from_secs_f64(now));
        ask.push(host);
    }
    (got, most, now)
}

#[test]
fn hosts_take_turns_and_no_more_is_under_way_than_fills_the_uplink() {
    let (got, most, seconds) = feed(100, 512, 100.0, 0.01, &[]);
    assert!(most <= 32, "{most} pieces under way, with 200 windows");
    assert!(got.values().all(|got| *got > 0), "somebody never had a turn");
    assert!(seconds < 5.2, "{seconds} s for 5.12 s of pieces");
}

#[test]
fn more_is_under_way_where_the_hosts_and_not_the_uplink_are_slow() {
    let (_, most, seconds) = feed(100, 4096, 10_000.0, 1.0, &[]);
    assert!(most >= 180, "{most} pieces under way, the windows take 200");
    assert!(seconds < 27.0, "{seconds} s, at least 21");
}

#[test]
fn hosts_that_never_report_do_not_keep_the_others_from_being_fed() {
    let frozen: Vec<u32> = (60..100).collect();
    let (got, _, seconds) = feed(100, 512, 100.0, 0.01, &frozen);
    let fed: u32 = (0..60).map(|host| got[&HostId(host)]).sum();
    assert_eq!(fed, 512);
    assert!(seconds < 30.0, "{seconds} s");
}
