//! ASCII armor inside a text → OpenPGP packets, whatever became of its line breaks.
//!
//! Between its first and its last line an armored block holds headers (`Version: …`), an empty line, base64 and a checksum.
//! Some producers drop the line breaks, or put spaces in their place; then nothing but the checksum and the first packet
//! tells where the headers end and the base64 begins, so each possible place is tried against both.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::ops::Range;

/// What every armored message begins with; a text without it holds none.
pub(super) const BEGIN_MESSAGE: &str = "-----BEGIN PGP MESSAGE-----";
const END_MESSAGE: &str = "-----END PGP MESSAGE-----";
const BEGIN_PUBLIC_KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END_PUBLIC_KEY: &str = "-----END PGP PUBLIC KEY BLOCK-----";
const BEGIN_PRIVATE_KEY: &str = "-----BEGIN PGP PRIVATE KEY BLOCK-----";
const END_PRIVATE_KEY: &str = "-----END PGP PRIVATE KEY BLOCK-----";

/// Characters behind the last header's colon in which its value may end, where no line break tells.
const LONGEST_HEADER: usize = 160;

/// Largest block whose headers are looked for character by character, bytes.
const MAX_SEARCHED: usize = 1 << 20;

/// Fewest base64 characters that can be a message that was cut: less is somebody writing about armor.
const SHORTEST_CUT: usize = 32;

/// An armored block in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Where it stands, first and last line included.
    pub(super) place: Range<usize>,
    /// Its packets; `None` where it is damaged.
    pub(super) packets: Option<Vec<u8>>,
}

/// The armored messages of a text, in order.
pub(super) fn messages(text: &str) -> Vec<Block> {
    blocks(text, BEGIN_MESSAGE, END_MESSAGE)
}

/// The armored private keys of a text, in order.
pub(super) fn private_keys(text: &str) -> Vec<Block> {
    blocks(text, BEGIN_PRIVATE_KEY, END_PRIVATE_KEY)
}

/// Where armored public keys stand in a text.
pub(super) fn public_keys(text: &str) -> Vec<Range<usize>> {
    blocks(text, BEGIN_PUBLIC_KEY, END_PUBLIC_KEY).into_iter().map(|block| block.place).collect()
}

fn blocks(text: &str, begin: &str, end: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find(begin).map(|at| from + at) {
        let inside = start + begin.len();
        let rest = &text[inside..];
        // A block that was cut ends where the next one begins.
        let limit = rest.find(begin).unwrap_or(rest.len());
        let closing = rest[..limit].find(end);
        let body = &rest[..closing.unwrap_or(limit)];
        let stop = inside + closing.map_or(limit, |at| at + end.len());
        let packets = if closing.is_some() { packets_of(body) } else { None };
        // Without a last line, only what looks like armor is armor: people write about it, too.
        if closing.is_some() || is_mostly_base64(body) {
            found.push(Block { place: start..stop, packets });
        }
        from = stop;
    }
    found
}

fn is_mostly_base64(body: &str) -> bool {
    let last = body.split_whitespace().max_by_key(|word| word.len()).unwrap_or_default();
    last.len() >= SHORTEST_CUT && last.bytes().all(is_base64)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// The packets of the text between the first and the last line of a block.
fn packets_of(body: &str) -> Option<Vec<u8>> {
    // Escaped once too often: a backslash and a letter where a line break was.
    let unescaped;
    let body = if body.contains('\\') {
        unescaped = body.replace("\\r", "\n").replace("\\n", "\n").replace("\\/", "/");
        unescaped.as_str()
    } else {
        body
    };
    // Line breaks of HTML and of Unicode, and the marks that mail puts before each line it quotes: none of it is in base64.
    let plain;
    let body = if body.contains(['>', '\u{2028}', '\u{2029}', '\u{a0}']) {
        plain = without_marks(body);
        plain.as_str()
    } else {
        body
    };
    // Base64 has no colon: it begins behind the last one.
    let behind_colon = body.rfind(':').map_or(0, |at| at + 1);
    let tail = &body[behind_colon..];
    let mut second_best = None;
    let mut attempt = |start: usize| match decode(&tail[start..]) {
        Some((packets, true)) => Some(packets),
        Some((packets, false)) => {
            second_best.get_or_insert(packets);
            None
        }
        None => None,
    };
    let after_empty_line = behind_headers(tail, behind_colon > 0);
    if let Some(packets) = after_empty_line.and_then(&mut attempt) {
        return Some(packets);
    }
    let words = word_starts(tail).take_while(|start| *start <= LONGEST_HEADER);
    for start in words {
        if let Some(packets) = attempt(start) {
            return Some(packets);
        }
    }
    if behind_colon > 0 && tail.len() <= MAX_SEARCHED {
        let anywhere = tail.char_indices().map(|(at, _)| at).take_while(|at| *at <= LONGEST_HEADER);
        for start in anywhere {
            if let Some(packets) = attempt(start) {
                return Some(packets);
            }
        }
    }
    second_best
}

fn without_marks(body: &str) -> String {
    let mut text = body.to_owned();
    for tag in ["<br>", "<br/>", "<br />", "<BR>", "<BR/>", "<BR />", "\u{2028}", "\u{2029}"] {
        text = text.replace(tag, "\n");
    }
    text.replace(['>', '\u{a0}'], " ")
}

/// Start of the base64 where the empty line that separates it from the headers is still there.
fn behind_headers(tail: &str, has_headers: bool) -> Option<usize> {
    if !has_headers {
        return Some(0);
    }
    let mut at = 0;
    for line in tail.split_inclusive('\n') {
        at += line.len();
        if at > line.len() && line.trim().is_empty() {
            return Some(at);
        }
    }
    None
}

fn word_starts(text: &str) -> impl Iterator<Item = usize> {
    let mut previous_is_space = true;
    text.char_indices().filter_map(move |(at, c)| {
        let starts = previous_is_space && !c.is_whitespace();
        previous_is_space = c.is_whitespace();
        starts.then_some(at)
    })
}

/// Decodes base64 with white space in it. Gives whether a checksum says that this is right; without a checksum, the first
/// packet has to look like one.
fn decode(text: &str) -> Option<(Vec<u8>, bool)> {
    // Ten base64 characters in, most wrong starts have shown themselves: the rest need not be copied.
    let first = text.bytes().find(|byte| !byte.is_ascii_whitespace())?;
    if !is_packet_start(first) {
        return None;
    }
    let mut base64: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !base64.iter().copied().all(is_base64) {
        return None;
    }
    let engine = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let mut expected = None;
    if let Some(at) = base64.len().checked_sub(5)
        && base64[at] == b'='
        && let Ok(sum) = engine.decode(&base64[at + 1..])
        && let [a, b, c] = sum[..]
    {
        expected = Some(u32::from_be_bytes([0, a, b, c]));
        base64.truncate(at);
    }
    let packets = engine.decode(&base64).ok()?;
    let agrees = expected == Some(crc24(&packets));
    Some((packets, agrees))
}

/// Whether a base64 character can begin a packet: the top bit of its first byte is set, in either format of the header.
fn is_packet_start(first: u8) -> bool {
    // 32 to 63 in the base64 alphabet.
    matches!(first, b'g'..=b'z' | b'0'..=b'9' | b'+' | b'/')
}

/// The checksum of RFC 9580, section 6.1.1.
fn crc24(bytes: &[u8]) -> u32 {
    let mut crc = 0x00b7_04ce;
    for byte in bytes {
        crc = ((crc << 8) & 0x00ff_ffff) ^ CRC24[((crc >> 16) as u8 ^ byte) as usize];
    }
    crc
}

const CRC24: [u32; 256] = crc24_table();

const fn crc24_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u32) << 16;
        let mut bit = 0;
        while bit < 8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that begin like a message for a key.
    fn packets() -> Vec<u8> {
        (0..301_u32).map(|at| if at == 0 { 0x85 } else { (at * 7 % 256) as u8 }).collect()
    }

    fn armored(packets: &[u8], headers: &str, line_break: &str) -> String {
        let engine = base64::engine::general_purpose::STANDARD;
        let body = engine.encode(packets);
        let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let sum = engine.encode(&crc24(packets).to_be_bytes()[1..]);
        format!("{BEGIN_MESSAGE}\n{headers}\n{}\n={sum}\n{END_MESSAGE}", lines.join("\n")).replace('\n', line_break)
    }

    #[test]
    fn line_breaks_and_headers_may_be_lost() {
        // The check value of the CRC catalogue.
        assert_eq!(crc24(b"123456789"), 0x0021_cf02);
        for headers in ["", "Version: BCPG v1.58\n", "Version: GnuPG v2.0.22 (GNU/Linux)\nComment: hQIMA words here\n"]
        {
            for line_break in
                ["\n", "\r\n", " ", "", "\\n", "\\r\\n", "\n\n", " \n", "<br>", "<br />\n", "\u{2028}", "\n> "]
            {
                for packets in [packets(), packets()[..300].to_vec(), packets()[..299].to_vec()] {
                    let text = armored(&packets, headers, line_break);
                    let found = messages(&text);
                    assert_eq!(found.len(), 1, "{text}");
                    assert_eq!(found[0].place, 0..text.len());
                    assert_eq!(found[0].packets.as_ref(), Some(&packets), "{headers:?} {line_break:?}\n{text}");
                }
            }
        }
    }

    #[test]
    fn a_block_is_found_among_words_and_beside_others() {
        let one = armored(&packets(), "", "\n");
        let cut = &one[..one.len() / 2];
        let text = format!("before {one} between {cut} {one}");
        let found = messages(&text);
        assert_eq!(found.iter().map(|block| block.packets.is_some()).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(&text[..found[0].place.start], "before ");
        assert_eq!(found[2].place.end, text.len());
        let talk = format!("a message starts with {BEGIN_MESSAGE} and then has base64");
        assert_eq!(messages(&talk), []);
    }

    /// RFC 9580 lets the checksum be left out, and has it ignored where it is wrong.
    #[test]
    fn the_checksum_may_be_missing_or_wrong() {
        let text = armored(&packets(), "", "\n");
        let sum = text.rfind("\n=").unwrap();
        let without = format!("{}\n{END_MESSAGE}", &text[..sum]);
        let wrong = format!("{}\n=AAAA\n{END_MESSAGE}", &text[..sum]);
        for text in [without, wrong] {
            assert_eq!(messages(&text)[0].packets.as_ref(), Some(&packets()));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r"(-----BEGIN PGP MESSAGE-----|-----END PGP MESSAGE-----|Version: x|[a-zA-Z0-9+/=:é \n]|hQIM){0,40}") {
            for block in messages(&text) {
                prop_assert!(text.get(block.place).is_some());
            }
        }
    }
}
