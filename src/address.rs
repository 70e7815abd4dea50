//! URLs, read as the platform reads them, so that what is checked is what is asked.

/// A URL as the standard writes it: dots resolved, the host in its plainest form, what is special escaped. So its
/// parts can be told by the characters between them.
#[derive(Debug)]
pub struct Address(String);

impl Address {
    /// None: it is not a URL.
    pub fn parse(text: &str) -> Option<Address> {
        standard(text, None).map(Address)
    }

    /// What a redirect from here to `location` leads to.
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

    /// Empty where the URL has none. An IPv6 address stands in brackets.
    pub fn host(&self) -> &str {
        self.host_and_port().0
    }

    /// None: the scheme's own.
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

    /// What stands between `//` and the path, and the rest.
    fn split(&self) -> (&str, &str) {
        let rest = self.0.split_once(':').map_or("", |(_, rest)| rest);
        match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("", rest),
        }
    }
}

#[cfg(target_arch = "wasm32")]
use crate::js::standard_url as standard;

#[cfg(not(target_arch = "wasm32"))]
fn standard(text: &str, base: Option<&str>) -> Option<String> {
    let base = base.and_then(|base| url::Url::parse(base).ok());
    let url = url::Url::options().base_url(base.as_ref()).parse(text).ok()?;
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The other parser is a witness that the parts are told rightly.
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
