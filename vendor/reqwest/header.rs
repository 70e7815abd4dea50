/// Names are kept in lower case, and each but once.
#[derive(Clone, Debug, Default)]
pub struct HeaderMap(Vec<(String, HeaderValue)>);

impl HeaderMap {
    pub fn new() -> HeaderMap {
        HeaderMap::default()
    }

    pub fn insert(&mut self, name: impl IntoHeaderName, value: HeaderValue) {
        let name = name.into().to_ascii_lowercase();
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, value));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

pub trait IntoHeaderName: Into<String> {}

impl IntoHeaderName for &'static str {}

#[derive(Clone, Debug)]
pub struct HeaderValue(String);

#[derive(Debug)]
pub struct InvalidHeaderValue;

impl HeaderValue {
    pub fn from_static(value: &'static str) -> HeaderValue {
        HeaderValue(value.to_owned())
    }

    /// Fails for what would end a header.
    #[expect(clippy::should_implement_trait, reason = "the other's has this name without the trait")]
    pub fn from_str(value: &str) -> Result<HeaderValue, InvalidHeaderValue> {
        if value.contains(|c: char| c.is_ascii_control() && c != '\t') {
            return Err(InvalidHeaderValue);
        }
        Ok(HeaderValue(value.to_owned()))
    }

    pub fn to_str(&self) -> Result<&str, std::convert::Infallible> {
        Ok(&self.0)
    }
}
