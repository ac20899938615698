use std::collections::BTreeMap;

/// Hosts that share a rack.
const RACK: usize = 8;

/// What a made-up host is called and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MadeHost {
    pub(super) name: String,
    pub(super) group: &'static str,
    pub(super) rack: String,
    pub(super) labels: BTreeMap<String, String>,
}

/// `count` hosts as a small company would have them: half web, the rest api, worker and db, spread over racks of eight.
pub(super) fn make_up(count: usize) -> Vec<MadeHost> {
    let racks = count.div_ceil(RACK);
    let shares = [("web", count.div_ceil(2)), ("api", count / 4), ("worker", count / 6)];
    let named: usize = shares.iter().map(|(_, share)| share).sum();
    let mut made = Vec::with_capacity(count);
    for (group, share) in shares.into_iter().chain([("db", count.saturating_sub(named))]) {
        let width = share.to_string().len().max(2);
        for number in 1..=share {
            let rack = made.len() % racks + 1;
            let ring = if number == 1 { "canary" } else { "main" };
            let zone = if rack % 2 == 1 { "a" } else { "b" };
            made.push(MadeHost {
                name: format!("{group}-{number:0width$}"),
                group,
                rack: format!("r{rack}"),
                labels: [("ring", ring), ("zone", zone)].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            });
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_host_has_a_name_of_its_own_and_a_rack_with_others() {
        for count in 1..=256 {
            let made = make_up(count);
            assert_eq!(made.len(), count);
            assert_eq!(made.iter().map(|host| &host.name).collect::<BTreeSet<_>>().len(), count);
            for rack in made.iter().map(|host| &host.rack) {
                assert!(made.iter().filter(|host| host.rack == *rack).count() <= RACK);
            }
        }
    }

    #[test]
    fn the_default_fleet_shows_groups_racks_and_labels() {
        let made = make_up(24);
        let group = |name| made.iter().filter(|host| host.group == name).count();
        assert_eq!((group("web"), group("api"), group("worker"), group("db")), (12, 6, 4, 2));
        assert_eq!(made.iter().map(|host| host.rack.as_str()).collect::<BTreeSet<_>>().len(), 3);
        assert_eq!(made.iter().filter(|host| host.labels["ring"] == "canary").count(), 4);
        assert_eq!(made[0].name, "web-01");
    }
}
