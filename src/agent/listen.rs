use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

/// How many ports are tried when any will do: one that is free on loopback may be taken on another address.
const TRIES: usize = 20;

/// Where the agent listens.
pub(super) struct Listening {
    /// On loopback and at each address that could be used, all on one port.
    pub(super) listeners: Vec<TcpListener>,
    /// The port.
    pub(super) port: u16,
    /// Where other hosts may dial, best first.
    pub(super) addresses: Vec<IpAddr>,
}

/// Where others reach this host, and where it listens for that; the two differ behind address translation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reach {
    announced: Vec<IpAddr>,
    bound: Vec<IpAddr>,
}

/// The inventory's address or net, else the address where sshd was reached, else those of the interfaces.
///
/// `ssh` is what sshd left in SSH_CONNECTION, `own` the addresses of this machine's interfaces.
pub(super) fn reach(swarm: Option<&str>, ssh: Option<&str>, own: &[IpAddr]) -> Result<Reach, String> {
    let ssh = ssh.and_then(server_address);
    let otherwise = || ssh.map_or_else(|| own.to_vec(), |address| vec![address]);
    let Some(swarm) = swarm else {
        let addresses = otherwise();
        return Ok(Reach { announced: addresses.clone(), bound: addresses });
    };
    if let Ok(address) = swarm.parse::<IpAddr>() {
        let is_own = own.contains(&address) || ssh == Some(address);
        let bound = if is_own || address.is_loopback() { vec![address] } else { otherwise() };
        return Ok(Reach { announced: vec![address], bound });
    }
    let net = Net::parse(swarm).ok_or_else(|| format!("swarm: {swarm:?} is neither an address nor a net"))?;
    let inside: Vec<IpAddr> =
        own.iter().chain(&ssh).copied().filter(|address| net.contains(*address)).collect();
    if inside.is_empty() {
        return Err(format!("swarm: no address of this host lies in {swarm}"));
    }
    Ok(Reach { announced: inside.clone(), bound: inside })
}

/// Listens on loopback and wherever others reach this host, on one port of the range.
pub(super) async fn listen(reach: &Reach, ports: Option<(u16, u16)>) -> io::Result<Listening> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    let candidates: Vec<u16> = match ports {
        None => vec![0; TRIES],
        Some((first, last)) => {
            let mut ports: Vec<u16> = (first..=last).collect();
            // Hosts that share an address, as in tests, would else fight for the first one.
            fastrand::shuffle(&mut ports);
            ports
        }
    };
    for port in candidates {
        match listen_at(reach, port).await {
            Ok(listening) => return Ok(listening),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn listen_at(reach: &Reach, port: u16) -> io::Result<Listening> {
    let loopback = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = loopback.local_addr()?.port();
    let mut listeners = vec![loopback];
    let mut unreachable = Vec::new();
    for address in &reach.bound {
        if *address == IpAddr::V4(Ipv4Addr::LOCALHOST) {
            continue;
        }
        match TcpListener::bind(SocketAddr::new(*address, port)).await {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            // It may have gone since it was asked for; the others are enough.
            Err(_) => unreachable.push(*address),
        }
    }
    let addresses =
        reach.announced.iter().copied().filter(|address| !unreachable.contains(address)).collect();
    Ok(Listening { listeners, port, addresses })
}

/// Third field of SSH_CONNECTION. Link-local addresses mean nothing to other hosts.
fn server_address(ssh_connection: &str) -> Option<IpAddr> {
    let field = ssh_connection.split_ascii_whitespace().nth(2)?;
    let bare = field.split_once('%').map_or(field, |(address, _)| address);
    let address = bare.parse::<IpAddr>().ok()?.to_canonical();
    let usable = match address {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_unicast_link_local(),
    };
    usable.then_some(address)
}

/// Addresses of this machine's interfaces, loopback and link-local ones left out; empty where `/proc` does not tell.
pub(super) fn own_addresses() -> Vec<IpAddr> {
    let v4 = fs::read_to_string("/proc/net/fib_trie").map(|table| local_v4(&table)).unwrap_or_default();
    let v6 = fs::read_to_string("/proc/net/if_inet6").map(|table| global_v6(&table)).unwrap_or_default();
    v4.into_iter().map(IpAddr::from).chain(v6.into_iter().map(IpAddr::from)).collect()
}

/// Local addresses of a routing table: lines `|-- ADDRESS`, each followed by `/32 host LOCAL` if it is one.
fn local_v4(table: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            let address = last.filter(|address| !address.is_loopback() && !address.is_link_local());
            found.extend(address.filter(|address| !found.contains(address)));
        }
    }
    found
}

/// Addresses of global scope: `HEX INDEX PREFIX SCOPE FLAGS NAME`, scope 0.
fn global_v6(table: &str) -> Vec<Ipv6Addr> {
    const TENTATIVE_OR_DEPRECATED: u32 = 0x40 | 0x20 | 0x08;
    let address = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [hex, _, _, "00", flags, ..] = fields.as_slice() else { return None };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let bits = u128::from_str_radix(hex, 16).ok()?;
        (flags & TENTATIVE_OR_DEPRECATED == 0).then(|| Ipv6Addr::from(bits))
    };
    table.lines().filter_map(address).collect()
}

/// Addresses with a common start.
struct Net {
    start: IpAddr,
    bits: u32,
}

impl Net {
    fn parse(text: &str) -> Option<Self> {
        let (start, bits) = text.split_once('/')?;
        let (start, bits) = (start.parse::<IpAddr>().ok()?, bits.parse().ok()?);
        (bits <= if start.is_ipv4() { 32 } else { 128 }).then_some(Self { start, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.start, address) {
            (IpAddr::V4(start), IpAddr::V4(address)) => {
                (start.to_bits() ^ address.to_bits()).checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(start), IpAddr::V6(address)) => {
                (start.to_bits() ^ address.to_bits()).checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_inventory_comes_first_then_ssh_then_the_interfaces() {
        let own = ips(&["10.1.2.3", "192.0.2.7", "2001:db8::7"]);
        let ssh = Some("198.51.100.1 50000 192.0.2.7 22");
        type Case<'a> = (Option<&'a str>, Option<&'a str>, &'a [&'a str], &'a [&'a str]);
        let cases: [Case<'_>; 11] = [
            (None, ssh, &["192.0.2.7"], &["192.0.2.7"]),
            (None, Some("127.0.0.1 1 127.0.0.1 2"), &["127.0.0.1"], &["127.0.0.1"]),
            (None, Some("::ffff:1.2.3.4 1 ::ffff:192.0.2.7 22"), &["192.0.2.7"], &["192.0.2.7"]),
            (
                None,
                Some("fe80::1%eth0 1 fe80::2%eth0 22"),
                &["10.1.2.3", "192.0.2.7", "2001:db8::7"],
                &["10.1.2.3", "192.0.2.7", "2001:db8::7"],
            ),
            (
                None,
                None,
                &["10.1.2.3", "192.0.2.7", "2001:db8::7"],
                &["10.1.2.3", "192.0.2.7", "2001:db8::7"],
            ),
            (
                None,
                Some("broken"),
                &["10.1.2.3", "192.0.2.7", "2001:db8::7"],
                &["10.1.2.3", "192.0.2.7", "2001:db8::7"],
            ),
            (Some("10.1.2.3"), ssh, &["10.1.2.3"], &["10.1.2.3"]),
            (Some("10.0.0.0/8"), ssh, &["10.1.2.3"], &["10.1.2.3"]),
            (Some("2001:db8::/32"), ssh, &["2001:db8::7"], &["2001:db8::7"]),
            (Some("0.0.0.0/0"), None, &["10.1.2.3", "192.0.2.7"], &["10.1.2.3", "192.0.2.7"]),
            // Behind address translation: others dial what is no address of this host.
            (Some("203.0.113.5"), ssh, &["203.0.113.5"], &["192.0.2.7"]),
        ];
        for (swarm, ssh, announced, bound) in cases {
            let expected = Reach { announced: ips(announced), bound: ips(bound) };
            assert_eq!(reach(swarm, ssh, &own), Ok(expected), "{swarm:?} {ssh:?}");
        }
        for wrong in ["172.16.0.0/12", "10.0.0.0/33", "eth0", "", "10.0.0.0/"] {
            assert!(reach(Some(wrong), None, &own).is_err(), "{wrong}");
        }
    }

    #[test]
    fn interfaces_are_read_from_proc() {
        let v4 = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.0.2.0\n        \
            /24 link UNICAST\n     |-- 192.0.2.2\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n";
        assert_eq!(local_v4(&v4.repeat(2)), ["192.0.2.2".parse::<Ipv4Addr>().unwrap()]);
        let v6 = "00000000000000000000000000000001 01 80 10 80       lo\n\
            fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n\
            20010db8000000000000000000000002 04 40 00 80     eth0\n\
            20010db8000000000000000000000003 04 40 00 60     eth0\n";
        assert_eq!(global_v6(v6), ["2001:db8::2".parse::<Ipv6Addr>().unwrap()]);
    }

    #[tokio::test]
    async fn loopback_and_address_share_a_port_of_the_range() {
        let reach = Reach { announced: ips(&["127.0.0.2"]), bound: ips(&["127.0.0.2", "192.0.2.200"]) };
        let any = listen(&reach, None).await.unwrap();
        let bound: Vec<_> = any.listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let expected = ["127.0.0.1", "127.0.0.2"].map(|ip| SocketAddr::new(ip.parse().unwrap(), any.port));
        assert_eq!(bound, expected);
        assert_eq!(any.addresses, ips(&["127.0.0.2"]));
        let taken = listen(&reach, Some((any.port, any.port))).await;
        assert_eq!(taken.err().unwrap().kind(), io::ErrorKind::AddrInUse);
    }
}
