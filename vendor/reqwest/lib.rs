//! What postgrest needs of reqwest 0.11 to render a request, under the same names; `[patch.crates-io]` puts it in
//! the other's place. It sends nothing: the worker's one network port does. The whole of reqwest would be a fifth
//! of the wasm, most of it for reading again the URL that postgrest has just put together.

use std::convert::Infallible;
use std::fmt;

pub mod header;

use header::HeaderMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    GET,
    HEAD,
    POST,
    PATCH,
    DELETE,
}

#[derive(Clone, Debug, Default)]
pub struct Client;

impl Client {
    pub fn new() -> Client {
        Client
    }

    pub fn request(&self, method: Method, url: String) -> RequestBuilder {
        RequestBuilder { request: Request { method, url, headers: HeaderMap::default(), body: Body(String::new()) } }
    }
}

#[derive(Debug)]
pub struct RequestBuilder {
    request: Request,
}

impl RequestBuilder {
    pub fn headers(mut self, headers: HeaderMap) -> RequestBuilder {
        self.request.headers = headers;
        self
    }

    /// Adds the pairs to the URL, as forms are encoded.
    pub fn query(mut self, pairs: &[(String, String)]) -> RequestBuilder {
        let url = &mut self.request.url;
        for (name, value) in pairs {
            url.push(if url.contains('?') { '&' } else { '?' });
            encode(name, url);
            url.push('=');
            encode(value, url);
        }
        self
    }

    pub fn body(mut self, body: String) -> RequestBuilder {
        self.request.body = Body(body);
        self
    }

    /// Never fails, unlike the other's: the URL is not read.
    pub fn build(self) -> Result<Request, Infallible> {
        Ok(self.request)
    }

    pub async fn send(self) -> Result<Response, Error> {
        Err(Error)
    }
}

fn encode(text: &str, url: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => url.push(char::from(byte)),
            b' ' => url.push('+'),
            _ => *url += &format!("%{byte:02X}"),
        }
    }
}

#[derive(Debug)]
pub struct Request {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Body,
}

impl Request {
    pub fn method(&self) -> &Method {
        &self.method
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub fn body(&self) -> Option<&Body> {
        Some(&self.body)
    }
}

#[derive(Debug)]
pub struct Body(String);

impl Body {
    pub fn as_bytes(&self) -> Option<&[u8]> {
        Some(self.0.as_bytes())
    }
}

/// There is none, as nothing is sent.
#[derive(Debug)]
pub enum Response {}

#[derive(Debug)]
pub struct Error;

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("this reqwest renders requests and sends none")
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded_as_forms_are() {
        let pairs = [("or".to_owned(), "(a.eq.1,b.like.*x y*)".to_owned()), ("ü".to_owned(), "&".to_owned())];
        let request = Client::new().request(Method::GET, "http://h/t".to_owned()).query(&pairs).build().unwrap();
        assert_eq!(request.url(), "http://h/t?or=%28a.eq.1%2Cb.like.*x+y*%29&%C3%BC=%26");
    }
}
