//! A second reading of HTTP/1.x requests, as plain as the standard is (RFC 9112): slow, whole bytes in hand,
//! sharing no line with the product. What it cannot read in exactly one way is an offence.

/// One request as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case and values without white space around them, sorted by name.
    pub fields: Vec<(String, Vec<u8>)>,
    /// What came of the body, and whether it came to its end.
    pub body: Vec<u8>,
    pub complete: bool,
}

/// What a stretch of bytes holds.
#[derive(Debug, Default)]
pub struct Reading {
    pub messages: Vec<Message>,
    /// So many messages are answered until the connection closes by its own rules; `None`: it does not.
    pub closes_after: Option<usize>,
    /// What was wrong, and nothing behind it was read.
    pub offence: Option<String>,
}

/// Reads everything. A head or body that is not complete ends it.
pub fn read(mut bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    while !bytes.is_empty() {
        match message(bytes) {
            Ok(None) => return reading,
            Ok(Some((message, closes, rest))) => {
                let complete = message.complete;
                reading.messages.push(message);
                if closes && reading.closes_after.is_none() {
                    reading.closes_after = Some(reading.messages.len());
                }
                if !complete {
                    return reading;
                }
                bytes = rest;
            }
            Err(why) => {
                reading.offence = Some(why);
                return reading;
            }
        }
    }
    reading
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|w| w == wanted)
}

/// One message, whether the connection ends with it, and what follows.
type Read<'a> = Option<(Message, bool, &'a [u8])>;

fn message(bytes: &[u8]) -> Result<Read<'_>, String> {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, rest) = (&bytes[..end], &bytes[end + 4..]);
    let text: String = head.iter().map(|b| char::from(*b)).collect();
    let mut lines = text.split("\r\n");
    let request = lines.next().unwrap_or_default().to_owned();
    let words: Vec<&str> = request.split(' ').collect();
    let [method, target, version @ ("HTTP/1.0" | "HTTP/1.1")] = words.as_slice() else {
        return Err(format!("no request line: {request:?}"));
    };
    let mut fields = Vec::new();
    for line in lines {
        if line.chars().any(|c| c.is_ascii_control() && c != '\t') {
            return Err(format!("a control character: {line:?}"));
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("no colon: {line:?}"))?;
        if name.is_empty()
            || !name
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&b))
        {
            return Err(format!("no name: {line:?}"));
        }
        let value: Vec<u8> = value.trim_matches([' ', '\t']).chars().map(|c| c as u8).collect();
        fields.push((name.to_ascii_lowercase(), value));
    }
    let all = |name: &str| -> Vec<String> {
        let values = fields.iter().filter(|(n, _)| n == name);
        values
            .map(|(_, v)| String::from_utf8_lossy(v).into_owned())
            .collect()
    };
    let (body, complete, rest) = match (
        all("content-length").as_slice(),
        all("transfer-encoding").as_slice(),
    ) {
        ([], []) => (Vec::new(), true, rest),
        ([length], []) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            let length: usize = length.parse().map_err(|_| "a length beyond all lengths")?;
            let taken = rest.len().min(length);
            (rest[..taken].to_vec(), taken == length, &rest[taken..])
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") && *version == "HTTP/1.1" => chunks(rest)?,
        both => return Err(format!("a framing of two readings: {both:?}")),
    };
    let hosts = all("host");
    if hosts.len() > 1 || (hosts.is_empty() && *version == "HTTP/1.1") {
        return Err(format!("{} hosts", hosts.len()));
    }
    let target = match target.split_once("://") {
        Some((scheme, after)) if !scheme.contains(['/', '?']) => {
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            if hosts.iter().any(|host| !host.eq_ignore_ascii_case(authority)) {
                return Err(format!("{authority:?} is not {hosts:?}"));
            }
            if path.is_empty() { "/" } else { path }
        }
        _ => target,
    };
    let connection = all("connection").join(",").to_ascii_lowercase();
    let says = |word: &str| connection.split(',').any(|w| w.trim_matches([' ', '\t']) == word);
    let closes = says("close") || (*version == "HTTP/1.0" && !says("keep-alive"));
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    let message = Message {
        method: (*method).to_owned(),
        target: target.to_owned(),
        fields,
        body,
        complete,
    };
    Ok(Some((message, closes, rest)))
}

/// The data of a chunked body, whether it ended, and what follows.
fn chunks(mut bytes: &[u8]) -> Result<(Vec<u8>, bool, &[u8]), String> {
    let mut data = Vec::new();
    loop {
        let Some(end) = find(bytes, b"\r\n") else {
            return Ok((data, false, b""));
        };
        let line: String = bytes[..end].iter().map(|b| char::from(*b)).collect();
        let digits = line.split(';').next().unwrap_or_default();
        if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("no chunk size: {line:?}"));
        }
        if line.contains(['\r', '\n', '\0']) {
            return Err(format!("no chunk line: {line:?}"));
        }
        let size = usize::from_str_radix(digits, 16).map_err(|e| e.to_string())?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            break;
        }
        if bytes.len() < size {
            data.extend_from_slice(bytes);
            return Ok((data, false, b""));
        }
        data.extend_from_slice(&bytes[..size]);
        bytes = &bytes[size..];
        if bytes.len() >= 2 {
            bytes = bytes.strip_prefix(b"\r\n").ok_or("data longer than its chunk")?;
        } else {
            return Ok((data, false, b""));
        }
    }
    loop {
        let Some(end) = find(bytes, b"\r\n") else {
            return Ok((data, false, b""));
        };
        let line = &bytes[..end];
        bytes = &bytes[end + 2..];
        if line.is_empty() {
            return Ok((data, true, bytes));
        }
        if !line.contains(&b':') || line.contains(&b'\r') || line.contains(&b'\n') {
            return Err("no trailer".into());
        }
    }
}
