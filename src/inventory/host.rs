use std::net::{Ipv4Addr, Ipv6Addr};

use crate::text::Mistake;

/// Longest name of a host, so that a file can bear it. DNS allows 253.
const MAX_NAME: usize = 240;

/// What a host string is made of, in words for a user.
pub(super) const EXPECTED: &str = "a host like web1.example.com, deploy@web1:22 or [2001:db8::1]:22";

/// A host string taken apart: `[user@]host[:port]`, an IPv6 address in brackets if a port follows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName {
    /// Before the `@`.
    pub user: Option<String>,
    /// Name or address, without brackets.
    pub host: String,
    /// After the `:`.
    pub port: Option<u16>,
}

impl HostName {
    /// Reads a host string, in which no ranges are left.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(check_user(user)?.to_owned()), rest),
            None => (None, text),
        };
        let (host, port) = split_port(rest)?;
        let port = port.map(parse_port).transpose()?;
        Ok(Self { user, host: check_host(host)?.to_owned(), port })
    }
}

/// The name with a port, as it is written.
pub(super) fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Refuses what no account is called, and what a shell or ssh would take for something else.
pub(super) fn check_user(user: &str) -> Result<&str, Mistake> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "'`\"$;&<>|(){}*?!,".contains(c);
    if user.is_empty() {
        return Err(Mistake::new("@", "no user before the `@`").expected(EXPECTED));
    }
    if user.starts_with('-') || user.contains(odd) || user.starts_with('@') || user.ends_with('@') {
        return Err(
            Mistake::new(user, format!("`{user}` is no name of a user")).expected("an account like deploy")
        );
    }
    Ok(user)
}

/// Refuses what is neither a name nor an address.
pub(super) fn check_host(host: &str) -> Result<&str, Mistake> {
    let wrong = |headline: String| Err(Mistake::new(host, headline).expected(EXPECTED));
    if host.contains(':') {
        let address = host.split_once('%').map_or(host, |(address, _)| address);
        return match address.parse::<Ipv6Addr>() {
            Ok(_) => Ok(host),
            Err(_) => wrong(format!("`{host}` is no address")),
        };
    }
    if host.is_empty() {
        return wrong("no host".to_owned());
    }
    if let Some(odd) = host.chars().find(|c| !c.is_ascii_alphanumeric() && !".-_".contains(*c)) {
        let shown = odd.escape_debug();
        let mistake = Mistake::new(odd, format!("`{shown}` in the name of a host")).expected(EXPECTED);
        return Err(if odd.is_whitespace() || ",;".contains(odd) {
            mistake.help("one host or range an entry")
        } else if odd.is_alphanumeric() {
            mistake.help("international names are written in their ASCII form, `xn--…`")
        } else {
            mistake
        });
    }
    if host.starts_with(['-', '.']) || host.len() > MAX_NAME {
        return wrong(format!("`{host}` is no name of a host"));
    }
    // YAML takes an unquoted `[01-20]` for a list of the one word `01-20`.
    if host.contains('-') && host.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return wrong(format!("`{host}` is a range without its brackets"));
    }
    let parts: Vec<&str> = host.split('.').collect();
    let all_numbers = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if parts.len() == 4 && all_numbers && host.parse::<Ipv4Addr>().is_err() {
        return wrong(format!("`{host}` is no address"));
    }
    Ok(host)
}

/// A TCP port.
pub(super) fn parse_port(text: &str) -> Result<u16, Mistake> {
    let number = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
    number.filter(|port| *port > 0).ok_or_else(|| {
        let text = if text.is_empty() { ":" } else { text };
        Mistake::new(text, format!("`{text}` is no port")).expected("a port from 1 to 65535")
    })
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), Mistake> {
    if let Some(inner) = text.strip_prefix('[') {
        let Some((address, after)) = inner.split_once(']') else {
            return Err(Mistake::new(text, "an address is not closed").expected("`]`"));
        };
        return match after.strip_prefix(':') {
            _ if !address.contains(':') => {
                Err(Mistake::new(address, format!("`{address}` is no IPv6 address")).expected(EXPECTED))
            }
            Some(port) => Ok((address, Some(port))),
            None if after.is_empty() => Ok((address, None)),
            None => {
                Err(Mistake::new(after, format!("`{after}` after an address")).expected("`:` and a port"))
            }
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => Ok((host, Some(port))),
        Some(_) if text.parse::<Ipv6Addr>().is_err() && !text.contains('%') => {
            let help = "an IPv6 address with a port is written [2001:db8::1]:22";
            Err(Mistake::new(text, format!("`{text}` is no host")).expected(EXPECTED).help(help))
        }
        _ => Ok((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_strings_are_taken_apart() {
        for (text, user, host, port) in [
            ("web1", None, "web1", None),
            ("web1:2222", None, "web1", Some(2222)),
            ("root@web1.example.com.", Some("root"), "web1.example.com.", None),
            ("me@corp.example@web_1:22", Some("me@corp.example"), "web_1", Some(22)),
            ("192.0.2.1:22", None, "192.0.2.1", Some(22)),
            ("2001:db8::1", None, "2001:db8::1", None),
            ("[2001:db8::1]", None, "2001:db8::1", None),
            ("u@[fe80::1%eth0]:2222", Some("u"), "fe80::1%eth0", Some(2222)),
            ("fe80::1%eth0", None, "fe80::1%eth0", None),
        ] {
            let read = HostName::parse(text).unwrap();
            assert_eq!((read.user.as_deref(), read.host.as_str(), read.port), (user, host, port), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for (text, part) in [
            ("", ""),
            ("@web1", "@"),
            ("a b@web1", "a b"),
            ("-oProxyCommand=x@web1", "-oProxyCommand=x"),
            ("-oProxyCommand=x", "="),
            ("-web1", "-web1"),
            ("..", ".."),
            ("01-20", "01-20"),
            ("a@@b", "a@"),
            ("web1:", ":"),
            ("web1:0", "0"),
            ("web1:70000", "70000"),
            ("web1:+22", "+22"),
            ("web/1", "/"),
            ("web1 web2", " "),
            ("wéb", "é"),
            ("10.0.0.256", "10.0.0.256"),
            ("2001:db8::1:22:x", "2001:db8::1:22:x"),
            ("[2001:db8::1", "[2001:db8::1"),
            ("[web1]:22", "web1"),
            ("[::1]22", "22"),
            ("[::x]:22", "::x"),
        ] {
            assert_eq!(HostName::parse(text).unwrap_err().text(), part, "{text}");
        }
    }
}
