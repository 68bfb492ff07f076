//! Makes almost-JSON readable: invalid UTF-8, unpaired surrogates, raw control characters.
//!
//! Chat text is cut by byte count in more than one place before it reaches a file, so half an emoji is a real case. The
//! archive keeps the bytes; only what is indexed and shown is mended, with U+FFFD, and every case is counted.

/// A readable copy of `json`, or `None` where there was nothing to mend.
pub(super) fn repaired(json: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(json);
    let mut changed = matches!(text, std::borrow::Cow::Owned(_));
    let bytes = text.as_bytes();
    let mut mended = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if bytes.get(at + 1) == Some(&b'u') => match surrogate(&bytes[at..]) {
                Some(High) if matches!(bytes.get(at + 6..).and_then(surrogate), Some(Low)) => {
                    mended.extend_from_slice(&bytes[at..at + 12]);
                    at += 12;
                }
                Some(_) => {
                    mended.extend_from_slice(b"\\ufffd");
                    at += 6;
                    changed = true;
                }
                None => {
                    mended.extend_from_slice(&bytes[at..at + 2]);
                    at += 2;
                }
            },
            b'\\' => {
                mended.push(bytes[at]);
                mended.extend(bytes.get(at + 1));
                at += 2;
            }
            // Between values these are white space; inside strings they are forbidden. A space serves for both.
            control if control < 0x20 && !matches!(control, b'\n' | b'\r') => {
                mended.push(b' ');
                at += 1;
                changed = true;
            }
            byte => {
                mended.push(byte);
                at += 1;
            }
        }
    }
    changed.then_some(mended)
}

enum Surrogate {
    High,
    Low,
}
use Surrogate::{High, Low};

/// Which half of a pair the `\uXXXX` at the start of `bytes` is, if it is one.
fn surrogate(bytes: &[u8]) -> Option<Surrogate> {
    let hex = bytes.get(..6).filter(|escape| escape.starts_with(b"\\u")).map(|escape| &escape[2..])?;
    match u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()? {
        0xd800..=0xdbff => Some(High),
        0xdc00..=0xdfff => Some(Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &[u8], expected: Option<&str>) {
        let mended = repaired(input);
        assert_eq!(mended.as_deref().map(String::from_utf8_lossy).as_deref(), expected);
        if let Some(mended) = mended {
            serde_json::from_slice::<serde_json::Value>(&mended).expect("readable after repair");
        }
    }

    #[test]
    fn mends_what_chat_text_really_has() {
        check(br#""half \ud83d an emoji""#, Some(r#""half \ufffd an emoji""#));
        check(br#""low \ude00 first""#, Some(r#""low \ufffd first""#));
        check(br#""whole \ud83d\ude00""#, None);
        check(b"\"bad \xff byte\"", Some("\"bad \u{fffd} byte\""));
        check(b"\"raw\x01control\"", Some("\"raw control\""));
        check(br#""a \\ud83d is text""#, None);
        check(br#""\ud8""#, None);
    }
}
