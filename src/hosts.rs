//! Lists of hosts, as in the settings.

use crate::address::Address;
use std::net::{IpAddr, Ipv4Addr};

/// True if a URL's host is in the list. `host` and `*.host` stand for https on its default port, `*` for any name that
/// is not of an internal network; `host:port` also allows http, by which a local stack is reached. A URL with a user or
/// a password is in no list.
pub fn is_listed(hosts: &[String], url: &Address) -> bool {
    let host = url.host().to_ascii_lowercase();
    let with_port = with_port(url);
    let listed = |entry: &String| match (url.scheme(), entry.strip_prefix('*')) {
        ("http", _) => *entry == with_port,
        ("https", Some("")) => is_public(url),
        ("https", Some(parent)) => {
            url.port().is_none() && parent.starts_with('.') && host.len() > parent.len() && host.ends_with(parent)
        }
        ("https", None) => *entry == with_port || (url.port().is_none() && *entry == host),
        _ => false,
    };
    !url.carries_user() && hosts.iter().any(listed)
}

/// `host:port`, also for messages.
pub fn with_port(url: &Address) -> String {
    format!("{}:{}", url.host().to_ascii_lowercase(), url.port_or_own())
}

/// True for an https URL on its own port whose host is a public name.
pub fn is_public(url: &Address) -> bool {
    url.scheme() == "https" && url.port().is_none() && !url.carries_user() && is_public_name(url)
}

/// True for the number of a host that can be reached from anywhere; not for those of internal networks, which may also
/// lie in an IPv6 address that stands for one of IPv4.
pub fn is_public_number(address: &str) -> bool {
    match address.parse() {
        Ok(IpAddr::V4(address)) => is_public_v4(address),
        Ok(IpAddr::V6(address)) => match address.segments() {
            // Mapped, and translated by NAT64.
            [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
                let [.., a, b, c, d] = address.octets();
                is_public_v4(Ipv4Addr::new(a, b, c, d))
            }
            // 2001::/23, documentation, 6to4; then all that is global.
            [0x2001, 0..0x200 | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..0x1000, ..] => false,
            [first, ..] => first & 0xe000 == 0x2000,
        },
        Err(_) => false,
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127 | 224.., ..]
            | [100, 64..128, ..]
            | [169, 254, ..]
            | [172, 16..32, ..]
            | [192, 168, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

/// False for IP addresses, names without a dot and names under a suffix that no public name has: they lead to an
/// internal network.
fn is_public_name(url: &Address) -> bool {
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let inside = [
        "localhost",
        "localdomain",
        "local",
        "internal",
        "intranet",
        "private",
        "corp",
        "home",
        "lan",
        "arpa",
        "test",
        "invalid",
        "onion",
    ];
    url.host().rsplit_once('.').is_some_and(|(_, last)| !is_number(last) && !inside.contains(&last))
}

/// Reads a comma-separated list of hosts into lower case. Returns `None` if an entry is not a host, for example a URL.
pub fn read(text: &str) -> Option<Vec<String>> {
    let entries = text.split(',').map(|host| host.trim().to_ascii_lowercase());
    let hosts: Vec<String> = entries.filter(|host| !host.is_empty()).collect();
    let is_host = |host: &String| !host.contains(['/', '@', '?', '#', ' ']);
    hosts.iter().all(is_host).then_some(hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_hosts_are_asked() {
        let hosts = read("replicate.delivery, *.Replicate.delivery,127.0.0.1:9,").unwrap();
        for no_host in ["https://replicate.delivery", "replicate.delivery/a", "user@replicate.delivery", "a b"] {
            assert_eq!(read(no_host), None, "{no_host}");
        }
        let table = [
            ("https://replicate.delivery/a.png", true),
            ("https://pbxt.replicate.delivery/a.png", true),
            ("https://PBXT.Replicate.Delivery./a.png", false),
            ("https://REPLICATE.delivery/a.png", true),
            ("http://127.0.0.1:9/a.png", true),
            ("http://replicate.delivery/a.png", false),
            ("https://replicate.delivery:8443/a.png", false),
            ("https://evilreplicate.delivery/a.png", false),
            ("https://replicate.delivery.evil.com/a.png", false),
            ("https://replicate.delivery@evil.com/a.png", false),
            ("https://user@replicate.delivery/a.png", false),
            ("https://evil.com/replicate.delivery", false),
            ("http://127.0.0.1/a.png", false),
            ("http://127.0.0.1:10/a.png", false),
            ("http://[::1]:9/a.png", false),
            ("file:///etc/passwd", false),
            ("javascript:alert(1)", false),
        ];
        for (url, expected) in table {
            assert_eq!(is_listed(&hosts, &Address::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn numbers_of_internal_networks_are_known() {
        let public = ["8.8.8.8", "100.63.255.255", "172.32.0.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"];
        for address in public {
            assert!(is_public_number(address), "{address}");
        }
        let inside = [
            "",
            "a",
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.9.9",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.0.1",
            "198.19.1.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::a00:1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "3fff::1",
            "100::1",
            "5f00::1",
        ];
        for address in inside {
            assert!(!is_public_number(address), "{address}");
        }
    }

    #[test]
    fn any_host_is_any_public_name() {
        let table = [
            ("https://example.com/a.png", true),
            ("https://cdn.example.co.uk/a.png", true),
            ("http://example.com/a.png", false),
            ("https://example.com:8443/a.png", false),
            ("https://localhost/a.png", false),
            ("https://intranet/a.png", false),
            ("https://printer.local/a.png", false),
            ("https://metadata.google.internal/a", false),
            ("https://example.com./a.png", false),
            ("https://127.0.0.1/a.png", false),
            ("https://2130706433/a.png", false),
            ("https://0x7f.1/a.png", false),
            ("https://169.254.169.254/latest", false),
            ("https://10.0.0.1/a.png", false),
            ("https://8.8.8.8/a.png", false),
            ("https://[::1]/a.png", false),
            ("https://[fd00::1]/a.png", false),
        ];
        for (url, expected) in table {
            assert_eq!(is_listed(&read("*").unwrap(), &Address::parse(url).unwrap()), expected, "{url}");
        }
    }
}
