//! SVG: recognises documents, reads their displayed size, and refuses a document that is anything but a picture to look
//! at.
//!
//! A browser runs the bucket's `image/svg+xml` objects like pages. This reader is strict: it refuses everything that it
//! does not know to be harmless or cannot read. Like browsers it reads SVG as XML.

/// Elements that run or load something or hold anything but a picture, whatever their prefix.
const ELEMENTS: [&str; 14] = [
    "script",
    "foreignobject",
    "handler",
    "listener",
    "iframe",
    "frame",
    "embed",
    "object",
    "audio",
    "video",
    "html",
    "link",
    "meta",
    "base",
];
/// Pictures and fonts that a document may contain.
const DATA: [&str; 9] = [
    "data:image/png",
    "data:image/jpeg",
    "data:image/jpg",
    "data:image/gif",
    "data:image/webp",
    "data:image/avif",
    "data:font/",
    "data:application/font",
    "data:application/x-font",
];
/// Encodings whose relevant characters are those of ASCII.
const ENCODINGS: [&str; 5] = ["utf-8", "utf-16", "us-ascii", "iso-8859-", "windows-125"];

/// True if an SVG document begins here.
pub fn is_svg(head: &[u8]) -> bool {
    root(&text(head)).is_some()
}

/// Width and height in CSS pixels, 96 to an inch, rounded.
pub fn dimensions(head: &[u8]) -> Option<(u32, u32)> {
    let text = text(head);
    let root = root(&text)?;
    let attribute = |wanted: &str| root.attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
    let view_box = || {
        let is_between = |c: char| c.is_ascii_whitespace() || c == ',';
        let mut numbers = attribute("viewbox")?.split(is_between).filter(|part| !part.is_empty()).skip(2);
        Some((pixels(numbers.next()?)?, pixels(numbers.next()?)?))
    };
    let [width, height] = ["width", "height"].map(|side| attribute(side).and_then(pixels));
    match (width, height, view_box()) {
        (Some(width), Some(height), _) => Some((width, height)),
        (Some(width), None, Some(of)) => Some((width, scaled(width, of.1, of.0))),
        (None, Some(height), Some(of)) => Some((scaled(height, of.0, of.1), height)),
        (_, _, view_box) => view_box,
    }
}

fn scaled(length: u32, to: u32, from: u32) -> u32 {
    (f64::from(length) * f64::from(to) / f64::from(from)).round() as u32
}

/// A length in pixels, if it is an absolute one.
fn pixels(length: &str) -> Option<u32> {
    let length = length.trim().to_ascii_lowercase();
    let units = [
        ("px", 1.0),
        ("pt", 96.0 / 72.0),
        ("pc", 16.0),
        ("in", 96.0),
        ("mm", 96.0 / 25.4),
        ("cm", 96.0 / 2.54),
        ("q", 96.0 / 101.6),
    ];
    let unit = units.iter().find_map(|(unit, size)| Some((length.strip_suffix(unit)?, *size)));
    let (number, size) = unit.unwrap_or((&length, 1.0));
    // In JSON's spelling: no plus, no leading zeros, digits on both sides of the point.
    let number = number.trim().trim_start_matches('+').trim_start_matches('0');
    let number = number.strip_suffix('.').unwrap_or(number).replace(".e", "e");
    let number = if number.starts_with(|c: char| c.is_ascii_digit()) { number } else { format!("0{number}") };
    let pixels = crate::text::number(&number)? * size;
    (0.5..1e6).contains(&pixels).then_some(pixels.round() as u32)
}

/// The root tag, after the prologue.
fn root(text: &str) -> Option<Tag<'_>> {
    let mut rest = text.trim_start();
    loop {
        let markup = rest.strip_prefix('<')?;
        rest = match prologue(markup) {
            Some(rest) => rest.ok()?.trim_start(),
            None => return Tag::read(markup).ok().filter(Tag::is_svg),
        };
    }
}

/// The text after a comment, an instruction or a document type at this place; `None` if there is none.
fn prologue(markup: &str) -> Option<Result<&str, String>> {
    // The beginning and the end do not overlap: `<!-->` is not closed.
    let after = |start: &str, end: &str| {
        let rest = markup.strip_prefix(start)?.split_once(end).map(|(_, rest)| rest);
        Some(rest.ok_or_else(|| "a comment or an instruction without an end".to_owned()))
    };
    if markup.starts_with("!--") {
        after("!--", "-->")
    } else if markup.starts_with('?') {
        after("?", "?>")
    } else {
        markup.strip_prefix("!DOCTYPE").map(|declaration| doctype(declaration).map(|(_, rest)| rest))
    }
}

/// Decodes any encoding into text: in the accepted ones, a byte above 127 is some letter, no matter which.
fn text(bytes: &[u8]) -> String {
    let utf16 = |unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).skip(1).filter_map(|pair| Some(unit(pair.try_into().ok()?)));
        char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect()
    };
    if bytes.starts_with(b"\xff\xfe") {
        return utf16(u16::from_le_bytes);
    } else if bytes.starts_with(b"\xfe\xff") {
        return utf16(u16::from_be_bytes);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        // The head may end inside a character.
        Err(error) if error.error_len().is_none() => String::from_utf8_lossy(bytes).into_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// The reason for refusing the document; `None` if it is only a picture.
pub fn refusal(document: &[u8]) -> Option<String> {
    read(text(document).trim_start()).err()
}

fn read(mut rest: &str) -> Result<(), String> {
    // The text of the current style sheet: browsers join its pieces, so it is checked as a whole.
    let mut sheet: Option<String> = None;
    let mut has_root = false;
    while !rest.is_empty() {
        let (content, markup) = rest.split_once('<').unwrap_or((rest, ""));
        let is_end = content.len() == rest.len();
        let content = decoded(content, "text")?;
        if let Some(sheet) = &mut sheet {
            *sheet += &content;
        }
        if is_end {
            break;
        }
        rest = if let Some(data) = markup.strip_prefix("![CDATA[") {
            let (data, rest) = data.split_once("]]>").ok_or("a CDATA section without an end")?;
            if let Some(sheet) = &mut sheet {
                *sheet += data;
            }
            rest
        } else if let Some(rest) = prologue(markup) {
            let rest = rest?;
            if let Some(instruction) = markup.strip_prefix('?') {
                processing_instruction(instruction.split("?>").next().unwrap_or_default())?;
            } else if let Some(declaration) = markup.strip_prefix("!DOCTYPE") {
                subset_is_plain(doctype(declaration)?.0)?;
            }
            rest
        } else if let Some(closed) = markup.strip_prefix('/') {
            style(&sheet.take().unwrap_or_default())?;
            closed.split_once('>').ok_or("a tag without an end")?.1
        } else {
            let tag = Tag::read(markup)?;
            if sheet.is_some() {
                return Err(format!("<{}> in a style", crate::text::cut(&tag.name, 40)));
            }
            if !has_root && !tag.is_svg() {
                return Err(format!("the root is <{}>", crate::text::cut(&tag.name, 40)));
            }
            has_root = true;
            tag.check()?;
            sheet = (tag.name == "style" && !tag.is_closed).then(String::new);
            tag.rest
        };
    }
    if sheet.is_some() {
        return Err("a style without an end".to_owned());
    }
    if has_root { Ok(()) } else { Err("no <svg>".to_owned()) }
}

fn processing_instruction(instruction: &str) -> Result<(), String> {
    let name = instruction.split(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default().to_ascii_lowercase();
    if name == "xml" {
        let lower = instruction.to_ascii_lowercase();
        let encoding = lower.split_once("encoding").and_then(|(_, rest)| rest.split(['"', '\'']).nth(1));
        if let Some(encoding) = encoding.filter(|encoding| !ENCODINGS.iter().any(|known| encoding.starts_with(known))) {
            return Err(format!("the encoding {}", crate::text::cut(encoding, 40)));
        }
    }
    if name.starts_with("xml-") { Err(format!("<?{}?>", crate::text::cut(&name, 40))) } else { Ok(()) }
}

/// The declarations in a document type, and the text after it.
fn doctype(declaration: &str) -> Result<(&str, &str), String> {
    let is_end = |c: char| c.is_ascii_whitespace() || ">[".contains(c);
    let name = declaration.trim_start().split(is_end).next().unwrap_or_default();
    if local(name) != "svg" {
        return Err("a document type that is not svg".to_owned());
    }
    let (mut at, mut subset_at, mut in_subset) = (0, declaration.len(), false);
    while let Some(c) = declaration.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = declaration.get(at..).unwrap_or_default();
        // Parts with an end of their own are skipped whole; a quote inside them does not count.
        let end = match c {
            '"' => "\"",
            '\'' => "'",
            '<' if rest.starts_with("<!--") => "-->",
            '<' if rest.starts_with("<?") => "?>",
            _ => "",
        };
        if !end.is_empty() {
            let start = if end == "-->" { 4 } else { 1 };
            let Some(length) = rest.get(start..).and_then(|rest| rest.find(end)) else { break };
            at += start + length + end.len();
            continue;
        }
        match c {
            '[' => (subset_at, in_subset) = (at, true),
            ']' => in_subset = false,
            '>' if !in_subset => {
                let (declaration, rest) = declaration.split_at(at);
                return Ok((declaration.get(subset_at..).unwrap_or_default(), rest.get(1..).unwrap_or_default()));
            }
            _ => {}
        }
        at += c.len_utf8();
    }
    Err("a document type without an end".to_owned())
}

/// Accepts entities that are texts without markup, as Illustrator writes them for its namespaces; [`decoded`] checks
/// their use.
fn subset_is_plain(subset: &str) -> Result<(), String> {
    let mut rest = subset.strip_prefix('[').unwrap_or(subset);
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with(']') {
            return Ok(());
        }
        // A nested document type is invalid and refused below.
        if let Some(after) = rest.strip_prefix('<').filter(|markup| !markup.starts_with("!D")).and_then(prologue) {
            rest = after?;
            continue;
        }
        let plain = || "a declaration that is no plain entity".to_owned();
        let entity = rest.strip_prefix("<!ENTITY").ok_or_else(plain)?.trim_start();
        let (_, value) = entity.split_once(|c: char| c.is_ascii_whitespace()).ok_or_else(plain)?;
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or_else(plain)?;
        let (value, after) = value.get(1..).and_then(|value| value.split_once(quote)).ok_or_else(plain)?;
        if value.contains(['<', '&', '%']) {
            return Err("an entity that holds markup".to_owned());
        }
        if is_page(value) {
            return Err("an entity for another language's namespace".to_owned());
        }
        rest = after.trim_start().strip_prefix('>').ok_or_else(plain)?;
    }
}

/// True for namespaces whose elements do more than show.
fn is_page(namespace: &str) -> bool {
    let namespace = namespace.to_ascii_lowercase();
    ["xhtml", "mathml", "xbl", "xml-events"].iter().any(|name| namespace.contains(name))
}

struct Tag<'a> {
    prefix: Option<String>,
    /// Has no prefix, in lower case.
    name: String,
    /// Names are in lower case, values as written.
    attributes: Vec<(String, &'a str)>,
    is_closed: bool,
    rest: &'a str,
}

impl<'a> Tag<'a> {
    /// Reads a tag after its `<`.
    fn read(markup: &'a str) -> Result<Tag<'a>, String> {
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, ':' | '_' | '-' | '.');
        let split = |text: &'a str| text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
        let (name, mut rest) = split(markup);
        if name.is_empty() {
            return Err("a < that begins no tag".to_owned());
        }
        let mut attributes = Vec::new();
        let tag = |attributes, is_closed, rest| {
            let prefix = name.split_once(':').map(|(prefix, _)| prefix.to_ascii_lowercase());
            Ok(Tag { prefix, name: local(name), attributes, is_closed, rest })
        };
        loop {
            rest = rest.trim_start();
            if let Some(rest) = rest.strip_prefix('>') {
                return tag(attributes, false, rest);
            }
            if let Some(rest) = rest.strip_prefix("/>") {
                return tag(attributes, true, rest);
            }
            let (name, after) = split(rest);
            let value = after.trim_start().strip_prefix('=').map(str::trim_start).unwrap_or_default();
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            let parts = quote.and_then(|quote| value.get(1..)?.split_once(quote));
            let Some((value, after)) = parts.filter(|(value, _)| !name.is_empty() && !value.contains('<')) else {
                return Err("a tag that cannot be read".to_owned());
            };
            attributes.push((name.to_ascii_lowercase(), value));
            rest = after;
        }
    }

    /// True for `svg`; a prefix must stand for SVG's namespace.
    fn is_svg(&self) -> bool {
        let is_bound = |prefix: &str| {
            let declared = self.attributes.iter().find(|(name, _)| name.strip_prefix("xmlns:") == Some(prefix));
            declared
                .is_some_and(|(_, namespace)| *namespace == "http://www.w3.org/2000/svg" || namespace.starts_with('&'))
        };
        self.name == "svg" && self.prefix.as_deref().is_none_or(is_bound)
    }

    fn check(&self) -> Result<(), String> {
        if ELEMENTS.contains(&self.name.as_str()) {
            return Err(format!("<{}>", self.name));
        }
        for (name, value) in &self.attributes {
            if name == "xmlns" || name.starts_with("xmlns:") {
                // An entity alone was checked in its declaration; with other text beside it, it was not.
                let is_entity = value
                    .strip_prefix('&')
                    .and_then(|it| it.strip_suffix(';'))
                    .is_some_and(|it| !it.contains(['&', ';']));
                if is_page(value) || value.contains("&#") || (value.contains('&') && !is_entity) {
                    return Err(format!("{name}={}", crate::text::cut(value, 100)));
                }
                continue;
            }
            self.check_attribute(name, &decoded(value, name)?)?;
        }
        Ok(())
    }

    fn check_attribute(&self, name: &str, value: &str) -> Result<(), String> {
        let refused = Err(format!("{}=… in <{}>", crate::text::cut(name, 40), crate::text::cut(&self.name, 40)));
        let bare: String = value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
        let bare = bare.to_ascii_lowercase();
        let local = local(name);
        if local.starts_with("on") || name == "xml:base" || bare.contains("script:") || bare.contains("data:text/") {
            return refused;
        }
        if matches!(local.as_str(), "href" | "src" | "action" | "formaction" | "srcdoc" | "srcset") {
            return if is_inside(&bare) { Ok(()) } else { refused };
        }
        // An animation's target.
        if local == "attributename" && (bare.ends_with("href") || bare.starts_with("on") || bare == "src") {
            return refused;
        }
        // Presentation attributes use the language of styles; others have no brackets.
        let is_style = local == "style" || (bare.contains('(') && (bare.contains('\\') || bare.contains("image-set(")));
        if is_style && !name.contains(':') { style(value) } else { addresses(&bare) }
    }
}

fn local(name: &str) -> String {
    name.rsplit(':').next().unwrap_or(name).to_ascii_lowercase()
}

/// Resolves a text's references. Refuses references to the document's own entities.
fn decoded(text: &str, place: &str) -> Result<String, String> {
    let mut parts = text.split('&');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let unknown = || format!("an entity in {}", crate::text::cut(place, 40));
        let (reference, rest) = part.split_once(';').ok_or_else(unknown)?;
        let c = match reference {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let digits = reference.strip_prefix('#').ok_or_else(unknown)?;
                let number = match digits.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => digits.parse(),
                };
                number.ok().and_then(char::from_u32).ok_or_else(unknown)?
            }
        };
        decoded.push(c);
        decoded += rest;
    }
    Ok(decoded)
}

/// Checks a style sheet or a style attribute.
fn style(style: &str) -> Result<(), String> {
    let bare: String = style.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let bare = bare.to_ascii_lowercase();
    // A backslash can spell any word differently.
    let words = ["@import", "expression(", "script:", "binding", "behavior", "image-set(", "\\", "</"];
    match words.iter().find(|word| bare.contains(*word)) {
        Some(word) => Err(format!("{word} in a style")),
        None => addresses(&bare),
    }
}

/// Checks that every `url(…)` stays within the document.
fn addresses(bare: &str) -> Result<(), String> {
    let outside = |target: &&str| !is_inside(target.trim_start_matches(['"', '\'']));
    match bare.split("url(").skip(1).find(outside) {
        Some(target) => Err(format!("url({}", crate::text::cut(target, 40))),
        None => Ok(()),
    }
}

fn is_inside(address: &str) -> bool {
    address.is_empty() || address.starts_with('#') || DATA.iter().any(|kind| address.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_root_tag() {
        let table: [(&str, Option<(u32, u32)>); 25] = [
            (r#"<svg xmlns="x" width="640" height="480.4px">"#, Some((640, 480))),
            (r#"<svg viewBox='0 0 1024 768'>"#, Some((1024, 768))),
            (r#"<svg width="100%" height="100%" viewBox="0,0,10,20">"#, Some((10, 20))),
            (r#"<svg stroke-width="3" data-width="4">"#, None),
            ("\u{feff}<?xml version=\"1.0\"?>\n<!-- <svg width=\"1\"> -->\n<svg width='2' height='3'/>", Some((2, 3))),
            (r#"<svg width="1e99" height="1">"#, None),
            ("<svg>", None),
            ("<svg viewBox='0\n0\t30\r\n40'>", Some((30, 40))),
            ("<svg width='+300' height='0300'>", Some((300, 300))),
            ("<svg width='300.' height='.9e3'>", Some((300, 900))),
            ("<svg width='72pt' height='1in'>", Some((96, 96))),
            ("<svg width='25.4mm' height='2.54cm'>", Some((96, 96))),
            ("<svg width='2pc' height=' 2PX '>", Some((32, 2))),
            ("<svg width='2em' height='2em' viewBox='0 0 5 6'>", Some((5, 6))),
            ("<svg width='10' viewBox='0 0 5 6'>", Some((10, 12))),
            ("<svg width='auto' height='12' viewBox='0 0 5 6'>", Some((10, 12))),
            ("<svg width='10'>", None),
            ("<svg width='101.6Q' height='1IN'>", Some((96, 96))),
            ("<svg desc='a > b' width='2' height='3'>", Some((2, 3))),
            ("<svg style=\"width = '5'\" width='2' height='3'>", Some((2, 3))),
            (
                "<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"a>b\" [ <!ENTITY ns \"http://www.w3.org/2000/svg>\"> ]><svg width='2' height='3'>",
                Some((2, 3)),
            ),
            ("<?xpacket begin=\"a > b\" id='W5M0MpCehiHzreSzNTczkc9d'?><svg width='2' height='3'>", Some((2, 3))),
            ("<svg:svg xmlns:svg='http://www.w3.org/2000/svg' width='2' height='3'>", Some((2, 3))),
            ("<!DOCTYPE svg [ <!-- it's > ]> --> <?a ' ]> ?> ]><svg width='2' height='3'>", Some((2, 3))),
            ("<!DOCTYPE s:svg[]><s:svg xmlns:s='http://www.w3.org/2000/svg' width='2' height='3'>", Some((2, 3))),
        ];
        for (document, size) in table {
            assert!(is_svg(document.as_bytes()), "{document}");
            assert_eq!(dimensions(document.as_bytes()), size, "{document}");
        }
        let latin = b"<!-- caf\xe9 --><svg width='2' height='3'>";
        let utf16: Vec<u8> = "\u{feff}<svg width='2' height='3'/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for document in [&latin[..], &utf16] {
            assert!(is_svg(document));
            assert_eq!(dimensions(document), Some((2, 3)));
        }
        assert_eq!(refusal(&utf16), None);
        for document in
            ["<html><svg/></html>", "<!DOCTYPE html><svg/>", "<x:svg width='1'/>", "<svgx/>", "<!-- <svg/>", "svg"]
        {
            assert!(!is_svg(document.as_bytes()), "{document}");
        }
    }

    #[test]
    fn pictures_are_let_in() {
        let documents = [
            r##"<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0" fill="url(#a)" style="stroke: url('#b')"/></svg>"##,
            "\u{feff}<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><!-- <script> --><svg><title>a &amp; b &#169;</title></svg>",
            r#"<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" [
              <!ENTITY ns_svg "http://www.w3.org/2000/svg"> <!ENTITY ns_ai 'http://ns.adobe.com/AI/'> ]>
              <svg xmlns="&ns_svg;" xmlns:i="&ns_ai;"><i:pgf id="x"/></svg>"#,
            r#"<!DOCTYPE svg [ <!-- it's Illustrator's --> <!ENTITY ns "http://www.w3.org/2000/svg"> <?a '?> ]><svg xmlns="&ns;"/>"#,
            r#"<svg:svg xmlns:svg="http://www.w3.org/2000/svg"><svg:g/></svg:svg>"#,
            r#"<svg><style>a { fill: <!-- it's -->red }</style><g inkscape:export-filename="C:\a (1).png"/></svg>"#,
            r##"<svg><image xlink:href="data:image/png;base64,AA=="/><use href="#a"/></svg>"##,
            "<svg><style>/* a */ .a { fill: red } @font-face { src: url(data:font/woff2;base64,AA) }</style><text>a > b</text></svg>",
            "<svg><style><![CDATA[ .a > .b { fill: url(#c) } ]]></style></svg>",
            r#"<svg><metadata><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><cc:Work rdf:about="http://a.co"/></rdf:RDF></metadata></svg>"#,
            "<?xpacket begin='\u{feff}' id='W5M0'?><svg><animate attributeName='opacity' values='0;1'/></svg>",
        ];
        for document in documents {
            assert_eq!(refusal(document.as_bytes()), None, "{document}");
        }
        assert_eq!(refusal(b"<!-- caf\xe9 --><svg/>"), None);
    }

    #[test]
    fn pages_are_not() {
        let table = [
            ("<svg><script>alert(1)</script></svg>", "<script>"),
            ("<svg><SCRIPT/></svg>", "<script>"),
            ("<svg><s:script xmlns:s='http://www.w3.org/2000/svg'/></svg>", "<script>"),
            ("<svg onload='alert(1)'/>", "onload=… in <svg>"),
            ("<svg><g\nONCLICK = \"a\"/></svg>", "onclick=… in <g>"),
            ("<svg><foreignObject/></svg>", "<foreignobject>"),
            ("<!DOCTYPE html><svg/>", "a document type that is not svg"),
            ("<html><svg/></html>", "the root is <html>"),
            ("<svg><a href='javascript:alert(1)'/></svg>", "href=… in <a>"),
            ("<svg><a xlink:href='java&#115;cript&#58;alert(1)'/></svg>", "xlink:href=… in <a>"),
            ("<svg><a href=' &#9;java\nscript:a'/></svg>", "href=… in <a>"),
            ("<svg><image href='https://a.co/b.png'/></svg>", "href=… in <image>"),
            ("<svg><use href='//a.co/b.svg#c'/></svg>", "href=… in <use>"),
            ("<svg><use href='data:image/svg+xml;base64,AA'/></svg>", "href=… in <use>"),
            ("<svg><set attributeName='xlink:href' to='#a'/></svg>", "attributename=… in <set>"),
            ("<svg><animate attributeName='onload'/></svg>", "attributename=… in <animate>"),
            ("<svg><animate attributeName='x' to='javascript:a'/></svg>", "to=… in <animate>"),
            ("<svg><path fill='url(http://a.co)'/></svg>", "url(http://a.co)"),
            ("<svg><path style='fill: url( \"http://a.co\" )'/></svg>", "url(\"http://a.co\")"),
            ("<svg><style>@import 'http://a.co'</style></svg>", "@import in a style"),
            ("<svg><style><![CDATA[@import url(#)]]></style></svg>", "@import in a style"),
            ("<svg><style>a{b:\\75rl(x)}</style></svg>", "\\ in a style"),
            ("<svg><h:b xmlns:h='http://www.w3.org/1999/xhtml'/></svg>", "xmlns:h=http://www.w3.org/1999/xhtml"),
            ("<!DOCTYPE svg [<!ENTITY x '<script/>'>]><svg>&x;</svg>", "an entity that holds markup"),
            ("<!DOCTYPE svg [<!ENTITY x 'a'>]><svg>&x;</svg>", "an entity in text"),
            (
                "<!DOCTYPE svg [<!ENTITY x 'http://www.w3.org/1999/xhtml'>]><svg xmlns:h='&x;'/>",
                "an entity for another language's namespace",
            ),
            ("<!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg/>", "a declaration that is no plain entity"),
            ("<!DOCTYPE svg [<!ATTLIST svg onload CDATA 'a'>]><svg/>", "a declaration that is no plain entity"),
            // Quotes in an instruction or a comment that seem to hide markup.
            ("<!DOCTYPE svg [ <?a ' ?> ]><svg onload='a()'><?a ' ]><svg/> ?></svg>", "onload=… in <svg>"),
            ("<!DOCTYPE svg [ <?a \" ?> ]><svg><script/><?a \" ]><svg/> ?></svg>", "<script>"),
            ("<!DOCTYPE svg [ <!-- ' --> ]><svg><script/><!-- ' ]><svg> --></svg>", "<script>"),
            ("<!DOCTYPE svg [ <!ENTITY a \"b\"> <?a ' ?> ]><svg><script/><?a ' ]><svg/> ?></svg>", "<script>"),
            ("<svg><!--><?a --><script/><!-- ?><g/> --></svg>", "<script>"),
            ("<!DOCTYPE svg [ <!--> ' --> ]><svg><!-- ' ]> --><script/></svg>", "<script>"),
            // Words put together from pieces.
            ("<svg><style>@im<!-- -->port 'http://a.co'</style></svg>", "@import in a style"),
            ("<svg><style>@im<![CDATA[port]]> 'http://a.co'</style></svg>", "@import in a style"),
            ("<svg><style>a{b:u<!-- -->rl(http://a.co)}</style></svg>", "url(http://a.co)}"),
            ("<svg><style><g/>@import 'http://a.co'</style></svg>", "<g> in a style"),
            ("<svg><style>@import 'http://a.co'", "a style without an end"),
            (
                "<!DOCTYPE svg [<!ENTITY x 'xht'><!ENTITY y 'ml'>]><svg xmlns:h='http://www.w3.org/1999/&x;&y;'/>",
                "xmlns:h=http://www.w3.org/1999/&x;&y;",
            ),
            ("<!DOCTYPE svg [<!ENTITY x 'xht'><!ENTITY y 'ml'>]><svg xmlns:h='&x;&y;'/>", "xmlns:h=&x;&y;"),
            ("<svg><path fill='u\\72l(http://a.co)'/></svg>", "\\ in a style"),
            ("<svg><path mask='image-set(\"http://a.co\" 1x)'/></svg>", "image-set( in a style"),
            ("<?xml-stylesheet href='a'?><svg/>", "<?xml-stylesheet?>"),
            ("<?xml version='1.0' encoding='UTF-7'?><svg/>", "the encoding utf-7"),
            ("<svg><g a=<script></svg>", "a tag that cannot be read"),
            ("<svg><g a='", "a tag that cannot be read"),
            ("<svg xml:base='http://a.co'/>", "xml:base=… in <svg>"),
            ("", "no <svg>"),
            ("{\"svg\": 1}", "no <svg>"),
        ];
        for (document, found) in table {
            assert_eq!(refusal(document.as_bytes()).as_deref(), Some(found), "{document}");
        }
    }
}
