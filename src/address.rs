//! Reads URLs with the platform's parser, so that the URL that is checked is the URL that is requested.

use std::cell::Cell;

/// A URL in the standard's own spelling: dots resolved, the host in its plainest form, special characters escaped. The
/// characters between its parts therefore tell the parts apart.
#[derive(Debug)]
pub struct Address(String);

impl Address {
    /// Returns `None` if the text is not a URL.
    pub fn parse(text: &str) -> Option<Address> {
        standard(text, None).map(Address)
    }

    /// The URL that a redirect from this one to `location` leads to.
    pub fn join(&self, location: &str) -> Option<Address> {
        standard(location, Some(&self.0)).map(Address)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    pub fn carries_user(&self) -> bool {
        self.split().0.contains('@')
    }

    /// Empty if the URL has no host. An IPv6 address is in brackets.
    pub fn host(&self) -> &str {
        self.host_and_port().0
    }

    /// `None` if the URL uses its scheme's own port.
    pub fn port(&self) -> Option<&str> {
        self.host_and_port().1
    }

    pub fn port_or_own(&self) -> &str {
        self.port().unwrap_or(match self.scheme() {
            "http" | "ws" => "80",
            "https" | "wss" => "443",
            "ftp" => "21",
            _ => "0",
        })
    }

    pub fn path(&self) -> &str {
        let path = self.split().1;
        path.split(['?', '#']).next().unwrap_or(path)
    }

    pub fn has_origin_of(&self, other: &Address) -> bool {
        self.scheme() == other.scheme() && self.host_and_port() == other.host_and_port()
    }

    fn host_and_port(&self) -> (&str, Option<&str>) {
        let authority = self.split().0;
        let host = authority.split_once('@').map_or(authority, |(_, host)| host);
        match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (host, None),
        }
    }

    /// The part between `//` and the path, and the rest.
    fn split(&self) -> (&str, &str) {
        let rest = self.0.split_once(':').map_or("", |(_, rest)| rest);
        match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("", rest),
        }
    }
}

/// True if the text has the scheme of a URL that a picture may have: http, https or data.
pub fn is_address(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    ["http", "https", "data"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// Writes a URL in the standard's spelling, relative to `base` if given. Returns `None` if the text is not a URL.
pub type Parser = fn(text: &str, base: Option<&str>) -> Option<String>;

thread_local! {
    static PARSER: Cell<Parser> = const { Cell::new(parse_here) };
}

/// Sets the parser for all URLs read from now on: the platform's own.
pub fn read_by(parser: Parser) {
    PARSER.set(parser);
}

fn standard(text: &str, base: Option<&str>) -> Option<String> {
    PARSER.get()(text, base)
}

#[cfg(not(target_arch = "wasm32"))]
fn parse_here(text: &str, base: Option<&str>) -> Option<String> {
    let base = base.and_then(|base| url::Url::parse(base).ok());
    let url = url::Url::options().base_url(base.as_ref()).parse(text).ok()?;
    Some(url.into())
}

/// The wasm contains no parser and uses the platform's.
#[cfg(target_arch = "wasm32")]
fn parse_here(_: &str, _: Option<&str>) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares the parts with those that the crate url finds.
    #[test]
    fn parts_are_those_that_a_parser_finds() {
        let texts = [
            "https://replicate.delivery/a.png?b=c#d",
            "https://REPLICATE.delivery:443",
            "HTTP://User:p%40ss@h:81/a/../b/./c%2e/%2e%2e/d?e@f:g/h",
            "https://:p@h?a@b",
            "https://:@h#a@b",
            "https://a@b@c/",
            "https:\\\\evil.com\\@replicate.delivery\\a",
            "https:/h",
            " ht\ntps://h/a b ",
            "http://0x7f.1:080/a.png",
            "http://[::FFFF:1.2.3.4]/",
            "https://[::1]:9",
            "https://ex%61mple.com./",
            "file:///etc/passwd",
            "file://host/share",
            "javascript:alert('//a@b:1/')",
            "data:image/png;base64,//8=",
            "blob:https://h:1/a",
            "foo://u@Host:9/a?b",
            "foo://h?b",
            "foo:/a",
        ];
        for text in texts {
            let (address, url) = (Address::parse(text).unwrap(), url::Url::parse(text).unwrap());
            assert_eq!(address.scheme(), url.scheme(), "{text:?}");
            assert_eq!(address.carries_user(), !url.username().is_empty() || url.password().is_some(), "{text:?}");
            assert_eq!(address.host(), url.host_str().unwrap_or_default(), "{text:?}");
            assert_eq!(address.port().map(|port| port.parse().unwrap()), url.port(), "{text:?}");
            assert_eq!(address.port_or_own().parse(), Ok(url.port_or_known_default().unwrap_or_default()), "{text:?}");
            assert_eq!(address.path(), url.path(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_url_is_none() {
        for text in ["", "/a.png", "replicate.delivery", "https://", "https://a b/", "https://h:99999/", "http://[::1"]
        {
            assert!(Address::parse(text).is_none(), "{text:?}");
        }
    }
}
